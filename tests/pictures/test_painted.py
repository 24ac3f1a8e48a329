"""Which blocks of a picture were painted, by the file that somebody saved."""

import io
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageDraw, features
from scipy import ndimage

from daemon.pictures.painted import painted_in_lossy, painted_in_pixels
from tests.thorough import mostly_thorough
from training import scenes

Levels = NDArray[np.uint8]
BLOCK = 8
PICTURES = 6
FORMS: dict[str, tuple[str, dict[str, Any]]] = {
    **{f"JPEG {quality}": ("JPEG", {"quality": quality}) for quality in (50, 75, 90, 95)},
    "JPEG 75 of whole colours": ("JPEG", {"quality": 75, "subsampling": 0}),
    "JPEG 85 of halved colours": ("JPEG", {"quality": 85, "subsampling": 1}),
    "JPEG 80 in passes": ("JPEG", {"quality": 80, "progressive": True, "optimize": True}),
    **{f"WebP {quality}": ("WEBP", {"quality": quality}) for quality in (75, 90)},
    **({"AVIF 75": ("AVIF", {"quality": 75})} if features.check("avif") else {}),
}


@cache
def pictures() -> list[Levels]:
    """Scenes in three sizes: as they are, with the grain of film, with that of a sensor, and with clouds of noise."""
    return [_picture(number) for number in range(PICTURES)]


def _picture(number: int) -> Levels:
    random, side = np.random.default_rng(number), 128 * (1, 2, 4)[number % 3]
    picture = np.asarray(scenes.draw(scenes.random_scene(number)).resize((side, side), Image.Resampling.LANCZOS), np.float32)
    if number % 4 == 1:
        picture += random.normal(0, 6, (side, side, 1))
    elif number % 4 == 2:
        picture += random.normal(0, 12, (side, side, 3))
    elif number % 4 == 3:
        clouds = Image.fromarray(random.normal(0, 10, (16, 16)).astype(np.float32)).resize((side, side), Image.Resampling.BICUBIC)
        picture += np.asarray(clouds)[..., None]
    return picture.clip(0, 255).astype(np.uint8)


def _line(picture: Levels, random: np.random.Generator) -> Levels:
    image = Image.fromarray(picture)
    x, y = (int(place) for place in random.integers(20, picture.shape[0] - 50, 2))
    ImageDraw.Draw(image).line([(x, y), (x + 24, y + 17)], fill=_other_colour(picture[y, x]), width=2)
    return np.asarray(image)


def _blob(picture: Levels, random: np.random.Generator) -> Levels:
    image = Image.fromarray(picture)
    x, y = (int(place) for place in random.integers(20, picture.shape[0] - 50, 2))
    ImageDraw.Draw(image).ellipse([x, y, x + 26, y + 22], fill=_other_colour(picture[y + 11, x + 13]))
    return np.asarray(image)


def _glow(picture: Levels, random: np.random.Generator) -> Levels:
    rows, columns = np.mgrid[: picture.shape[0], : picture.shape[1]] - random.integers(30, picture.shape[0] - 40, 2)[:, None, None]
    light = np.exp(-(rows**2 + columns**2) / 128)[..., None] * (40, -30, 20)
    return (picture + light).clip(0, 255).astype(np.uint8)


def _other_colour(colour: Levels) -> tuple[int, ...]:
    return tuple((int(level) + 128) % 256 for level in colour)


PAINTS: dict[str, Callable[[Levels, np.random.Generator], Levels]] = {"line": _line, "blob": _blob, "glow": _glow}


def saved(picture: Levels, form: str) -> tuple[bytes, Levels]:
    name, options = FORMS[form]
    file = io.BytesIO()
    Image.fromarray(picture).save(file, name, **options)
    return file.getvalue(), np.asarray(Image.open(file).convert("RGB"))


def touched(picture: Levels, painted: Levels, *, share: float = 0.15, levels: int = 8) -> NDArray[np.bool_]:
    """The blocks of which so much was painted that it can be seen."""
    changed = np.abs(picture.astype(int) - painted).max(axis=2) > levels
    blocks = changed.reshape(picture.shape[0] // BLOCK, BLOCK, picture.shape[1] // BLOCK, BLOCK)
    return np.asarray(blocks.mean(axis=(1, 3)) > share)


@pytest.mark.parametrize("form", FORMS)
def test_a_picture_that_was_only_saved_again_is_not_painted(form: str) -> None:
    found = [painted_in_lossy(*saved(picture, form), picture, block=BLOCK).share for picture in pictures()]
    assert found == [0] * PICTURES


@pytest.mark.parametrize("paint", PAINTS)
@pytest.mark.parametrize("form", mostly_thorough(FORMS, always=lambda form: form in list(FORMS)[::3]))
def test_paint_is_found_and_little_around_it(form: str, paint: str) -> None:
    there = found = beside = blocks = 0
    for number, picture in enumerate(pictures()):
        painted = PAINTS[paint](picture, np.random.default_rng(number))
        told = painted_in_lossy(*saved(painted, form), picture, block=BLOCK).blocks
        wanted = touched(picture, painted)
        there, found = there + int(wanted.sum()), found + int((wanted & told).sum())
        near = ndimage.binary_dilation(touched(picture, painted, share=0, levels=0), np.ones((3, 3)), iterations=3)
        beside, blocks = beside + int((told & ~near).sum()), blocks + told.size
    # A soft glow may lie below what the form keeps.
    assert found >= there * (1 if form.startswith("JPEG") and paint != "glow" else 0.8)
    assert beside <= blocks * (0 if form.startswith("JPEG") else 0.01)


def test_of_a_lossless_form_every_stroke_counts_and_no_rounding() -> None:
    shown = pictures()[0]
    saved_levels = shown.astype(np.float32)
    saved_levels[::2] += 1
    assert painted_in_pixels(saved_levels / 255, shown, block=BLOCK).share == 0

    saved_levels[17, 42] = (255 - shown[17, 42]) // 2
    paint = painted_in_pixels(saved_levels / 255, shown, block=BLOCK)
    assert np.argwhere(paint.blocks).tolist() == [[2, 5]]
    assert paint.cover == pytest.approx(1 / 64)


def test_what_was_made_transparent_was_painted() -> None:
    shown = pictures()[0]
    alpha = np.ones(shown.shape[:2], np.float32)
    alpha[8:24, 8:16] = 0.5
    paint = painted_in_pixels(shown.astype(np.float32) / 255, shown, block=BLOCK, alpha=alpha)
    assert np.argwhere(paint.blocks).tolist() == [[1, 1], [2, 1]]
    assert paint.cover == 1
