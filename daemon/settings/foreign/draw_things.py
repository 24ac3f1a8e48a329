"""The recipe of Draw Things: a JSON object of short keys, in the comment of the EXIF data or of the XMP."""

import re
from collections.abc import Mapping
from html import unescape
from typing import Any

from daemon.settings.foreign.recipe import Foreign, file_name, loras, made, translated

PROGRAM = "Draw Things"
NAMES = {
    "c": "prompt",
    "uc": "negative_prompt",
    "seed": "seed",
    "steps": "steps",
    "scale": "guidance_scale",
    "sampler": "scheduler",
    "model": "model",
    "strength": "strength",
    "lora": "loras",
    "clip_skip": "clip_skip",
}
SILENT = ("size", "profile", "v2", "mask_blur", "tiled_decoding")
# How it makes noise out of a seed, which "seed_mode" names, is its own.
OWN = "Draw Things draws its noise in its own way: the same seed gives another picture here"
_COMMENT = re.compile(r"<exif:UserComment>(?P<inner>.{0,1000000}?)</exif:UserComment>", re.DOTALL)
_TAG = re.compile(r"<[^<>]*>")
_SIZE = re.compile(r"(\d{1,5})x(\d{1,5})")


def is_recipe(record: Mapping[str, Any]) -> bool:
    """Whether a record is one of Draw Things."""
    return "c" in record and bool({"seed_mode", "sampler", "uc"} & record.keys())


def read(recipe: Mapping[str, Any]) -> Foreign:
    """The recipe in a record of its keys."""
    rest = {key: value for key, value in recipe.items() if key != "seed_mode" and (key, value) != ("shift", 1)}
    said, notes = translated(rest, NAMES, SILENT)
    named = said.get("loras")
    entries = [entry for entry in named if isinstance(entry, dict)] if isinstance(named, list) else []
    said["loras"] = loras([(entry.get("model"), entry.get("weight", 1.0)) for entry in entries])
    if said.get("strength") == 1:
        said.pop("strength")
    if found := _SIZE.fullmatch(str(recipe.get("size"))[:20]):
        said |= {"width": int(found[1]), "height": int(found[2])}
    return made(PROGRAM, {**said, "model": file_name(said.get("model")), "rng": "cpu"}, [OWN, *notes])


def comment_in(xmp: str) -> str | None:
    """The comment that an XMP packet holds, as text; no parser of XML is needed for it, nor would be safe."""
    found = _COMMENT.search(xmp)
    return unescape(_TAG.sub("", found["inner"])).strip() if found else None
