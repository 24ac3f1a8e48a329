"""The recipe of NovelAI: a JSON object in `Comment`, or in the lowest bits of the alpha channel."""

import re
from collections.abc import Mapping
from typing import Any

from daemon.settings.foreign.recipe import Foreign, made, parsed, translated

PROGRAM = "NovelAI"
NAMES = {
    "prompt": "prompt",
    "uc": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "scale": "guidance_scale",
    "cfg_rescale": "guidance_rescale",
    "sampler": "scheduler",
    "noise_schedule": "schedule",
    "width": "width",
    "height": "height",
    "strength": "strength",
}
SILENT = (
    *("n_samples", "request_type", "signed_hash", "version", "uncond_scale", "legacy", "legacy_uc", "legacy_v3_extend"),
    *("v4_prompt", "v4_negative_prompt", "stream", "noise", "hide_debug_overlay", "lora_clip_weights", "lora_unet_weights"),
)
SCHEDULES = {"native": None, "exponential": "exponential", "karras": "karras", "polyexponential": "polyexponential"}
# What it calls a sampler begins so, and may end in its version.
_SAMPLER = re.compile(r"(?:k_)?(?P<name>.+?)(?:_v\d)?")
OWN = "the models of NovelAI and the noise that it draws are its own: the same settings give another picture here"
HEAVIER = 1.05
# Its braces count as weights, its round brackets as characters.
_PLAIN = re.compile(r"([()])")
_NUMBERED = re.compile(r"(?:^|\s|,)-?\d*\.?\d+::")


def is_recipe(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of NovelAI."""
    return "prompt" in record and ("uc" in record or "steps" in record)


def read(recipe: Mapping[str, Any]) -> Foreign:
    """The recipe in the record of `Comment`."""
    said, notes = translated(recipe, NAMES, SILENT)
    for key in ("prompt", "negative_prompt"):
        if isinstance(said.get(key), str):
            said[key] = weighted(said[key])
            if _NUMBERED.search(said[key]):
                notes.append(f"weights as 1.2::words:: in the {key.replace('_', ' ')} ignored: they are read as words")
    notes += _characters(recipe.get("v4_prompt"))
    if isinstance(sampler := said.get("scheduler"), str) and (found := _SAMPLER.fullmatch(sampler[:100])):
        said["scheduler"] = found["name"]
    schedule = said.get("schedule")
    said["schedule"] = SCHEDULES.get(schedule, schedule) if isinstance(schedule, str) else None
    return made(PROGRAM, {**said, "rng": "cpu"}, [OWN, *notes])


def _characters(prompt: object) -> list[str]:
    """A note on the characters that version 4 is told of apart from the prompt."""
    caption = prompt.get("caption") if isinstance(prompt, dict) else None
    told = caption.get("char_captions") if isinstance(caption, dict) else None
    return (
        [f"{len(told)} characters of the recipe ignored: it tells of them apart from the prompt"]
        if isinstance(told, list) and told
        else []
    )


def of_hidden(texts: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The recipe in what the alpha channel holds: the texts of the picture once more, as before somebody took them out."""
    inner = texts.get("Comment")
    record = parsed(inner) if isinstance(inner, str) else texts
    if record is not None and "prompt" in record:
        return record
    return {"prompt": texts["Description"]} if isinstance(texts.get("Description"), str) else None


def weighted(prompt: str) -> str:
    """A prompt of theirs in our grammar: {words} count 1.05 times, [words] by as much less, and round brackets are characters."""
    prompt = _PLAIN.sub(r"\\\1", prompt)
    for opening, closing, factor in (("{", "}", HEAVIER), ("[", "]", 1 / HEAVIER)):
        prompt = prompt.replace(opening, "(").replace(closing, f":{factor:.4g})")
    return prompt
