"""The files that a finished picture becomes: what other programs see in each form, and the recipe that makes it again."""

import io
import logging
import random
import struct
import warnings
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

import tiffsd
from daemon.errors import InputError
from daemon.jobs.recipes import SAVED_AGAIN, read_recipe, saved_again
from daemon.pictures.chunks import CODED_PIXELS, Form, chunks, pixels_digest
from daemon.pictures.exif import ExifText, render_exif
from daemon.pictures.exif_text import parse_exif
from daemon.pictures.files import picture_files
from daemon.pictures.forms import LARGEST_SIDE, Story, levels8, levels16, write_jpeg, write_png
from daemon.settings.config import Config, Pictures
from tests.artifacts import picture
from tests.opening import opening

RECIPE = {"prompt": "a cat, 🐈", "negative_prompt": "dog", "model": "demo", "seed": 5, "steps": 4, "scheduler": "ddim"}
HISTORY = ({"stage": "text", "id": "00000001"}, {"stage": "decode", "id": "00000002"})
ALL = Pictures(png=16, tiff="float16", jpeg=True, webp="lossless")
EXIF_DIRECTORY, MAKER_NOTE, USER_COMMENT, SOFTWARE = 0x8769, 0x927C, 0x9286, 0x0131


def finished(height: int = 24, width: int = 32) -> tiffsd.Artifact:
    made = picture(height, width)
    return replace(made, header=replace(made.header, recipe=RECIPE, history=HISTORY))


def written(folder: Path, wanted: Pictures, artifact: tiffsd.Artifact | None = None) -> dict[str, Path]:
    """The files by suffix."""
    found = {}
    for suffix, write in picture_files(artifact or finished(), wanted):
        found[suffix] = folder / f"cat{suffix}"
        with found[suffix].open("wb") as file:
            write(file)
    return found


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return written(tmp_path_factory.mktemp("pictures"), ALL)


def test_each_form_that_is_on_is_a_file_and_the_png_comes_last(tmp_path: Path) -> None:
    assert list(written(tmp_path, ALL)) == [".tiff", ".webp", ".jpg", ".png"]
    assert list(written(tmp_path, Pictures())) == [".tiff", ".png"]
    assert list(written(tmp_path, Pictures(png=False, tiff=False, jpeg=80))) == [".jpg"]


@pytest.mark.parametrize("suffix", [".tiff", ".webp", ".jpg", ".png"])
def test_the_recipe_comes_back_from_every_form_exactly(files: dict[str, Path], suffix: str) -> None:
    prompt = opening(read_recipe, files[suffix], f"cat{suffix}", Config())
    assert prompt.settings == RECIPE
    assert prompt.notes == ()
    assert opening(saved_again, files[suffix], f"cat{suffix}", Config()) == ()


def test_a_png_of_16_bits_has_the_nearest_levels(files: dict[str, Path]) -> None:
    levels = cv2.imread(str(files[".png"]), cv2.IMREAD_UNCHANGED)[:, :, ::-1]
    assert levels.dtype == np.uint16
    np.testing.assert_array_equal(levels, levels16(finished().tensors["picture"]))


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("kind", ["smooth", "noise", "flat", "one pixel"])
def test_every_filter_of_a_png_comes_back(tmp_path: Path, bits: int, kind: str) -> None:
    smooth = np.linspace(-0.1, 1.1, 9 * 13 * 3, dtype=np.float32).reshape(9, 13, 3)
    noise = np.random.default_rng(1).random((9, 13, 3), np.float32)
    pixels = {"smooth": smooth, "noise": noise, "flat": np.full((9, 13, 3), 0.3, np.float32), "one pixel": noise[:1, :1]}[kind]
    path = tmp_path / "cat.png"
    with path.open("wb") as file:
        write_png(file, pixels, Story(RECIPE, (), {"tiffsd": "0.2.0"}), bits=bits)
    levels = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)[:, :, ::-1]
    np.testing.assert_array_equal(levels, levels8(pixels) if bits == 8 else levels16(pixels))


def test_levels_are_the_nearest_ones() -> None:
    values = np.linspace(-0.1, 1.1, 100_003, dtype=np.float32).reshape(1, -1, 1)
    inside = np.clip(values, 0, 1).astype(np.float64)
    assert np.abs(levels16(values) / 65_535 - inside).max() <= 0.5 / 65_535
    assert np.abs(levels8(values) / 255 - inside).max() <= 0.5 / 255 + 1e-7  # diffusers rounds a float32


def test_a_tiff_of_float16_has_half_the_bytes_and_the_nearest_values(tmp_path: Path, files: dict[str, Path]) -> None:
    artifact = finished(240, 320)
    half = written(tmp_path, ALL, artifact)[".tiff"].stat().st_size
    whole = written(tmp_path, Pictures(), artifact)[".tiff"].stat().st_size
    assert half < 0.52 * whole
    exact = finished().tensors["picture"]
    np.testing.assert_array_equal(tiffsd.read(files[".tiff"]).tensors["picture"], exact.astype(np.float16))


def test_a_lossless_webp_is_exact_and_a_jpeg_is_near(files: dict[str, Path]) -> None:
    levels = (finished().tensors["picture"] * 255).round()
    with Image.open(files[".webp"]) as image:
        np.testing.assert_array_equal(np.asarray(image), levels)
    with Image.open(files[".jpg"]) as image:
        assert image.layer == [(1, 1, 1, 0), (2, 1, 1, 1), (3, 1, 1, 1)]  # colours at full resolution
        assert np.abs(np.asarray(image) - levels).mean() < 8  # of pure noise


def test_the_quality_that_is_asked_for_counts(tmp_path: Path) -> None:
    sizes = {
        quality: [path.stat().st_size for path in written(tmp_path, Pictures(jpeg=quality, webp=quality)).values()]
        for quality in (30, 90)
    }
    (_, *low, _), (_, *high, _) = sizes[30], sizes[90]
    assert all(small < large for small, large in zip(low, high, strict=True))


@pytest.mark.parametrize("suffix", [".webp", ".jpg", ".png"])
def test_every_program_finds_the_colours_and_the_words(files: dict[str, Path], suffix: str) -> None:
    infotext = "a cat, 🐈\nNegative prompt: dog\nSteps: 4, Sampler: DDIM, Seed: 5, Model: demo, RNG: CPU, tiffsd scheduler: ddim, "
    with Image.open(files[suffix]) as image:
        profile = ImageCms.ImageCmsProfile(io.BytesIO(image.info["icc_profile"]))
        assert "sRGB" in ImageCms.getProfileDescription(profile)
        if suffix == ".png":
            assert image.text["parameters"].startswith(infotext)
            return
        exif = image.getexif()
        assert exif[SOFTWARE].startswith("tiffsd ")
        comment = exif.get_ifd(EXIF_DIRECTORY)[USER_COMMENT]
        assert comment[:8] == b"UNICODE\0"
        assert comment[8:].decode("utf-16-be").startswith(infotext)


def saved_by_pillow(path: Path, target: Path, paint: bool) -> Path:
    """Save a picture again with the texts that Pillow found, perhaps with a black square in it."""
    with Image.open(path) as image:
        image.load()
        texts: dict[str, Any] = {"exif": image.info["exif"]} if "exif" in image.info else {}
        if path.suffix == ".png":
            from PIL.PngImagePlugin import PngInfo

            info = PngInfo()
            for key, text in image.text.items():
                info.add_text(key, text)
            texts = {"pnginfo": info}
        if paint:
            image.paste(0, (0, 0, 8, 8))
        options = {"quality": 95} if path.suffix == ".jpg" else {"lossless": True, "quality": 50} if path.suffix == ".webp" else {}
        image.save(target, **texts, **options)
    return target


@pytest.mark.parametrize("suffix", [".webp", ".jpg", ".png"])
def test_a_picture_that_was_painted_on_and_kept_its_texts_says_so(tmp_path: Path, suffix: str) -> None:
    path = written(tmp_path, Pictures(jpeg=True, webp=True))[suffix]
    again = saved_by_pillow(path, tmp_path / f"again{suffix}", paint=True)
    assert opening(read_recipe, again, again.name, Config()).settings == RECIPE
    assert opening(saved_again, again, again.name, Config()) == (SAVED_AGAIN,)


def test_a_tiff_that_was_painted_on_says_so(tmp_path: Path) -> None:
    path = written(tmp_path, Pictures())[".tiff"]
    artifact = tiffsd.read(path)
    artifact.tensors["picture"][3, 4, 1] += 0.25
    tiffsd.write(tmp_path / "again.tiff", artifact)
    assert opening(saved_again, tmp_path / "again.tiff", "again.tiff", Config()) == (SAVED_AGAIN,)


def test_a_form_that_cannot_hold_a_picture_is_left_out_and_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    long = picture(1, LARGEST_SIDE["webp"] + 1)
    assert list(written(tmp_path, Pictures(webp=True, jpeg=True), long)) == [".tiff", ".jpg", ".png"]
    assert f"WebP skipped: {LARGEST_SIDE['webp'] + 1} px exceeds the format's limit of {LARGEST_SIDE['webp']} px" in caplog.text
    with pytest.raises(InputError, match=r"exceeds the limit of every format that config\.yaml turns on"):
        picture_files(long, Pictures(png=False, tiff=False, webp=True))


def test_a_jpeg_gives_up_the_infotext_before_the_exact_recipe_and_says_what_it_lost(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    letters = random.Random(1)
    noise = "".join(chr(letters.randrange(0x4E00, 0x9000)) for _ in range(60_000))  # nothing that deflates
    for length, left in ((1_000, "both"), (25_000, "exact"), (60_000, "none")):
        caplog.clear()
        recipe = {**RECIPE, "prompt": noise[:length]}
        path = tmp_path / f"{left}.jpg"
        with path.open("wb") as file:
            write_jpeg(file, finished().tensors["picture"], Story(recipe, (), {"tiffsd": "0.2.0"}))
        with Image.open(path) as image:
            assert (USER_COMMENT in image.getexif().get_ifd(EXIF_DIRECTORY)) == (left == "both")
        with caplog.at_level(logging.WARNING):
            found = opening(read_recipe, path, path.name, Config(limits={"characters": 100_000})).settings
        assert found == ({} if left == "none" else recipe)


def test_the_infotexts_of_other_programs_are_read_in_either_order_of_bytes() -> None:
    text = "a cat\nSteps: 4, Sampler: Euler, Seed: 5"
    for order, mark in (("utf-16-be", ">"), ("utf-16-le", "<")):
        comment = b"UNICODE\0" + text.encode(order)
        beginning = b"MM\0*" if mark == ">" else b"II*\0"
        first = struct.pack(f"{mark}IHHHIII", 8, 1, EXIF_DIRECTORY, 4, 1, 26, 0)
        second = struct.pack(f"{mark}HHHIII", 1, USER_COMMENT, 7, len(comment), 44, 0)
        assert parse_exif(beginning + first + second + comment).infotext == text
        assert parse_exif(beginning + first + second + b"ASCII\0\0\0" + text.encode()).infotext is not None


@settings(deadline=None, max_examples=200)
@given(
    infotext=st.none() | st.text(st.characters(exclude_categories=["Cs", "Cc", "Cf", "Cn", "Co", "Zl", "Zp", "Zs"]), min_size=1),
    exact=st.none() | st.text(st.characters(max_codepoint=127)),
)
def test_what_is_written_into_exif_comes_back(infotext: str | None, exact: str | None) -> None:
    text = None if infotext is None else f"{infotext}\nSteps: 4, Sampler: Euler, Seed: 5"
    found = parse_exif(render_exif(ExifText(text, exact), "tiffsd 0.2.0"))
    assert (found.exact, found.infotext) == (exact, text)


@settings(deadline=None, max_examples=300)
@given(data=st.binary(max_size=400))
def test_damaged_exif_data_say_nothing_and_raise_nothing(data: bytes) -> None:
    for beginning in (b"", b"II*\0\x08\0\0\0", b"MM\0*\0\0\0\x08"):
        assert isinstance(parse_exif(beginning + data), ExifText)


@pytest.mark.parametrize("form", list(Form))
def test_a_file_that_breaks_off_anywhere_has_parts_up_to_there(files: dict[str, Path], form: Form) -> None:
    whole = files[{"PNG": ".png", "JPEG": ".jpg", "WebP": ".webp"}[form]].read_bytes()
    complete = [chunk.kind for chunk in chunks(io.BytesIO(whole), form)]
    last_pixel = max(chunk.start + chunk.length for chunk in chunks(io.BytesIO(whole), form) if chunk.kind in CODED_PIXELS)
    digests = set()
    for length in range(0, len(whole), max(1, len(whole) // 300)):
        torn = io.BytesIO(whole[:length])
        found = [chunk.kind for chunk in chunks(torn, form)]
        assert found == complete[: len(found)]
        if length < last_pixel:
            digests.add(pixels_digest(torn, form))
    assert pixels_digest(io.BytesIO(whole), form) not in digests


def test_pillow_reads_what_is_written_without_a_warning(files: dict[str, Path]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for suffix in (".webp", ".jpg", ".png"):
            with Image.open(files[suffix]) as image:
                image.load()
