"""Pictures as people know them: reading photos, writing PNG, and the recipe that rides in a picture so that it can be run again.

The recipe stands twice in a PNG: as A1111's infotext under `parameters`, which other programs read, and exactly, as JSON under
`tiffsd`.
"""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, ImageOps, PngImagePlugin

import tiffsd
from daemon.config import Config
from daemon.decoding import check_size, decode_photo, read_artifact
from daemon.errors import InputError
from daemon.names import shown
from daemon.png_text import PNG_BEGINNING, png_text
from daemon.prompts import Prompt, parse_prompt, render_infotext
from daemon.settings import LATER, PIXELS_PER_LATENT, Settings, checked

TIFF_SUFFIXES = (".tif", ".tiff")
EXACT_RECIPE = "tiffsd"
INFOTEXT = "parameters"
JPEG_BEGINNING, WEBP_BEGINNING = b"\xff\xd8\xff", (b"RIFF", b"WEBP")
Picture = NDArray[np.float32]


def write_png(
    file: BinaryIO, picture: Picture, *, recipe: Mapping[str, Any], history: Sequence[Mapping[str, Any]], version: str
) -> None:
    """Write an 8-bit PNG: (H,W,3) float, clipped to 0..1 and rounded as diffusers does, sRGB, with the recipe in it."""
    levels = (np.clip(picture, 0, 1) * 255).round().astype(np.uint8)
    info = PngImagePlugin.PngInfo()
    info.add_text(INFOTEXT, render_infotext(recipe, version))
    info.add_text(EXACT_RECIPE, recipe_json(recipe, history))
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(levels).save(file, format="PNG", pnginfo=info, icc_profile=profile, compress_level=4)


def recipe_json(recipe: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> str:
    """The record that a picture carries so that it can be run again: one line of ASCII JSON."""
    return json.dumps({"recipe": dict(recipe), "history": [dict(entry) for entry in history]})


def read_recipe(path: Path, name: str, config: Config) -> Prompt:
    """The recipe that a picture carries, without its pixels; empty where there is none. Raises InputError for no picture."""
    if Path(name).suffix.lower() in TIFF_SUFFIXES:
        header = tiffsd.inspect(path)
        return _recipe(header.recipe, header.history, name) if header.recipe else Prompt({})
    text = _text(path, name)
    if EXACT_RECIPE in text:
        return _exact_recipe(text[EXACT_RECIPE], name)
    if INFOTEXT in text:
        return _foreign_recipe(text[INFOTEXT], name, config)
    return Prompt({})


def _text(path: Path, name: str) -> Mapping[str, str]:
    with path.open("rb") as file:
        beginning = file.read(12)
        if beginning.startswith(PNG_BEGINNING):
            return png_text(file)
    if beginning.startswith(JPEG_BEGINNING) or (beginning[:4], beginning[8:]) == WEBP_BEGINNING:
        return {}
    raise InputError(f"{name}: this is no PNG, JPEG or WebP picture that can be read; save it anew and drop it again")


def _exact_recipe(text: str, name: str) -> Prompt:
    try:
        record = json.loads(text)
        return _recipe(record["recipe"], record["history"], name)
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise InputError(f"{name}: the recipe in this picture is damaged; drop a prompt file instead") from None


def _recipe(recipe: Mapping[str, Any], history: Sequence[Mapping[str, Any]], name: str) -> Prompt:
    said = {key: value for key, value in recipe.items() if key not in ("hold", "strength")}
    unknown = sorted(key for key in said if key not in Settings.model_fields and key not in LATER)
    settings = checked({key: value for key, value in said.items() if key not in unknown}, name).given()
    notes = [f"the recipe says {shown(key)[:40]}, which this version does not know; it is passed over" for key in unknown]
    return Prompt(settings, (*notes, *unrepeatable(recipe, history)))


def unrepeatable(recipe: Mapping[str, Any], history: Sequence[Mapping[str, Any]]) -> list[str]:
    """What running a recipe again cannot give back, in sentences."""
    notes = []
    edits = [str(entry.get("what")) for entry in history if entry.get("painted") and entry.get("stage") == "edit"]
    if edits:
        notes.append(f"this picture or its latents were edited ({', '.join(edits)}): the recipe does not repeat that")
    painted = [str(entry.get("stage", "a stage")) for entry in history if entry.get("painted") and entry.get("stage") != "edit"]
    if painted:
        notes.append(f"latents of this picture were edited by hand before {' and '.join(painted)}: the recipe does not repeat that")
    if any(entry.get("stage") == "encode" for entry in history):
        notes.append("this picture came from another picture: the recipe starts from noise instead")
    elif "strength" in recipe:
        notes.append("this picture was made anew from finished latents: the recipe starts from noise instead")
    return notes


def _foreign_recipe(text: str, name: str, config: Config) -> Prompt:
    prompt = parse_prompt(text.encode(), name, characters=config.limits.characters)
    settings, notes = dict(prompt.settings), list(prompt.notes)
    for key, known in (("model", config.models), ("vae", config.vaes)):
        if key in settings and settings[key] not in known:
            notes.append(f"the recipe's {key} {settings.pop(key)!r} is not in config.yaml; the default is used instead")
    if settings.pop("strength", None) is not None:
        notes.append("this picture came from another picture: the recipe starts from noise instead")
    return Prompt(settings, tuple(notes))


def read_photo(path: Path, name: str, *, size: tuple[int | None, int | None], limit: int) -> tuple[Picture, tuple[str, ...]]:
    """A picture as (H,W,3) float32 in 0..1, fitted to `size` (width, height) or trimmed to the grid, and what was done to it.

    Raises InputError where it is no picture or has more than `limit` pixels, and TiffsdError for a TIFF that cannot be read.
    """
    if Path(name).suffix.lower() in TIFF_SUFFIXES:
        header = tiffsd.inspect(path, name=name)
        if header.kind is tiffsd.Kind.PICTURE:
            check_size(header.size[1], header.size[0], name, limit)
        artifact = read_artifact(path, expect=tiffsd.Kind.PICTURE, name=name)
        picture, notes = artifact.tensors["picture"], artifact.notes
    else:
        picture, notes = decode_photo(path, name=name, limit=limit)
    height, width, _ = picture.shape
    if min(width, height) < PIXELS_PER_LATENT:
        raise InputError(f"{name}: {width}x{height} is too small; a picture needs {PIXELS_PER_LATENT} pixels on each side")
    wanted = _wanted(size, width, height)
    check_size(*wanted, name, limit)
    return _fitted(picture, wanted, notes, scales=size != (None, None))


def _wanted(size: tuple[int | None, int | None], width: int, height: int) -> tuple[int, int]:
    """The size to bring a picture to: as asked, the other side in proportion where one is asked for, else trimmed to the grid."""
    if size[0] is None and size[1] is None:
        return _on_grid(width), _on_grid(height)
    return size[0] or _on_grid(width * (size[1] or 0) / height), size[1] or _on_grid(height * (size[0] or 0) / width)


def _on_grid(side: float) -> int:
    return max(int(side) // PIXELS_PER_LATENT, 1) * PIXELS_PER_LATENT


def _fitted(picture: Picture, wanted: tuple[int, int], notes: tuple[str, ...], *, scales: bool) -> tuple[Picture, tuple[str, ...]]:
    height, width, _ = picture.shape
    if wanted == (width, height):
        return picture, notes
    if scales:
        return _scaled(picture, wanted), (*notes, f"scaled and cropped from {width}x{height} to {wanted[0]}x{wanted[1]}")
    left, top = (width - wanted[0]) // 2, (height - wanted[1]) // 2
    trimmed = np.ascontiguousarray(picture[top : top + wanted[1], left : left + wanted[0]])
    return trimmed, (*notes, f"trimmed from {width}x{height} to {wanted[0]}x{wanted[1]}, multiples of {PIXELS_PER_LATENT}")


def _scaled(picture: Picture, size: tuple[int, int]) -> Picture:
    channels = [Image.fromarray(np.ascontiguousarray(picture[..., index])) for index in range(3)]
    fitted = [np.asarray(ImageOps.fit(channel, size, Image.Resampling.LANCZOS), dtype=np.float32) for channel in channels]
    return np.stack(fitted, axis=2)
