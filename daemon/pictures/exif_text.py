"""The recipe in the EXIF data of a JPEG or WebP, written and read without a codec.

    UserComment  A1111's infotext as it writes it: "UNICODE" and a zero byte, then UTF-16 with the most significant byte first
    MakerNote    the exact recipe: "tiffsd" and a zero byte, then its JSON, deflated

EXIF is a TIFF of two directories without pixels (CIPA DC-008, 4.6); tags and types are those of that standard. What is damaged,
too large or not meant for us is passed over.
"""

import struct
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import IO

from daemon.pictures.parts import Form, parts
from daemon.pictures.png_text import inflated

JPEG_APP1, WEBP_EXIF = b"\xe1", b"EXIF"
EXIF_NAME = b"Exif\0\0"
LARGEST_EXIF_BYTES = 2**20
MOST_PARTS, MOST_TAGS = 1000, 1000
SOFTWARE, EXIF_DIRECTORY, EXIF_VERSION, MAKER_NOTE, USER_COMMENT, COLOUR_SPACE = 305, 34665, 36864, 37500, 37510, 40961
ASCII, SHORT, LONG, UNDEFINED = 2, 3, 4, 7
TEXTS = (MAKER_NOTE, USER_COMMENT)
SRGB = 1
OURS, UTF16, PLAIN = b"tiffsd\0", b"UNICODE\0", (b"ASCII\0\0\0", bytes(8))


@dataclass(frozen=True)
class ExifText:
    """What the EXIF data say: the infotext, and the exact recipe as JSON; None where there is none."""

    infotext: str | None = None
    exact: str | None = None


def render_exif(text: ExifText, software: str) -> bytes:
    """The texts as EXIF data, from the byte order on; in Unicode, so that nothing of them is lost."""
    fields = {EXIF_VERSION: (UNDEFINED, b"0232"), COLOUR_SPACE: (SHORT, struct.pack(">HH", SRGB, 0))}
    if text.exact is not None:
        fields[MAKER_NOTE] = (UNDEFINED, OURS + zlib.compress(text.exact.encode("ascii"), 9))
    if text.infotext is not None:
        fields[USER_COMMENT] = (UNDEFINED, UTF16 + text.infotext.encode("utf-16-be", "replace"))
    # Directories stand one behind the other; the first one's length does not depend on where the second is.
    first = _directory({SOFTWARE: (ASCII, software.encode("ascii") + b"\0"), EXIF_DIRECTORY: (LONG, bytes(4))}, 8)
    behind = struct.pack(">I", 8 + len(first))
    first = _directory({SOFTWARE: (ASCII, software.encode("ascii") + b"\0"), EXIF_DIRECTORY: (LONG, behind)}, 8)
    return b"MM\0*" + struct.pack(">I", 8) + first + _directory(fields, 8 + len(first))


def _directory(fields: Mapping[int, tuple[int, bytes]], place: int) -> bytes:
    """One directory that begins at `place`, with the values that do not fit into it behind it."""
    table, values = struct.pack(">H", len(fields)), b""
    start = place + 2 + 12 * len(fields) + 4
    for tag, (kind, value) in sorted(fields.items()):
        count = 1 if kind in (SHORT, LONG) else len(value)
        if len(value) <= 4:
            table += struct.pack(">HHI4s", tag, kind, count, value)
        else:
            table += struct.pack(">HHII", tag, kind, count, start + len(values))
            values += value + b"\0" * (len(value) % 2)
    return table + bytes(4) + values


def exif_text(file: IO[bytes], form: Form) -> ExifText:
    """The texts in a JPEG or WebP."""
    for part in islice(parts(file, form), MOST_PARTS):
        if part.kind in (JPEG_APP1, WEBP_EXIF) and part.length <= LARGEST_EXIF_BYTES:
            data = part.read(file)
            if part.kind == WEBP_EXIF or data.startswith(EXIF_NAME):
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
