"""The recipe that rides in a picture, so that the picture can be dropped and made again.

`pictures/forms.py` says what is written into a picture; a TIFF has its recipe in the record of its artifact. Pictures of other
programs are read too: A1111's infotext, and the forms of `settings/foreign/`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, BinaryIO

import tiffsd
from daemon.errors import InputError
from daemon.jobs.originals import told_of_exported
from daemon.names import shown
from daemon.pictures.decoding import TextInPicture, digest_of_tiff, read_words
from daemon.pictures.forms import PIXELS
from daemon.settings.checking import as_made_by, checked
from daemon.settings.config import Config
from daemon.settings.infotext import SOFTWARE
from daemon.settings.prompts import read_foreign, read_labelled
from daemon.settings.recipe import Prompt
from daemon.settings.vocabulary import Settings
from daemon.stages import EXR, RECORDED
from tiffsd.header import id_in_name
from tiffsd.spec import ID_PATTERN

SAVED_AGAIN = (
    "this picture was edited, or saved again by another program, since it was made: the recipe makes the picture as it was"
)


def read_recipe(file: BinaryIO, name: str, config: Config) -> Prompt:
    """The recipe that a picture carries, without its pixels; empty where there is none. Raises InputError for no picture."""
    return _recipe_of_record(file, name) if _is_recorded(name) else recipe_in(_words(file, name, config), name, config)


def read_to_repeat(file: BinaryIO, name: str, config: Config) -> Prompt:
    """The same, with a note where the pixels are not those that were written with the recipe, as `saved_again` tells."""
    if _is_recorded(name):
        prompt = _recipe_of_record(file, name)
        return replace(prompt, notes=prompt.notes + saved_again(file, name, config)) if prompt.settings else prompt
    words = _words(file, name, config)
    prompt = recipe_in(words, name, config)
    return replace(prompt, notes=prompt.notes + _other_pixels(words, name))


def saved_again(file: BinaryIO, name: str, config: Config) -> tuple[str, ...]:
    """The sentence on a picture whose pixels are not those that were written with its recipe; none where nothing tells."""
    if Path(name).suffix.lower() in EXR:
        # Its values are those of linear light, which are not the ones that were written to the last bit.
        return ()
    if not _is_recorded(name):
        return _other_pixels(_words(file, name, config), name)
    written = tiffsd.inspect(file, name=name).extra.get(PIXELS)
    return () if written is None or written == _digest_of_tiff(file, name, config) else (SAVED_AGAIN,)


def recipe_in(words: TextInPicture, name: str, config: Config) -> Prompt:
    """The recipe in the words of a PNG, JPEG or WebP; empty where there is none, and where it is of a form that is not read, with a
    note. Raises InputError where it is damaged or too long, and of latents that were exported as a picture; what of another
    program's cannot be honoured is among its faults."""
    if words.refused is not None:
        raise InputError(words.refused)
    if words.canvas is not None:
        raise InputError(told_of_exported(name, words.canvas))
    if words.exact is not None:
        found = _recipe(_record(words.exact, name), name)
    elif words.infotext is not None:
        found = _from_another_picture(with_what_is_there(read_labelled(words.infotext), config))
    elif words.foreign is not None and words.foreign["unread"]:
        found = Prompt({}, (words.foreign["unread"],))
    elif words.foreign is not None:
        found = _from_another_picture(with_what_is_there(read_foreign(words.foreign), config))
    else:
        found = Prompt({})
    return replace(found, notes=(*words.notes, *found.notes))


def recipe_of_kept(header: tiffsd.Header, name: str) -> Prompt:
    """The recipe of the finished picture that was kept of one that comes back without its own."""
    return _recipe(vars(header), name)


def finished_id(file: BinaryIO, name: str, words: TextInPicture | None) -> str | None:
    """The id under which a picture was finished: by its recipe, else by its name; None where neither says one."""
    if _is_recorded(name):
        return tiffsd.find_id(file, name)
    return _id_in(words, name) or id_in_name(name)


def _id_in(words: TextInPicture | None, name: str) -> str | None:
    """The id in the exact recipe of a picture, which the last entry of its history has."""
    try:
        history = [] if words is None or words.exact is None else _record(words.exact, name)["history"]
    except InputError:
        return None
    said = history[-1].get("id") if history else None
    return said if isinstance(said, str) and ID_PATTERN.fullmatch(said) else None


def _is_recorded(name: str) -> bool:
    return Path(name).suffix.lower() in RECORDED


def _words(file: BinaryIO, name: str, config: Config) -> TextInPicture:
    return read_words(file, name=name, characters=config.limits.characters)


def _recipe_of_record(file: BinaryIO, name: str) -> Prompt:
    header = tiffsd.inspect(file, name=name)
    return _recipe(vars(header), name) if header.recipe else Prompt({})


def _other_pixels(words: TextInPicture, name: str) -> tuple[str, ...]:
    written = None if words.exact is None else _record(words.exact, name).get(PIXELS)
    return () if written is None or written == words.pixels else (SAVED_AGAIN,)


def _digest_of_tiff(file: BinaryIO, name: str, config: Config) -> str | None:
    """The digest of the values in a TIFF; None where they cannot be read, which are surely not those that were written."""
    try:
        return digest_of_tiff(file, name=name, limit=config.limits.pixels)
    except (tiffsd.TiffsdError, InputError):
        return None


def _record(text: str, name: str) -> Mapping[str, Any]:
    """The exact record: recipe, history and software. Raises InputError where it is damaged."""
    try:
        record = json.loads(text)
        record = {"software": {SOFTWARE: "0.1.0"}, **record}  # its first pictures do not say it
        well_formed = isinstance(record["recipe"], dict) and isinstance(record["software"], dict)
        if well_formed and all(isinstance(entry, dict) for entry in record["history"]):
            return record
    except (ValueError, KeyError, TypeError, RecursionError):
        pass
    raise InputError(f"{name}: the recipe in this picture is damaged; drop a prompt file instead")


def _recipe(record: Mapping[str, Any], name: str) -> Prompt:
    recipe, history = record["recipe"], record["history"]
    said = {key: value for key, value in recipe.items() if key not in ("hold", "strength")}
    unknown = sorted(key for key in said if key not in Settings.model_fields)
    settings = checked({key: value for key, value in said.items() if key not in unknown}, name).given()
    notes = [f"{shown(key)[:40]} ignored: a setting of the recipe that this version does not know" for key in unknown]
    settings = {**as_made_by(record["software"].get(SOFTWARE)), **settings}
    return Prompt(settings, (*notes, *unrepeatable(recipe, history)), record["software"])


def unrepeatable(recipe: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[str]:
    """What running a recipe again cannot give back, in sentences."""
    notes = []
    edits = [str(entry.get("what")) for entry in history if entry.get("painted") and entry.get("stage") == "edit"]
    if edits:
        notes.append(f"this picture or its latents were edited ({', '.join(edits)}): the recipe does not repeat that")
    by_hand = [str(entry.get("stage", "a stage")) for entry in history if entry.get("painted") and entry.get("stage") != "edit"]
    if "encode" in by_hand:
        notes.append("this picture was painted on after it was finished: the recipe does not repeat that")
    painted = [stage for stage in by_hand if stage != "encode"]
    if painted:
        notes.append(f"latents of this picture were edited by hand before {' and '.join(painted)}: the recipe does not repeat that")
    shown = [str(entry.get("stage", "a stage")) for entry in history if entry.get("painted_blocks")]
    if shown:
        notes.append(f"somebody painted on the proof of this picture before {' and '.join(shown)}: the recipe does not repeat that")
    if any(entry.get("stage") == "invert" for entry in history):
        notes.append("the noise of this picture was found by inversion, and no seed draws it: the recipe starts from other noise")
    elif any(entry.get("stage") == "encode" and not entry.get("painted") for entry in history):
        notes.append("this picture came from another picture: the recipe starts from noise instead")
    elif "strength" in recipe and not any(entry.get("stage") == "encode" for entry in history):
        notes.append("this picture was made anew from finished latents: the recipe starts from noise instead")
    numbers = next((str(entry["numbers"])[:80] for entry in history if entry.get("numbers")), None)
    if numbers:
        notes.append(f"this picture was made fast, in {numbers}: made again it is the same to the eye, not to the bit")
    return notes


def with_what_is_there(prompt: Prompt, config: Config) -> Prompt:
    """The prompt without what its recipe names and the configuration does not have, and notes on that; what a person said stays."""
    settings, notes = dict(prompt.settings), list(prompt.notes)
    for key, known in (("model", config.models), ("vae", config.vaes)):
        if key in settings and key in prompt.of_recipe and settings[key] not in known:
            notes.append(f"the recipe's {key} {shown(str(settings.pop(key)))!r} is not in config.yaml; the default is used instead")
    shelf = config.loras() if "loras" in prompt.of_recipe else {}
    for name in [name for name in settings.get("loras") or {} if "loras" in prompt.of_recipe and name not in shelf]:
        settings["loras"] = {other: weight for other, weight in settings["loras"].items() if other != name}
        notes.append(f"LoRA {name!r} of the recipe ignored: it is not in the folder of adapters.loras in config.yaml")
    there = config.textual_inversions() if prompt.inversions else {}
    notes += [
        f"textual inversion {shown(name)[:80]!r} of the recipe is not in the folder of adapters.textual_inversions in config.yaml; "
        "its name is read as words"
        for name in prompt.inversions
        if name not in there
    ]
    return replace(prompt, settings=settings, notes=tuple(notes))


def _from_another_picture(prompt: Prompt) -> Prompt:
    """The recipe of a picture without the strength with which that came of another, and without a prompt of no words."""
    settings, notes = dict(prompt.settings), prompt.notes
    if settings.pop("strength", None) is not None:
        notes += ("this picture came from another picture: the recipe starts from noise instead",)
    if not str(settings.get("prompt", "")).strip():
        settings.pop("prompt", None)
    return replace(prompt, settings=settings, notes=notes)
