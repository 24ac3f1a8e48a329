"""The recipe that rides in a picture, so that the picture can be dropped and made again.

`pictures/forms.py` says what is written into a picture; a TIFF has its recipe in the record of its artifact. Pictures of other
programs are read too, as far as they hold A1111's infotext.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import tiffsd
from daemon.errors import InputError
from daemon.names import shown
from daemon.pictures.decoding import check_size, read_artifact
from daemon.pictures.exif_text import ExifText, exif_text
from daemon.pictures.forms import EXACT_RECIPE, INFOTEXT, PIXELS, values_digest
from daemon.pictures.parts import Form, form_of, pixels_digest
from daemon.pictures.png_text import png_text
from daemon.settings.config import Config
from daemon.settings.prompts import Prompt, parse_prompt
from daemon.settings.vocabulary import Settings, checked

TIFF_SUFFIXES = (".tif", ".tiff")
SAVED_AGAIN = (
    "this picture was edited, or saved again by another program, since it was made: the recipe makes the picture as it was"
)


def read_recipe(file: BinaryIO, name: str, config: Config) -> Prompt:
    """The recipe that a picture carries, without its pixels; empty where there is none. Raises InputError for no picture."""
    if Path(name).suffix.lower() in TIFF_SUFFIXES:
        header = tiffsd.inspect(file, name=name)
        return _recipe(vars(header), name) if header.recipe else Prompt({})
    text, _ = _texts(file, name)
    if text.exact is not None:
        return _recipe(_record(text.exact, name), name)
    if text.infotext is not None:
        return _foreign_recipe(text.infotext, name, config)
    return Prompt({})


def saved_again(file: BinaryIO, name: str, config: Config) -> tuple[str, ...]:
    """The sentence on a picture whose pixels are not those that were written with its recipe; none where nothing tells."""
    if Path(name).suffix.lower() in TIFF_SUFFIXES:
        written = tiffsd.inspect(file, name=name).extra.get(PIXELS)
        same = written is None or written == _digest_of_tiff(file, name, config)
    else:
        text, form = _texts(file, name)
        written = None if text.exact is None else _record(text.exact, name).get(PIXELS)
        same = written is None or written == pixels_digest(file, form)
    return () if same else (SAVED_AGAIN,)


def _digest_of_tiff(file: BinaryIO, name: str, config: Config) -> str | None:
    """The digest of the values in a TIFF; None where they cannot be read, which are surely not those that were written."""
    try:
        height, width, _ = tiffsd.inspect(file, name=name).size
        check_size(width, height, name, config.limits.pixels)
        return values_digest(read_artifact(file, expect=tiffsd.Kind.PICTURE, name=name).tensors["picture"])
    except (tiffsd.TiffsdError, InputError):
        return None


def _texts(file: BinaryIO, name: str) -> tuple[ExifText, Form]:
    form = form_of(file)
    if form is Form.PNG:
        texts = png_text(file)
        return ExifText(texts.get(INFOTEXT), texts.get(EXACT_RECIPE)), form
    if form is not None:
        return exif_text(file, form), form
    raise InputError(f"{name}: this is no PNG, JPEG or WebP picture that can be read; save it anew and drop it again")


def _record(text: str, name: str) -> Mapping[str, Any]:
    """The exact record: recipe, history and software. Raises InputError where it is damaged."""
    try:
        record = json.loads(text)
        record = {"software": {}, **record}  # pictures of 0.1.0 do not say it
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
    notes = [f"the recipe says {shown(key)[:40]}, which this version does not know; it is passed over" for key in unknown]
    return Prompt(settings, (*notes, *unrepeatable(recipe, history)), record["software"])


def unrepeatable(recipe: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[str]:
    """What running a recipe again cannot give back, in sentences."""
    notes = []
    edits = [str(entry.get("what")) for entry in history if entry.get("painted") and entry.get("stage") == "edit"]
    if edits:
        notes.append(f"this picture or its latents were edited ({', '.join(edits)}): the recipe does not repeat that")
    painted = [str(entry.get("stage", "a stage")) for entry in history if entry.get("painted") and entry.get("stage") != "edit"]
    if painted:
        notes.append(f"latents of this picture were edited by hand before {' and '.join(painted)}: the recipe does not repeat that")
    if any(entry.get("stage") == "invert" for entry in history):
        notes.append("the noise of this picture was found by inversion, and no seed draws it: the recipe starts from other noise")
    elif any(entry.get("stage") == "encode" for entry in history):
        notes.append("this picture came from another picture: the recipe starts from noise instead")
    elif "strength" in recipe:
        notes.append("this picture was made anew from finished latents: the recipe starts from noise instead")
    numbers = next((str(entry["numbers"])[:80] for entry in history if entry.get("numbers")), None)
    if numbers:
        notes.append(f"this picture was made fast, in {numbers}: made again it is the same to the eye, not to the bit")
    return notes


def _foreign_recipe(text: str, name: str, config: Config) -> Prompt:
    prompt = parse_prompt(text.encode(), name, characters=config.limits.characters)
    settings, notes = dict(prompt.settings), list(prompt.notes)
    for key, known in (("model", config.models), ("vae", config.vaes)):
        if key in settings and settings[key] not in known:
            notes.append(f"the recipe's {key} {settings.pop(key)!r} is not in config.yaml; the default is used instead")
    shelf = config.loras()
    for name in [name for name in settings.get("loras", {}) if name not in shelf]:
        settings["loras"] = {other: weight for other, weight in settings["loras"].items() if other != name}
        notes.append(f"the recipe's LoRA {name!r} is not in the folder of adapters.loras in config.yaml; it is passed over")
    if settings.pop("strength", None) is not None:
        notes.append("this picture came from another picture: the recipe starts from noise instead")
    return Prompt(settings, tuple(notes))
