"""A finished picture -> a PNG, JPEG or WebP file, with the sRGB profile and the recipe in it so that it can be run again.

The recipe stands twice in each: as A1111's infotext, which other programs read, and exactly, as JSON. A PNG has both as texts
(`parameters` and `tiffsd`), the others in their EXIF data (`exif.py`). The exact one also holds a digest of the coded pixels:
where a program saved the picture again and kept the texts, it tells that the recipe may not make this picture.
"""

import io
import json
import logging
import struct
import zlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cache
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, PngImagePlugin

from daemon.cores import unpinned
from daemon.pictures.chunks import EXACT_RECIPE, INFOTEXT, PNG_BEGINNING, Chunk, Form, chunks, pixels_digest
from daemon.pictures.exif import EXIF_NAME, JPEG_APP1, ExifText, render_exif
from daemon.settings.infotext import SOFTWARE, render_infotext

log = logging.getLogger(__name__)

PIXELS = "pixels"
JPEG_QUALITY, WEBP_QUALITY = 95, 90
FEW_VALUES = 3 * 512 * 512  # to code so many takes hardly longer than the way to another core and back
LARGEST_SEGMENT_BYTES = 65_533
LARGEST_SIDE = {"jpeg": 65_500, "webp": 16_383}
WEBP_HAS_EXIF = 0x08
Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Story:
    """What a picture carries of how it was made: its recipe, the history of its artifact, and what made it: name -> version."""

    recipe: Mapping[str, Any]
    history: Sequence[Mapping[str, Any]]
    software: Mapping[str, str]

    @property
    def infotext(self) -> str:
        return render_infotext(self.recipe, self.software[SOFTWARE])

    @property
    def program(self) -> str:
        return f"{SOFTWARE} {self.software[SOFTWARE]}"

    def exact(self, pixels: str) -> str:
        """The record that makes the picture again: one line of ASCII JSON, with the digest of the coded pixels."""
        return recipe_json(self.recipe, self.history, self.software, pixels)


def recipe_json(
    recipe: Mapping[str, Any], history: Sequence[Mapping[str, Any]], software: Mapping[str, str], pixels: str | None = None
) -> str:
    """The record that a picture carries so that it can be run again: one line of ASCII JSON."""
    record = {"recipe": dict(recipe), "history": [dict(entry) for entry in history], "software": dict(software)}
    return json.dumps(record | ({} if pixels is None else {PIXELS: pixels}))


def levels8(picture: Picture) -> NDArray[np.uint8]:
    """(H,W,3) float -> levels of 8 bits: clipped to 0..1, and rounded as diffusers does."""
    levels = np.clip(picture, 0, 1)
    levels *= 255
    return np.rint(levels, out=levels).astype(np.uint8)


def levels16(picture: Picture) -> NDArray[np.uint16]:
    """(H,W,3) float -> levels of 16 bits: clipped to 0..1, and to the nearest level, of two equally near ones the even one."""
    return np.rint(np.clip(picture, 0, 1).astype(np.float64) * 65_535).astype(np.uint16)


def coding(pixels: NDArray[Any]) -> AbstractContextManager[object]:
    """A block in which pixels (H,W,3) are coded: where that takes long, on all cores."""
    return unpinned() if pixels.size > FEW_VALUES else nullcontext()


def write_png(file: BinaryIO, picture: Picture, story: Story, *, bits: int = 8) -> None:
    """Write a PNG of 8 or 16 bits: (H,W,3) float, see `levels8` and `levels16`."""
    with coding(picture):
        header, pixels = _coded8(levels8(picture)) if bits == 8 else _coded16(levels16(picture))
    bare = io.BytesIO(PNG_BEGINNING + _chunk(b"IHDR", header) + _chunk(b"IDAT", pixels))
    info = PngImagePlugin.PngInfo()
    info.add_text(INFOTEXT, story.infotext)
    info.add_text(EXACT_RECIPE, story.exact(pixels_digest(bare, Form.PNG)))
    file.write(PNG_BEGINNING + _chunk(b"IHDR", header) + _chunk(b"iCCP", b"sRGB\0\0" + zlib.compress(srgb_profile())))
    for kind, text, *_ in info.chunks:
        file.write(_chunk(kind, text))
    file.write(_chunk(b"IDAT", pixels) + _chunk(b"IEND", b""))


def write_jpeg(file: BinaryIO, picture: Picture, story: Story, *, quality: int = JPEG_QUALITY) -> None:
    """Write a JPEG, colours at full resolution: (H,W,3) float, see `levels8`.

    Its EXIF data end at 64 kB: of texts that are longer the infotext is left out first, and what is left out is said in the log.
    """
    bare = io.BytesIO()
    image = Image.fromarray(levels8(picture))
    with coding(picture):
        image.save(bare, format="JPEG", quality=quality, subsampling="4:4:4", icc_profile=srgb_profile())
    segment = _exif_segment(story, story.exact(pixels_digest(bare, Form.JPEG)))
    data = bare.getvalue()
    # Behind JFIF's own segment, which must be the first.
    place = next(chunk.start + chunk.length for chunk in chunks(bare, Form.JPEG))
    file.write(data[:place] + b"\xff" + JPEG_APP1 + struct.pack(">H", len(segment) + 2) + segment + data[place:])


def _exif_segment(story: Story, exact: str) -> bytes:
    for text in (ExifText(story.infotext, exact), ExifText(None, exact)):
        segment = EXIF_NAME + render_exif(text, story.program)
        if len(segment) <= LARGEST_SEGMENT_BYTES:
            return segment
    log.warning("JPEG written without its recipe, which is too long for the format; the other files carry it")
    return EXIF_NAME + render_exif(ExifText(), story.program)


def write_webp(file: BinaryIO, picture: Picture, story: Story, *, quality: int | None = WEBP_QUALITY) -> None:
    """Write a WebP, lossless where `quality` is None: (H,W,3) float, see `levels8`."""
    bare = io.BytesIO()
    options = {"lossless": True} if quality is None else {"quality": quality}
    with coding(picture):
        Image.fromarray(levels8(picture)).save(bare, format="WEBP", icc_profile=srgb_profile(), **options)
    exif = render_exif(ExifText(story.infotext, story.exact(pixels_digest(bare, Form.WEBP))), story.program)
    body = b"".join(_webp_chunk(chunk, bare) for chunk in chunks(bare, Form.WEBP))
    body += b"EXIF" + struct.pack("<I", len(exif)) + exif + b"\0" * (len(exif) % 2)
    file.write(b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body)


def _webp_chunk(chunk: Chunk, file: BinaryIO) -> bytes:
    content = chunk.read(file)
    if chunk.kind == b"VP8X":
        content = bytes([content[0] | WEBP_HAS_EXIF]) + content[1:]
    return chunk.kind + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _coded8(levels: NDArray[np.uint8]) -> tuple[bytes, bytes]:
    """The content of IHDR and IDAT of 8 bits."""
    file = io.BytesIO()
    Image.fromarray(levels).save(file, format="PNG", compress_level=4)
    found = [(chunk.kind, chunk.read(file)) for chunk in chunks(file, Form.PNG)]
    return dict(found)[b"IHDR"], b"".join(content for kind, content in found if kind == b"IDAT")


def _coded16(levels: NDArray[np.uint16]) -> tuple[bytes, bytes]:
    """The content of IHDR and IDAT of 16 bits, which Pillow cannot write."""
    height, width, _ = levels.shape
    deflater = zlib.compressobj(4, strategy=zlib.Z_FILTERED)
    rows = levels.astype(">u2").view(np.uint8).reshape(height, -1)
    above = np.zeros(rows.shape[1], np.int16)
    pixels = []
    for row in (line.astype(np.int16) for line in rows):
        pixels.append(deflater.compress(_filtered(row, above)))
        above = row
    return struct.pack(">IIBBBBB", width, height, 16, 2, 0, 0, 0), b"".join([*pixels, deflater.flush()])


def _filtered(row: NDArray[np.int16], above: NDArray[np.int16]) -> bytes:
    """One row of bytes behind the filter that leaves the smallest differences (PNG specification, 9.2 and 12.7)."""
    left, corner = (np.concatenate([np.zeros(6, np.int16), line[:-6]]) for line in (row, above))
    to_left, to_above, to_corner = (np.abs(above - corner), np.abs(left - corner), np.abs(left + above - 2 * corner))
    nearest = np.where((to_left <= to_above) & (to_left <= to_corner), left, np.where(to_above <= to_corner, above, corner))
    differences = {number: (row - guess).astype(np.int8) for number, guess in ((1, left), (2, above), (4, nearest))}
    number = min(differences, key=lambda number: int(np.abs(differences[number].astype(np.int16)).sum()))
    return bytes([number]) + differences[number].tobytes()


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@cache
def srgb_profile() -> bytes:
    """The ICC profile of the colours that are written."""
    return bytes(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
