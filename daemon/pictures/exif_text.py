"""The recipe in the EXIF data of a JPEG or WebP, read without a codec, in the child process; `exif.py` says what stands where.

What is not meant for us is ignored; what is ours and damaged or too large too, with a note.
"""

import struct
from collections.abc import Iterator
from itertools import islice
from typing import IO

from daemon.pictures.chunks import Form, chunks
from daemon.pictures.exif import (
    ASCII,
    EXIF_DIRECTORY,
    EXIF_NAME,
    JPEG_APP1,
    MAKER_NOTE,
    OURS,
    UNDEFINED,
    USER_COMMENT,
    UTF16,
    WEBP_EXIF,
    ExifText,
)
from daemon.pictures.png_text import LARGEST_TEXT_BYTES, inflated

LARGEST_EXIF_BYTES = 2**20
MOST_CHUNKS, MOST_TAGS = 1000, 1000
TEXTS = (MAKER_NOTE, USER_COMMENT)
PLAIN = (b"ASCII\0\0\0", bytes(8))
TOO_LARGE = f"EXIF data ignored: larger than {LARGEST_EXIF_BYTES} bytes"
UNUSABLE = f"exact recipe in the EXIF data ignored: damaged, or larger than {LARGEST_TEXT_BYTES} bytes"


def exif_text(file: IO[bytes], form: Form) -> ExifText:
    """The texts in a JPEG or WebP."""
    for chunk in islice(chunks(file, form), MOST_CHUNKS):
        if chunk.kind in (JPEG_APP1, WEBP_EXIF):
            if chunk.length > LARGEST_EXIF_BYTES:
                return ExifText(notes=(TOO_LARGE,))
            data = chunk.read(file)
            if chunk.kind == WEBP_EXIF or data.startswith(EXIF_NAME):
                # In WebP some programs write the name too, which the standard does not ask for.
                return parse_exif(data.removeprefix(EXIF_NAME))
    return ExifText()


def parse_exif(data: bytes) -> ExifText:
    """The texts in EXIF data that begin with the byte order."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(data[:4])
    if order is None:
        return ExifText()
    (place,) = _numbers(order + "I", data, 4) or (0,)
    fields = dict(_fields(data, place, order))
    if EXIF_DIRECTORY in fields:
        (place,) = _numbers(order + "I", fields[EXIF_DIRECTORY], 0) or (0,)
        fields |= dict(_fields(data, place, order))
    note = fields.get(MAKER_NOTE, b"")
    exact = inflated(note.removeprefix(OURS)) if note.startswith(OURS) else None
    comment = fields.get(USER_COMMENT)
    return ExifText(
        infotext=None if comment is None else _comment(comment),
        exact=None if exact is None else exact.decode("utf-8", "replace"),
        notes=(UNUSABLE,) if note.startswith(OURS) and exact is None else (),
    )


def _fields(data: bytes, place: int, order: str) -> Iterator[tuple[int, bytes]]:
    """Tag -> value of the fields with our texts in one directory, and the place of the other directory."""
    (count,) = _numbers(order + "H", data, place) or (0,)
    for index in range(min(count, MOST_TAGS)):
        start = place + 2 + 12 * index
        tag, kind, length, offset = _numbers(order + "HHII", data, start) or (0, 0, 0, 0)
        if tag == EXIF_DIRECTORY:
            yield tag, data[start + 8 : start + 12]
        elif tag in TEXTS and kind in (ASCII, UNDEFINED):
            value = data[offset : offset + length] if length > 4 else data[start + 8 : start + 8 + length]
            yield tag, value


def _numbers(form: str, data: bytes, place: int) -> tuple[int, ...] | None:
    return struct.unpack_from(form, data, place) if place + struct.calcsize(form) <= len(data) else None


def _comment(value: bytes) -> str | None:
    """A UserComment as text; which byte of UTF-16 comes first, programs do not agree on."""
    code, text = value[:8], value[8:]
    if code in PLAIN:
        return text.rstrip(b"\0 ").decode("utf-8", "replace")
    if code != UTF16:
        return None
    readings = [text.decode(order, "replace").removeprefix("\ufeff") for order in ("utf-16-be", "utf-16-le")]
    return next((reading for reading in readings if "Steps:" in reading), readings[0])
