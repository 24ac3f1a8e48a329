"""A picture that somebody has painted on, read in the child process: which of those that were shown it was, and where paint is."""

import io
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import tiffsd
from daemon.errors import InputError
from daemon.pictures.code_points import D65, PRIMARIES, profile_of
from daemon.pictures.colour import to_srgb
from daemon.pictures.decoding import PaintedOn, decode_painted
from tests.pictures.test_painted import pictures
from tiffsd.inks import Space

SIDE, BLOCK = 64, 8
LINEAR = profile_of(PRIMARIES[1], D65, 1.0)
ADOBE = profile_of((0.64, 0.33, 0.21, 0.71, 0.15, 0.06), D65, 2.19921875)
Levels = NDArray[np.uint8]


def picture(seed: int = 1) -> Levels:
    rough = np.random.default_rng(seed).integers(40, 200, (8, 8, 3), dtype=np.uint8)
    return np.asarray(Image.fromarray(rough).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def painted(levels: Levels) -> Levels:
    copy = levels.copy()
    copy[16:32, 24:40] = (255, 0, 0)
    return copy


def saved(folder: Path, name: str, levels: Levels, **options: object) -> Path:
    Image.fromarray(levels).save(folder / name, **options)  # type: ignore[arg-type]
    return folder / name


def read(path: Path, *shown: Path) -> PaintedOn | None:
    files = [io.FileIO(one) for one in (path, *shown)]
    try:
        tiff = path.suffix in (".tif", ".tiff")
        return decode_painted(files[0], files[1:], name=path.name, block=BLOCK, limit=1 << 14, tiff=tiff)  # type: ignore[arg-type]
    finally:
        for file in files:
            file.close()


EXPECTED = np.zeros((8, 8), bool)
EXPECTED[2:4, 3:5] = True


@pytest.mark.parametrize("name", ["cat.png", "cat.tiff", "cat.bmp.png"])
def test_paint_in_a_lossless_form_is_found_to_the_block(tmp_path: Path, name: str) -> None:
    found = read(saved(tmp_path, name, painted(picture())), saved(tmp_path, "shown.png", picture()))
    assert found is not None
    assert (found.blocks == EXPECTED).all()
    assert found.cover == 1.0
    assert (np.round(found.shown * 255) == picture()).all()


@pytest.mark.parametrize(("name", "options"), [("cat.jpg", {"quality": 90}), ("cat.webp", {"quality": 80})])
def test_paint_in_a_lossy_form_is_found(tmp_path: Path, name: str, options: dict[str, int]) -> None:
    shown = saved(tmp_path, "shown.png", picture())
    found = read(saved(tmp_path, name, painted(picture()), **options), shown)
    unpainted = read(saved(tmp_path, f"plain-{name}", picture(), **options), shown)
    assert found is not None
    assert found.blocks[EXPECTED].all()
    assert found.share < 0.6
    assert unpainted is not None
    assert not unpainted.blocks.any()


def in_linear_light(levels: Levels) -> Levels:
    """As a program saves them whose picture has 8 bits of linear light."""
    light = levels / 255
    return np.round(255 * np.where(light <= 0.04045, light / 12.92, ((light + 0.055) / 1.055) ** 2.4)).astype(np.uint8)


def dark(levels: Levels) -> Levels:
    return (levels // 4).astype(np.uint8)


@pytest.mark.parametrize("ending", ["png", "tiff"])
def test_what_8_bits_of_another_space_cannot_hold_is_no_paint(tmp_path: Path, ending: str) -> None:
    shown = saved(tmp_path, "shown.png", dark(picture()))
    for levels, expected in ((dark(picture()), 0 * EXPECTED), (painted(dark(picture())), EXPECTED)):
        path = saved(tmp_path, f"cat.{ending}", in_linear_light(levels), icc_profile=LINEAR)
        found = read(path, shown)
        assert found is not None
        assert np.abs(found.pixels - found.shown)[:16].max() > 3 / 255
        assert (found.blocks == expected).all()


def test_what_a_wide_space_of_8_bits_rounds_is_no_paint(tmp_path: Path) -> None:
    wide = np.random.default_rng(1).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)
    srgb, _ = to_srgb(wide.astype(np.float32) / np.float32(255), Space.RGB, ADOBE)
    off = np.random.default_rng(2).uniform(-0.5, 0.5, wide.shape).astype(np.float32) / np.float32(255)
    meant, _ = to_srgb(np.clip(wide / np.float32(255) + off, 0, 1), Space.RGB, ADOBE)
    assert np.abs(srgb - meant).max() > 1.5 / 255
    shown = saved(tmp_path, "shown.png", np.round(meant * 255).astype(np.uint8))
    found = read(saved(tmp_path, "cat.png", wide, icc_profile=ADOBE), shown)
    assert found is not None
    assert not found.blocks.any()


def of_255_colours(levels: Levels, *, dither: bool) -> Image.Image:
    way = Image.Dither.FLOYDSTEINBERG if dither else Image.Dither.NONE
    image = Image.fromarray(levels)
    return image.quantize(255, dither=way, palette=image.quantize(255))


def through_yuv(levels: Levels) -> Image.Image:
    """With the colours of every second pixel, which is what a lossy WebP has."""
    y, *colours = Image.fromarray(levels).convert("YCbCr").split()
    halved = [one.resize((one.width // 2, one.height // 2), Image.Resampling.BOX).resize(one.size) for one in colours]
    return Image.merge("YCbCr", (y, *halved)).convert("RGB")


def _as_palette(levels: Levels, path: Path) -> None:
    of_255_colours(levels, dither=True).save(path)


def _as_flat_palette(levels: Levels, path: Path) -> None:
    of_255_colours(levels, dither=False).save(path)


def _as_jpeg_in_tiff(levels: Levels, path: Path) -> None:
    Image.fromarray(levels).save(path, compression="jpeg", quality=80)


def _as_webp_of_yuv(levels: Levels, path: Path) -> None:
    through_yuv(levels).save(path, lossless=True)


LOSSY_WITHIN = {"a.png": _as_palette, "b.png": _as_flat_palette, "c.tiff": _as_jpeg_in_tiff, "d.webp": _as_webp_of_yuv}


@pytest.mark.parametrize("name", LOSSY_WITHIN)
@pytest.mark.parametrize("number", [0, 3])
def test_colours_that_are_lost_in_a_lossless_form_are_no_paint(tmp_path: Path, name: str, number: int) -> None:
    levels = pictures()[number][:128, :128]
    brushed = levels.copy()
    brushed[40:72, 48:80] = (255, 0, 255)
    shown = saved(tmp_path, "shown.png", levels)
    LOSSY_WITHIN[name](levels, tmp_path / name)
    plain = read(tmp_path / name, shown)
    LOSSY_WITHIN[name](brushed, tmp_path / name)
    found = read(tmp_path / name, shown)
    assert plain is not None
    assert not plain.blocks.any()
    assert found is not None
    assert found.blocks[5:9, 6:10].all()
    assert not np.delete(np.delete(found.blocks, range(3, 11), 0), range(4, 12), 1).any()


def test_a_palette_that_holds_all_colours_tells_pixel_by_pixel(tmp_path: Path) -> None:
    few = (picture() // 64 * 64).astype(np.uint8)
    shown = saved(tmp_path, "shown.png", few)
    of_255_colours(painted(few), dither=False).save(tmp_path / "cat.png")
    found = read(tmp_path / "cat.png", shown)
    assert found is not None
    assert (found.blocks == EXPECTED).all()


@pytest.mark.parametrize("name", ["cat.jpg", "cat.webp"])
@pytest.mark.parametrize("change", ["inverted", "brighter"])
def test_a_program_that_changed_all_of_a_lossy_picture_is_told_from_its_losses(tmp_path: Path, name: str, change: str) -> None:
    shown = saved(tmp_path, "shown.png", picture())
    changed = 255 - picture() if change == "inverted" else picture() + np.uint8(40)
    found = read(saved(tmp_path, name, changed, quality=90), shown)
    assert found is not None
    assert found.share == 1


def test_a_lossless_webp_tells_pixel_by_pixel(tmp_path: Path) -> None:
    found = read(saved(tmp_path, "cat.webp", painted(picture()), lossless=True), saved(tmp_path, "shown.png", picture()))
    assert found is not None
    assert (found.blocks == EXPECTED).all()


def test_what_was_erased_counts_as_painted(tmp_path: Path) -> None:
    alpha = np.full((SIDE, SIDE, 1), 255, np.uint8)
    alpha[16:32, 24:40] = 0
    found = read(saved(tmp_path, "cat.png", np.dstack([picture(), alpha])), saved(tmp_path, "shown.png", picture()))
    assert found is not None
    assert (found.blocks == EXPECTED).all()


def test_of_several_that_were_shown_it_is_the_one_that_differs_in_the_fewest_pixels(tmp_path: Path) -> None:
    shown = [saved(tmp_path, f"shown{seed}.png", picture(seed)) for seed in (1, 2, 3)]
    found = read(saved(tmp_path, "cat.png", painted(picture(2))), *shown)
    assert found is not None
    assert found.version == 1
    assert (found.blocks == EXPECTED).all()


def test_a_picture_of_another_size_is_none_of_those_that_were_shown(tmp_path: Path) -> None:
    small = saved(tmp_path, "cat.png", np.zeros((32, 64, 3), np.uint8))
    assert read(small, saved(tmp_path, "shown.png", picture())) is None


def test_a_damaged_picture_is_refused_with_a_sentence(tmp_path: Path) -> None:
    whole = saved(tmp_path, "whole.png", painted(picture()))
    (tmp_path / "cat.png").write_bytes(whole.read_bytes()[:-200])
    with pytest.raises((InputError, tiffsd.TiffsdError), match=r"cat\.png"):
        read(tmp_path / "cat.png", saved(tmp_path, "shown.png", picture()))
