"""The chunks of a PNG, JPEG or WebP file, told apart without decoding a pixel: no codec runs in the front process.

PNG    chunks by their four letters (ISO/IEC 15948, 5.3), behind the signature
JPEG   segments by their marker, from SOI to the scan (ITU-T T.81, annex B), "SCAN" being all from the first SOS marker on
WebP   chunks by their four letters (RFC 9649, section 2)
"""

import hashlib
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import IO

PNG_BEGINNING = b"\x89PNG\r\n\x1a\n"
JPEG_BEGINNING = b"\xff\xd8\xff"
CHECKSUM_BYTES = 4
SCAN = b"SCAN"
START_OF_SCAN, END_OF_IMAGE, FILL = 0xDA, 0xD9, 0xFF
CODED_PIXELS = (b"IDAT", SCAN, b"VP8 ", b"VP8L", b"ALPH")
BLOCK_BYTES = 2**20
# The keywords of our texts in a PNG.
EXACT_RECIPE, INFOTEXT = "tiffsd", "parameters"


class Form(StrEnum):
    """A form of picture file whose chunks are told apart here."""

    PNG = "PNG"
    JPEG = "JPEG"
    WEBP = "WebP"


@dataclass(frozen=True)
class Chunk:
    """One chunk of a picture file: its kind, and where by the file's own word its content lies, in bytes from the beginning."""

    kind: bytes
    start: int
    length: int

    def read(self, file: IO[bytes]) -> bytes:
        """Its content, or what there is of it in a file that breaks off."""
        file.seek(self.start)
        return file.read(self.length)


def form_of(file: IO[bytes]) -> Form | None:
    """The form of a picture file by its first bytes; None for any other."""
    file.seek(0)
    beginning = file.read(12)
    if beginning.startswith(PNG_BEGINNING):
        return Form.PNG
    if beginning.startswith(JPEG_BEGINNING):
        return Form.JPEG
    return Form.WEBP if (beginning[:4], beginning[8:]) == (b"RIFF", b"WEBP") else None


def chunks(file: IO[bytes], form: Form) -> Iterator[Chunk]:
    """The chunks of a picture file in their order, up to the end or to where the file makes no sense any more."""
    return WALKS[form](file)


def pixels_digest(file: IO[bytes], form: Form) -> str:
    """SHA-256 of the coded pixels, in hexadecimal: another one where a program has saved the picture again, edited or not."""
    digest = hashlib.sha256()
    for chunk in chunks(file, form):
        if chunk.kind in CODED_PIXELS:
            _add(digest.update, file, chunk)
    return digest.hexdigest()


def _add(update: Callable[[bytes], object], file: IO[bytes], chunk: Chunk) -> None:
    file.seek(chunk.start)
    left = chunk.length
    while block := file.read(min(left, BLOCK_BYTES)):
        update(block)
        left -= len(block)


def _png_chunks(file: IO[bytes]) -> Iterator[Chunk]:
    place, size = len(PNG_BEGINNING), _size(file)
    while place + 8 <= size:
        length, kind = struct.unpack(">I4s", Chunk(b"", place, 8).read(file))
        yield Chunk(kind, place + 8, length)
        place += 8 + length + CHECKSUM_BYTES


def _jpeg_segments(file: IO[bytes]) -> Iterator[Chunk]:
    place, size = 2, _size(file)
    while place + 4 <= size:
        mark, marker, length = struct.unpack(">BBH", Chunk(b"", place, 4).read(file))
        if mark != FILL or marker == END_OF_IMAGE:
            return
        if marker == START_OF_SCAN:
            yield Chunk(SCAN, place, size - place)
            return
        if marker == FILL:
            place += 1
            continue
        yield Chunk(bytes([marker]), place + 4, max(length - 2, 0))
        place += 2 + max(length, 2)


def _webp_chunks(file: IO[bytes]) -> Iterator[Chunk]:
    place, size = 12, _size(file)
    while place + 8 <= size:
        kind, length = struct.unpack("<4sI", Chunk(b"", place, 8).read(file))
        yield Chunk(kind, place + 8, length)
        place += 8 + length + length % 2


WALKS: dict[Form, Callable[[IO[bytes]], Iterator[Chunk]]] = {
    Form.PNG: _png_chunks,
    Form.JPEG: _jpeg_segments,
    Form.WEBP: _webp_chunks,
}


def _size(file: IO[bytes]) -> int:
    return file.seek(0, os.SEEK_END)
