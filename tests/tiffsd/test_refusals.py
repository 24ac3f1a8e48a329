"""What is refused, and with which sentence."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import tiffsd
from tests.file_samples import Array, embedding, married, normal, picture, written
from tiffsd import Kind


def saved(path: Path, pixels: Array, **options: Any) -> Path:
    tifffile.imwrite(path, pixels, metadata=None, **options)
    return path


RGBA: dict[str, Any] = {"photometric": "rgb", "extrasamples": ["unassalpha"]}
ALPHA: dict[str, Any] = {"extrasamples": ["unassalpha"]}
BAD_LATENTS = [
    (np.zeros((16, 16), np.uint8), {}, tiffsd.BadValues, "8-bit whole numbers, and latents need 32-bit floats.*save the original"),
    (np.zeros((16, 16, 3), np.uint8), {"photometric": "rgb"}, tiffsd.BadValues, "8-bit whole.*if this is a picture, encode it"),
    (np.arange(1024, dtype=np.uint16).reshape(16, 16, 4), RGBA, tiffsd.BadValues, "raw layout must be floats"),
    (np.zeros((16, 16), np.int16), {}, tiffsd.BadValues, "16-bit whole numbers"),
    (np.full((16, 16), np.nan, np.float32), {}, tiffsd.BadValues, "not numbers .NaN or infinity.*paint over them"),
    (np.full((16, 16), 1e300), {}, tiffsd.BadValues, "has pixels from 1e.300 to 1e.300, and latents stay within 1000"),
    (np.float32(1e30) * normal(16, 16, 4), RGBA, tiffsd.BadValues, "a program misread the 32-bit floats"),
    (normal(16, 16, 3), {"photometric": "rgb"}, tiffsd.BadShape, "3 different channels, and latents have one gray.*go back"),
    (normal(16, 16, 5), {"photometric": "rgb"}, tiffsd.BadShape, "5 different channels"),
    (normal(16, 16, 2), ALPHA, tiffsd.BadValues, "transparent in places.*fill the transparency"),
    (normal(16, 16, 4), RGBA | {"extrasamples": ["assocalpha"]}, tiffsd.BadValues, "premultiplied alpha.*straight alpha"),
    (normal(16, 16, 4).clip(0, 1), RGBA, tiffsd.BadValues, "was clipped by an editor.*keeps 32-bit floats"),
    (normal(15, 16), {}, tiffsd.BadShape, "16x15 without metadata, and a mosaic of four channels has an even width"),
    (normal(7, 16, 16), {}, tiffsd.BadShape, "has 7 pages, and latents have 4, 8, 16, 32 channels"),
    (normal(16, 16), {"photometric": "miniswhite"}, tiffsd.BadShape, "colours of type MINISWHITE.*black is 0"),
    (normal(16, 16), {"extratags": [(274, 3, 1, 6, True)]}, tiffsd.BadShape, "marked as rotated.*rotate it back"),
    (normal(16, 16, 3), {"photometric": "cielab"}, tiffsd.BadShape, "colours of type CIELAB"),
]


@pytest.mark.parametrize(("pixels", "options", "error", "sentence"), BAD_LATENTS)
def test_bad_latents_are_refused_with_a_sentence(
    pixels: Array, options: dict[str, Any], error: type[Exception], sentence: str, tmp_path: Path
) -> None:
    planar = {"photometric": "minisblack"} | options
    with pytest.raises(error, match=rf"^cat\.tiff .*{sentence}"):
        tiffsd.read(saved(tmp_path / "cat.tiff", pixels, **planar), expect=Kind.LATENTS)


@pytest.mark.parametrize(
    ("content", "error", "sentence"),
    [
        (b"", tiffsd.Truncated, "is empty, and a TIFF file was expected; copy or save it again"),
        (b"II", tiffsd.NotTiffsd, "is not a TIFF file but something else; save or export it as TIFF"),
        (b"a red house", tiffsd.NotTiffsd, "is not a TIFF file"),
        (b"\x89PNG\r\n\x1a\n....", tiffsd.NotTiffsd, "but a PNG picture"),
        (b"\xff\xd8\xff\xe0........", tiffsd.NotTiffsd, "but a JPEG picture"),
        (b"II*\0", tiffsd.Truncated, "is damaged or incomplete"),
        (b"II*\0\x08\0\0\0", tiffsd.NotTiffsd, "no page"),
        (b"MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 99, tiffsd.Truncated, "is damaged or incomplete.*copy or save it again"),
    ],
)
def test_what_is_no_tiff_is_refused_with_a_sentence(content: bytes, error: type[Exception], sentence: str, tmp_path: Path) -> None:
    (tmp_path / "cat.tiff").write_bytes(content)
    for verb in (tiffsd.read, tiffsd.inspect):
        with pytest.raises(error, match=rf"^cat\.tiff .*{sentence}"):
            verb(tmp_path / "cat.tiff")


def test_a_file_that_was_cut_off_says_so(tmp_path: Path) -> None:
    path = written(picture(), tmp_path / "cat.tiff")
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(tiffsd.Truncated, match=r"^cat\.tiff is cut off.*wait until it is copied completely"):
        tiffsd.read(path)


def test_another_kind_than_expected_is_refused(tmp_path: Path) -> None:
    path = written(embedding(), tmp_path / "cat.tiff")
    with pytest.raises(tiffsd.WrongKind, match=r"^work\.tiff holds an embedding, and this place takes latents"):
        tiffsd.read(path, expect=Kind.LATENTS, name="work.tiff")


def tag_overwritten(path: Path, code: int, value: Any) -> Path:
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tiff.pages[0].tags[code].overwrite(value)
    return path


def test_sizes_are_checked_before_anything_is_allocated(tmp_path: Path) -> None:
    path = written(married(), tmp_path / "cat.tiff")
    for code, value in ((256, 70_000), (277, 60_000)):
        with pytest.raises(tiffsd.TooLarge, match=r"^cat\.tiff is "):
            tiffsd.read(tag_overwritten(written(married(), path), code, value))
    vast = tag_overwritten(tag_overwritten(written(married(), path), 256, 65_536), 257, 65_536)
    with pytest.raises(tiffsd.TooLarge, match="4,294,967,296 samples"):
        tiffsd.read(vast)


def test_a_newer_version_of_the_format_is_refused(tmp_path: Path) -> None:
    path = written(married(), tmp_path / "cat.tiff")
    with tifffile.TiffFile(path, mode="r+") as tiff:
        tag = tiff.pages[0].tags[270]
        tag.overwrite(tag.value.replace('"tiffsd":1', '"tiffsd":2'))
    with pytest.raises(tiffsd.NewerFormat, match=r"^cat\.tiff is written in version 2"):
        tiffsd.read(path)
