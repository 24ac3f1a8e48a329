"""Files that were made to cost the daemon memory or time: small ones that say much, and large ones that say nothing."""

import io
import json
import struct
import zlib
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any

import numpy as np
import tifffile
from PIL import Image

import tiffsd
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
    return png(*(chunk(b"iTXt", b"k%d" % number + itxt(text)) for number in range(count)))


def one_text(mebibytes: int, keyword: bytes = b"parameters") -> bytes:
    return png(chunk(b"iTXt", itxt("a", mebibytes, keyword)))


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


def large_record(unit: str = "{},", size: int = 15 * MIB, tail: str = "{}]") -> bytes:
    """Latents whose record is many times as large in memory as it is in the file."""
    with tifffile.TiffFile(io.BytesIO(file_of(latents(state=FINAL)))) as found:
        page = found.pages[0]
        essentials, record, pixels = page.description, page.tags[65000].value, page.asarray()
    record = record[:-1] + ',"more":[' + unit * (size // len(unit)) + tail + "}"
    return tiff(pixels, photometric="minisblack", description=essentials, extratags=[(65000, 2, 0, record, True)])


def large_canvas(side: int, **options: Any) -> bytes:
    """An empty canvas of many values."""
    options = {"photometric": "minisblack", "compression": "zlib", "rowsperstrip": 256, **options}
    return tiff(np.full((side, side), 0.5, np.float32), **options)


def many_strips(count: int = 2**20 - 8) -> bytes:
    """A TIFF that says its pixels lie in very many places."""
    return _bare_tiff(
        [(256, 4, 1, 1), (257, 4, 1, count), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1), (277, 3, 1, 1), (278, 4, 1, 1)],
        {273: (4, struct.pack("<I", 8) * count), 279: (4, struct.pack("<I", 1) * count)},
    )


def many_numbers(tags: int = 4000, count: int = 2**20) -> bytes:
    """A TIFF of very many tags that all show the same numbers."""
    plain = [
        (256, 4, 1, 8),
        (257, 4, 1, 8),
        (258, 3, 1, 32),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (277, 3, 1, 1),
        (278, 4, 1, 8),
        (279, 4, 1, 256),
        (339, 3, 1, 3),
    ]
    return _bare_tiff(plain, {}, again=[(40_000 + number, 12, count) for number in range(tags)], shared=bytes(8 * count))


def _bare_tiff(
    plain: list[tuple[int, int, int, int]],
    arrays: Mapping[int, tuple[int, bytes]],
    again: Iterable[tuple[int, int, int]] = (),
    shared: bytes = b"",
) -> bytes:
    """A little-endian TIFF of these tags; `arrays` lie behind them, and `again` all at the same place."""
    again = list(again)
    body, start = b"", 8 + 256 + 2 + 12 * (len(plain) + len(arrays) + len(again)) + 4
    tags = [(code, struct.pack("<HHII", code, kind, count, value)) for code, kind, count, value in plain]
    for code, (kind, data) in arrays.items():
        tags.append((code, struct.pack("<HHII", code, kind, len(data) // 4, start + len(body))))
        body += data
    tags += [(code, struct.pack("<HHII", code, kind, count, start + len(body))) for code, kind, count in again]
    directory = struct.pack("<H", len(tags)) + b"".join(data for _, data in sorted(tags)) + bytes(4)
    return b"II*\0" + struct.pack("<I", 264) + bytes(256) + directory + body + shared


def many_tensors(count: int = 200_000) -> bytes:
    """Latents with very many exact tensors that hold nothing."""
    import binascii

    with tifffile.TiffFile(io.BytesIO(file_of(latents(state=FINAL)))) as found:
        page = found.pages[0]
        essentials, record, pixels = page.description, page.tags[65000].value, page.asarray()
    identity = json.loads(essentials)["id"]
    table: dict[str, Any] = {"__metadata__": {"id": identity}}
    table |= {f"t{number}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for number in range(count)}
    head = json.dumps(table, separators=(",", ":")).encode()
    head += b" " * (-len(head) % 8)
    blob = binascii.b2a_base64(struct.pack("<Q", len(head)) + head, newline=False)
    tags = [(65000, 2, 0, record, True), (65001, 2, 0, blob, True)]
    return tiff(pixels, photometric="minisblack", description=essentials, extratags=tags)


def many_pages(pages: int = 256, side: int = 181) -> bytes:
    file = io.BytesIO()
    with tifffile.TiffWriter(file) as writer:
        for _ in range(pages):
            writer.write(
                np.full((side * 2, side * 2), 0.5, np.float32), photometric="minisblack", metadata=None, compression="zlib"
            )
    return file.getvalue()


def large_tensors(mebibytes: int = 200) -> bytes:

    with tifffile.TiffFile(io.BytesIO(file_of(latents(state=FINAL)))) as found:
        page = found.pages[0]
        essentials, record, pixels = page.description, page.tags[65000].value, page.asarray()
    blob = b"AAAA" * (mebibytes * MIB // 4)
    tags = [(65000, 2, 0, record, True), (65001, 2, 0, blob, True)]
    return tiff(pixels, photometric="minisblack", description=essentials, extratags=tags)


def animation(frames: int = 2000) -> bytes:
    file = io.BytesIO()
    images = [Image.new("RGB", (16, 16), (n % 256, n // 256, 0)) for n in range(frames)]
    images[0].save(file, format="WEBP", save_all=True, append_images=images[1:], duration=10)
    return file.getvalue()
