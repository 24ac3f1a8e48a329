"""Small pictures with texts in them, where other programs put these: chunks of a PNG, EXIF, XMP and comments of a JPEG or WebP."""

import gzip
import io
import struct
import zlib
from collections.abc import Mapping

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

UNICODE, ASCII_CODE, NO_CODE = b"UNICODE\0", b"ASCII\0\0\0", bytes(8)
BYTE, ASCII, UNDEFINED = 1, 2, 7
USER_COMMENT, EXIF_DIRECTORY, DESCRIPTION, MAKER, CAMERA = 37510, 34665, 270, 271, 272
PIXELS = np.arange(3 * 32 * 32, dtype=np.uint8).reshape(32, 32, 3)


def png(texts: Mapping[str, str], *, behind: bool = False) -> bytes:
    """A PNG with texts, before its pixels or behind them."""
    info, file = PngInfo(), io.BytesIO()
    for keyword, text in texts.items():
        info.add_text(keyword, text)
    Image.fromarray(PIXELS).save(file, format="PNG", pnginfo=None if behind else info)
    whole = file.getvalue()
    return whole[:-12] + b"".join(_chunk(*chunk[:2]) for chunk in info.chunks) + whole[-12:] if behind else whole


def png_with_exif(data: bytes) -> bytes:
    whole = png({})
    return whole[:33] + _chunk(b"eXIf", data) + whole[33:]


def stealth(text: str, *, compressed: bool = True, size: int = 64) -> bytes:
    """A PNG with a text in the lowest bits of its alpha channel, as NovelAI hides it."""
    data = gzip.compress(text.encode()) if compressed else text.encode()
    word = b"stealth_pngcomp" if compressed else b"stealth_pnginfo"
    bits = np.unpackbits(np.frombuffer(word + struct.pack(">I", 8 * len(data)) + data, np.uint8))
    alpha = np.full(size * size, 255, np.uint8)
    alpha[: bits.size] = 254 | bits
    noise = np.random.default_rng(5).integers(0, 256, (size, size, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(np.dstack([noise, alpha.reshape(size, size).T])).save(file, format="PNG")
    return file.getvalue()


def exif(fields: Mapping[int, tuple[int, bytes]], *, order: str = "<", inner: bool = True) -> bytes:
    """EXIF data with fields in the directory of EXIF, or in the first one."""
    beginning = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}I", 8)
    if not inner:
        return beginning + _directory(fields, 8, order)
    first = struct.pack(f"{order}HHHIII", 1, EXIF_DIRECTORY, 4, 1, 26, 0)
    return beginning + first + _directory(fields, 26, order)


def jpeg(data: bytes = b"", *, xmp: str = "", comment: str = "") -> bytes:
    """A JPEG with EXIF data, XMP and a comment."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format="JPEG", quality=90)
    whole = file.getvalue()
    segments = b""
    if data:
        segments += _segment(0xE1, b"Exif\0\0" + data)
    if xmp:
        segments += _segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp.encode())
    if comment:
        segments += _segment(0xFE, comment.encode())
    return whole[:2] + segments + whole[2:]


def webp(data: bytes) -> bytes:
    """A WebP with EXIF data."""
    file = io.BytesIO()
    Image.fromarray(PIXELS).save(file, format="WEBP", exif=data)
    return file.getvalue()


def commented(text: str, code: bytes = UNICODE, encoding: str = "utf-16-be") -> bytes:
    """A JPEG with a UserComment."""
    return jpeg(exif({USER_COMMENT: (UNDEFINED, code + text.encode(encoding))}))


def _directory(fields: Mapping[int, tuple[int, bytes]], place: int, order: str) -> bytes:
    table, values = struct.pack(f"{order}H", len(fields)), b""
    start = place + 2 + 12 * len(fields) + 4
    for tag, (kind, value) in sorted(fields.items()):
        value = value.ljust(5, b"\0")
        table += struct.pack(f"{order}HHII", tag, kind, len(value), start + len(values))
        values += value
    return table + bytes(4) + values


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
