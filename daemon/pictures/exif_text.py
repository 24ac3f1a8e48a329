"""The texts in the EXIF data, the XMP and the comment of a JPEG or WebP, read without a codec, in the child process.

`exif.py` says what stands where. What is not meant for us is ignored; what is ours and damaged or too large too, with a note.
"""

import struct
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from typing import IO

from daemon.pictures.chunks import Chunk, Form, chunks
from daemon.pictures.comments import comment_text, of_one_byte
from daemon.pictures.exif import (
    ASCII,
    BYTE,
    EXIF_DIRECTORY,
    EXIF_NAME,
    JPEG_APP1,
    MAKER_NOTE,
    OURS,
    UNDEFINED,
    USER_COMMENT,
    WEBP_EXIF,
    ExifText,
)
from daemon.pictures.png_text import LARGEST_TEXT_BYTES, inflated
from daemon.settings.foreign.telling import COMMENT, IMAGE_DESCRIPTION, PROMPT, WORKFLOW, XMP

LARGEST_EXIF_BYTES = 2**20
MOST_CHUNKS, MOST_TAGS = 1000, 1000
JPEG_COMMENT, WEBP_XMP, XMP_NAME = b"\xfe", b"XMP ", b"http://ns.adobe.com/xap/1.0/\0"
DESCRIPTION, XP_COMMENT = 270, 40092
# Where ComfyUI writes its graph into a WebP: in the fields of the camera's maker and model, and before them.
OF_COMFYUI = tuple(range(256, 273))
TEXTS = (MAKER_NOTE, USER_COMMENT, XP_COMMENT, *OF_COMFYUI)
TOO_LARGE = f"EXIF data ignored: larger than {LARGEST_EXIF_BYTES} bytes"
UNUSABLE = f"exact recipe in the EXIF data ignored: damaged, or larger than {LARGEST_TEXT_BYTES} bytes"


def exif_text(file: IO[bytes], form: Form) -> ExifText:
    """The texts in a JPEG or WebP: those in its first EXIF data, and beside them its XMP and its comment."""
    found: ExifText | None = None
    beside: dict[str, str] = {}
    for chunk in islice(chunks(file, form), MOST_CHUNKS):
        if chunk.kind not in (JPEG_APP1, WEBP_EXIF, WEBP_XMP, JPEG_COMMENT):
            continue
        if chunk.length > LARGEST_EXIF_BYTES:
            found = found or (ExifText(notes=(TOO_LARGE,)) if chunk.kind == WEBP_EXIF else None)
            continue
        data = chunk.read(file)
        if chunk.kind == WEBP_EXIF or data.startswith(EXIF_NAME):
            # In WebP some programs write the name too, which the standard does not ask for.
            found = found or parse_exif(data.removeprefix(EXIF_NAME))
        elif label := _label(chunk, data):
            beside.setdefault(label, of_one_byte(data.removeprefix(XMP_NAME)))
    found = found or ExifText()
    return replace(found, others={**beside, **found.others})


def _label(chunk: Chunk, data: bytes) -> str | None:
    if chunk.kind == WEBP_XMP or data.startswith(XMP_NAME):
        return XMP
    return COMMENT if chunk.kind == JPEG_COMMENT else None


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
    comments = [comment_text(fields[tag]) for tag in (USER_COMMENT, XP_COMMENT) if tag in fields]
    return ExifText(
        infotext=next((comment for comment in comments if comment), None),
        exact=None if exact is None else exact.decode("utf-8", "replace"),
        notes=(UNUSABLE,) if note.startswith(OURS) and exact is None else (),
        others=dict(_others(fields)),
    )


def _others(fields: dict[int, bytes]) -> Iterator[tuple[str, str]]:
    for tag in OF_COMFYUI:
        text = of_one_byte(fields.get(tag, b"").rstrip(b"\0 "))
        label, mark, rest = text.partition(":")
        if mark and label in (PROMPT, WORKFLOW):
            yield label, rest
        elif text and tag == DESCRIPTION:
            yield IMAGE_DESCRIPTION, text


def _fields(data: bytes, place: int, order: str) -> Iterator[tuple[int, bytes]]:
    """Tag -> value of the fields with texts in one directory, and the place of the other directory."""
    (count,) = _numbers(order + "H", data, place) or (0,)
    for index in range(min(count, MOST_TAGS)):
        start = place + 2 + 12 * index
        tag, kind, length, offset = _numbers(order + "HHII", data, start) or (0, 0, 0, 0)
        if tag == EXIF_DIRECTORY:
            yield tag, data[start + 8 : start + 12]
        elif tag in TEXTS and kind in (BYTE, ASCII, UNDEFINED):
            value = data[offset : offset + length] if length > 4 else data[start + 8 : start + 8 + length]
            yield tag, value


def _numbers(form: str, data: bytes, place: int) -> tuple[int, ...] | None:
    return struct.unpack_from(form, data, place) if place + struct.calcsize(form) <= len(data) else None
