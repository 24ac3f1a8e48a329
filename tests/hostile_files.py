"""Files that were made to cost the daemon memory or time: small ones that say much, and large ones that say nothing."""

import binascii
import io
import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from typing import Any

import numpy as np
import tifffile
from PIL import Image

import tiffsd
from daemon.pictures.chunks import PNG_BEGINNING
from tests.artifacts import file_of, latents

MIB = 2**20
FINAL = tiffsd.State.FINAL
EMOJI = "\U0001f408"


def chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk of a PNG."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(*extra: bytes, size: tuple[int, int] = (64, 64), **saved: Any) -> bytes:
    """A gray PNG with these chunks behind its header."""
    file = io.BytesIO()
    Image.new("L", size, 99).save(file, format="PNG", **saved)
    whole = file.getvalue()
    return whole[:33] + b"".join(extra) + whole[33:]


def jpeg(*segments: bytes, size: tuple[int, int] = (64, 64), **saved: Any) -> bytes:
    """A gray JPEG with these segments at its head."""
    file = io.BytesIO()
    Image.new("RGB", size, (99, 99, 99)).save(file, format="JPEG", **saved)
    return file.getvalue()[:2] + b"".join(segments) + file.getvalue()[2:]


def segment(marker: int, data: bytes) -> bytes:
    """One segment of a JPEG."""
    return struct.pack(">BBH", 0xFF, marker, len(data) + 2) + data


def webp(size: tuple[int, int] = (64, 64), **saved: Any) -> bytes:
    """A gray WebP."""
    file = io.BytesIO()
    Image.new("RGB", size, (99, 99, 99)).save(file, format="WEBP", **saved)
    return file.getvalue()


def inflating(text: str, mebibytes: float) -> bytes:
    """Deflated text of so many mebibytes."""
    packer, unit = zlib.compressobj(9), text.encode() * (65536 // len(text.encode()))
    return b"".join([*(packer.compress(unit) for _ in range(int(mebibytes * MIB / len(unit)))), packer.flush()])


@cache
def itxt(text: str = "a", mebibytes: float = 0.99, keyword: bytes = b"") -> bytes:
    """The content of an iTXt chunk behind the number of its keyword."""
    return keyword + b"\0\1\0\0\0" + inflating(text, mebibytes)


def many_texts(text: str = "a", count: int = 900) -> bytes:
    """A PNG with many texts of a mebibyte each, deflated to a kilobyte."""
    return png(*(chunk(b"iTXt", b"k%d" % number + itxt(text)) for number in range(count)))


def one_text(mebibytes: int, keyword: bytes = b"parameters") -> bytes:
    """A PNG with one large text."""
    return png(chunk(b"iTXt", itxt("a", mebibytes, keyword)))


def claiming(side: int = 65_535) -> bytes:
    """A PNG that says it is that large."""
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    return PNG_BEGINNING + chunk(b"IHDR", header) + chunk(b"IDAT", b"x")


def recipe_of_values(unit: str = "{},", size: int = MIB - 200) -> bytes:
    """An exact recipe that is many times as large in memory as it is as text."""
    text = '{"recipe":{"prompt":"a cat"},"history":[' + unit * (size // len(unit)) + "{}]}"
    return png(chunk(b"iTXt", b"tiffsd\0\1\0\0\0" + zlib.compress(text.encode())))


def many_scans(scans: int = 3000, size: tuple[int, int] = (64, 64)) -> bytes:
    """A progressive JPEG whose last scan stands there again and again."""
    whole = jpeg(size=size, progressive=True)
    last = whole.rindex(b"\xff\xda")
    return whole[:last] + whole[last:-2] * scans + whole[-2:]


def exif_note(mebibytes: int) -> bytes:
    """A segment of EXIF data whose exact recipe is a bomb, or breaks off."""
    note = b"tiffsd\0" + inflating("a", mebibytes)
    if len(note) > 60_000:
        note = note[:60_000]
    fields = struct.pack(">HHHIII", 1, 37500, 7, len(note), 8 + 18 + 18, 0)
    first = struct.pack(">HHHIII", 1, 34665, 4, 1, 8 + 18, 0)
    return segment(0xE1, b"Exif\0\0MM\0*" + struct.pack(">I", 8) + first + fields + note)


def tiff(pixels: np.ndarray, **options: Any) -> bytes:
    """A TIFF of one page."""
    file = io.BytesIO()
    tifffile.imwrite(file, pixels, metadata=None, **options)
    return file.getvalue()


def _parts() -> tuple[str, str, np.ndarray]:
    """Essentials, record and canvas of finished latents."""
    with tifffile.TiffFile(io.BytesIO(file_of(latents(state=FINAL)))) as found:
        page = found.pages[0]
        return page.description, page.tags[65000].value, page.asarray()


def large_record(unit: str = "{},", size: int = 15 * MIB, tail: str = "{}]") -> bytes:
    """Latents whose record is many times as large in memory as it is in the file."""
    essentials, record, pixels = _parts()
    record = record[:-1] + ',"more":[' + unit * (size // len(unit)) + tail + "}"
    return tiff(pixels, photometric="minisblack", description=essentials, extratags=[(65000, 2, 0, record, True)])


def large_canvas(side: int, **options: Any) -> bytes:
    """An empty canvas of many values."""
    options = {"photometric": "minisblack", "compression": "zlib", "rowsperstrip": 256, **options}
    return tiff(np.full((side, side), 0.5, np.float32), **options)


GRAY_PAGE = ((258, 3, 1, 32), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1), (339, 3, 1, 3))


def many_strips(count: int = 2**20 - 8, pages: int = 1) -> bytes:
    """A TIFF that says its pixels lie in very many places."""
    tags = [*GRAY_PAGE, (256, 4, 1, 1), (257, 4, 1, count), (278, 4, 1, 1)]
    places = struct.pack(f"<{count}I", *range(8, 8 + count))
    return bare_tiff([*tags], {273: places, 279: places}, pages=pages)


def many_numbers(tags: int = 4000, count: int = 2**20) -> bytes:
    """A TIFF of very many tags that all show the same numbers."""
    plain = [*GRAY_PAGE, (256, 4, 1, 8), (257, 4, 1, 8), (273, 4, 1, 8), (278, 4, 1, 8), (279, 4, 1, 256)]
    return bare_tiff(plain, dict.fromkeys(range(40_000, 40_000 + tags), bytes(4 * count)))


def many_tags(pages: int = 256, tags: int = 4000) -> bytes:
    """A TIFF of many pages with very many tags each."""
    plain = [*GRAY_PAGE, (256, 4, 1, 8), (257, 4, 1, 8), (273, 4, 1, 8), (278, 4, 1, 8), (279, 4, 1, 256)]
    return bare_tiff([*plain, *((40_000 + number, 4, 1, number) for number in range(tags))], {}, pages=pages)


def bare_tiff(plain: list[tuple[int, int, int, int]], arrays: Mapping[int, bytes], *, pages: int = 1) -> bytes:
    """A little-endian TIFF of equal pages with these tags (code, type, count, value), behind 256 bytes of pixels.

    `arrays` are numbers of tags, four bytes each; equal ones lie in the file once.
    """
    start, length = 8 + 256, 2 + 12 * (len(plain) + len(arrays)) + 4
    places, body = dict[bytes, int](), b""
    for data in arrays.values():
        if data not in places:
            places[data] = start + pages * length + len(body)
            body += data
    rows = sorted([*plain, *((code, 4, len(data) // 4, places[data]) for code, data in arrays.items())])
    directory = struct.pack("<H", len(rows)) + b"".join(struct.pack("<HHII", *row) for row in rows)
    following = (start + (page + 1) * length if page < pages - 1 else 0 for page in range(pages))
    return (
        b"II*\0"
        + struct.pack("<I", start)
        + bytes(256)
        + b"".join(directory + struct.pack("<I", place) for place in following)
        + body
    )


def many_tensors(count: int = 200_000) -> bytes:
    """Latents with very many exact tensors that hold nothing."""
    essentials, record, pixels = _parts()
    identity = json.loads(essentials)["id"]
    table: dict[str, Any] = {"__metadata__": {"id": identity}}
    table |= {f"t{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(count)}
    head = json.dumps(table, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    blob = binascii.b2a_base64(struct.pack("<Q", len(head)) + head, newline=False)
    tags = [(65000, 2, 0, record, True), (65001, 2, 0, blob, True)]
    return tiff(pixels, photometric="minisblack", description=essentials, extratags=tags)


def many_pages(pages: int = 256, side: int = 362) -> bytes:
    """A TIFF of many empty pages."""
    file, empty = io.BytesIO(), np.full((side, side), 0.5, np.float32)
    with tifffile.TiffWriter(file) as writer:
        for _ in range(pages):
            writer.write(empty, photometric="minisblack", metadata=None, compression="zlib")
    return file.getvalue()


def foreign_tensors(mebibytes: int = 23) -> bytes:
    """Latents with so much of a tensor that nobody knows, which is carried along."""
    artifact = latents(state=FINAL)
    return file_of(replace(artifact, tensors={**artifact.tensors, "somebody.else": np.zeros(mebibytes * MIB, np.uint8)}))


def large_tensors(mebibytes: int) -> bytes:
    """Latents with so much in the place of their exact tensors."""

    essentials, record, pixels = _parts()
    blob = b"AAAA" * (mebibytes * MIB // 4)
    tags = [(65000, 2, 0, record, True), (65001, 2, 0, blob, True)]
    return tiff(pixels, photometric="minisblack", description=essentials, extratags=tags)


def animation(frames: int = 2000) -> bytes:
    """A WebP of many frames."""
    file = io.BytesIO()
    images = [Image.new("RGB", (16, 16), (n % 256, n // 256, 0)) for n in range(frames)]
    images[0].save(file, format="WEBP", save_all=True, append_images=images[1:], duration=10)
    return file.getvalue()


def large_picture(dtype: type, side: int = 2048, **options: Any) -> bytes:
    """A picture of as many pixels as are read, in numbers that take the most."""
    options = {"compression": "zlib", "rowsperstrip": 256, **options}
    return tiff(np.full((side, side, 4), 1, dtype), photometric="rgb", extrasamples=["unassalpha"], **options)
