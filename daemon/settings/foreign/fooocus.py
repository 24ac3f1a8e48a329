"""The recipe of Fooocus: a JSON object in `parameters`, or in the comment of a JPEG, of its scheme "fooocus"."""

import re
from collections.abc import Mapping
from typing import Any

from daemon.settings.foreign.comfyui_names import schedule
from daemon.settings.foreign.recipe import Foreign, file_name, loras, made, translated

PROGRAM = "Fooocus"
NAMES = {
    "prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "base_model": "model",
    "vae": "vae",
    "seed": "seed",
    "steps": "steps",
    "guidance_scale": "guidance_scale",
    "sampler": "scheduler",
    "scheduler": "schedule",
    "clip_skip": "clip_skip",
}
# What it made of the prompt, and what repeats other keys.
SILENT = (
    *("version", "metadata_scheme", "created_by", "base_model_hash", "full_prompt", "full_negative_prompt", "performance"),
    *("resolution", "loras", "user"),
)
OWN = (
    "Fooocus changes how the denoiser works (its sharpness and ADM guidance), and its styles and its expansion change the prompt: "
    "the same settings give another picture here"
)
_RESOLUTION = re.compile(r"\(?\s*(\d{1,5})\s*[,x]\s*(\d{1,5})\s*\)?")
_LORA = re.compile(r"lora_\d+|lora_combined_\d+")


def is_recipe(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of Fooocus."""
    plain = _plainly(record)
    return str(plain.get("version", "")).startswith(PROGRAM) or {"base_model", "performance"} <= plain.keys()


def read(record: Mapping[str, Any]) -> Foreign:
    """The recipe in a record of its keys, in either spelling."""
    recipe = _plainly(record)
    named = [entry for key in recipe if _LORA.fullmatch(key) for entry in [_said_in_words(recipe[key])] if entry]
    listed = recipe.get("loras")
    named += [(entry[0], entry[1]) for entry in listed if _is_pair(entry)] if isinstance(listed, list) else []
    said, notes = translated({key: value for key, value in recipe.items() if not _LORA.fullmatch(key)}, NAMES, SILENT)
    if named:
        said["loras"] = loras(named)
    if found := _RESOLUTION.fullmatch(str(recipe.get("resolution", ""))[:40]):
        said |= {"width": int(found[1]), "height": int(found[2])}
    said |= {"model": file_name(said.get("model")), "schedule": schedule(said.get("schedule"))}
    said["vae"] = None if "default" in str(said.get("vae")).lower() else file_name(said.get("vae"))
    return made(PROGRAM, {**said, "rng": "cpu"}, [OWN, *notes])


def _plainly(record: Mapping[str, Any]) -> dict[str, Any]:
    """Its log and its pictures spell keys in two ways: "Base Model" and base_model."""
    return {key.strip().lower().replace(" ", "_"): value for key, value in record.items()}


def _is_pair(entry: object) -> bool:
    return isinstance(entry, list) and len(entry) >= 2


def _said_in_words(value: object) -> tuple[object, object] | None:
    name, mark, weight = str(value).rpartition(" : ")
    return (name, weight) if mark else None
