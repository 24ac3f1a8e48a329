"""Which program the labelled texts of a picture are of, and what they say: one of a closed set of answers.

    A1111's infotext      it is a recipe by its label `parameters`, and elsewhere by its parameters
    a foreign recipe      read, under the names of our settings
    a known other form    the sentence that says who made it, and that it is not read
    nothing               all other text: nobody labelled it a prompt

Nothing but the standard library: the child that reads pictures asks.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.settings.foreign import comfyui, draw_things, easy_diffusion, fooocus, invokeai, novelai, swarmui
from daemon.settings.foreign.recipe import Foreign, not_read, parsed
from daemon.settings.infotext_lines import has_parameters

PARAMETERS, PROMPT, WORKFLOW, COMMENT, XMP = "parameters", "prompt", "workflow", "Comment", "XML:com.adobe.xmp"
INVOKEAI, INVOKEAI_2, DREAM, SOFTWARE, DESCRIPTION = "invokeai_metadata", "sd-metadata", "Dream", "Software", "Description"
FOOOCUS_SCHEME, USER_COMMENT, IMAGE_DESCRIPTION, ALPHA = "fooocus_scheme", "UserComment", "ImageDescription", "alpha channel"
LABELS = frozenset(
    {
        *(PARAMETERS, PROMPT, WORKFLOW, COMMENT, XMP, INVOKEAI, INVOKEAI_2, DREAM, SOFTWARE, DESCRIPTION, FOOOCUS_SCHEME),
        *("dream", "generation_data", *easy_diffusion.KEYS),
    }
)
"""The keywords of the texts of a PNG that are asked about."""
NO_WORDS = ("", "none", "null", "undefined", "nan")
Reader = Callable[[Mapping[str, Any]], Foreign]


@dataclass(frozen=True)
class Told:
    """The answer: at most one of `infotext` and `foreign`, and sentences on a labelled text that is no recipe."""

    infotext: str | None = None
    foreign: Foreign | None = None
    notes: tuple[str, ...] = ()


def tell(texts: Mapping[str, str]) -> Told:
    """What the texts of a picture are, by their labels: the keywords of a PNG, or where they stand in EXIF data."""
    answers = [answer for ask in (_parameters, _invokeai, _in_prompt, _novelai, _comment, _others) if (answer := ask(texts))]
    whole = [answer for answer in answers if answer.infotext or (answer.foreign and answer.foreign.unread is None)]
    return next(iter([*whole, *answers]), Told())


def of_record(record: Mapping[str, Any]) -> Foreign | None:
    """The recipe in a JSON object, told by its keys; None for one that no known program writes."""
    if swarmui.MARK in record:
        return swarmui.read(record)
    if {"positive_prompt", "app_version"} <= record.keys():
        return invokeai.read(record)
    known: list[tuple[Callable[[Mapping[str, Any]], bool], Reader]] = [
        (comfyui.is_graph, comfyui.read),
        (fooocus.is_recipe, fooocus.read),
        (draw_things.is_recipe, draw_things.read),
        (easy_diffusion.is_recipe, easy_diffusion.read),
    ]
    return next((read(record) for is_its, read in known if is_its(record)), None)


def _parameters(texts: Mapping[str, str]) -> Told | None:
    text = texts.get(PARAMETERS)
    if text is None:
        return None
    if text.strip().lower() in NO_WORDS:
        return Told(notes=(f"the text 'parameters' of this picture says {text.strip()[:20]!r}, which is no recipe",))
    record = parsed(text)
    if record is None:
        if text.lstrip()[:1] in ("{", "[") and not has_parameters(text):
            return Told(notes=("the text 'parameters' of this picture begins as JSON and is none; it is not read",))
        return Told(infotext=text)
    if texts.get(FOOOCUS_SCHEME) == "fooocus":
        return Told(foreign=fooocus.read(record))
    found = of_record(record)
    return (
        Told(foreign=found)
        if found
        else Told(notes=("the text 'parameters' of this picture is JSON of a program that is not known",))
    )


def _invokeai(texts: Mapping[str, str]) -> Told | None:
    for label, read in ((INVOKEAI, invokeai.read), (INVOKEAI_2, invokeai.read_2)):
        if label in texts:
            record = parsed(texts[label])
            return Told(foreign=read(record) if record else not_read(invokeai.PROGRAM, f"its {label} are no JSON object"))
    dream = texts.get(DREAM, texts.get("dream"))
    return Told(foreign=invokeai.read_dream(dream)) if dream else None


def _in_prompt(texts: Mapping[str, str]) -> Told | None:
    record = parsed(texts[PROMPT]) if PROMPT in texts else None
    if record is not None and comfyui.is_graph(record):
        return Told(foreign=comfyui.read(record))
    if easy_diffusion.is_recipe(texts):
        return Told(foreign=easy_diffusion.read({key: text for key, text in texts.items() if key in easy_diffusion.KEYS}))
    if WORKFLOW in texts and parsed(texts[WORKFLOW]) is not None:
        why = "only the drawing of its workflow is in it, without the graph that was run"
        return Told(foreign=not_read(comfyui.PROGRAM, why))
    return None


def _novelai(texts: Mapping[str, str]) -> Told | None:
    theirs = texts.get(SOFTWARE) == novelai.PROGRAM
    record = parsed(texts.get(COMMENT, "")) if theirs else None
    hidden = parsed(texts.get(ALPHA, ""))
    found = record if record is not None and "prompt" in record else novelai.of_hidden(hidden) if hidden else None
    if found is not None:
        return Told(foreign=novelai.read(found))
    if ALPHA in texts and has_parameters(texts[ALPHA]):
        return Told(infotext=texts[ALPHA])
    return Told(foreign=not_read(novelai.PROGRAM, "its text 'Comment' is not the JSON that it writes")) if theirs else None


def _comment(texts: Mapping[str, str]) -> Told | None:
    """Comments that nobody labelled: a recipe only by what stands in them."""
    xmp = draw_things.comment_in(texts.get(XMP, ""))
    for text in (texts.get(USER_COMMENT), xmp, texts.get(COMMENT), texts.get(IMAGE_DESCRIPTION), texts.get(DESCRIPTION)):
        if not text:
            continue
        record = parsed(text)
        found = of_record(record) if record else None
        if found:
            return Told(foreign=found)
        if record is None and has_parameters(text):
            return Told(infotext=text)
    return None


OTHERS = {
    "Midjourney": (DESCRIPTION, "Job ID:"),
    "Tensor.Art": ("generation_data", "{"),
}
"""Other programs: the text by which each is known, and what stands in it."""


def _others(texts: Mapping[str, str]) -> Told | None:
    for program, (label, words) in OTHERS.items():
        if label in texts and words in texts[label]:
            return Told(foreign=not_read(program, "its form is not known here"))
    return None
