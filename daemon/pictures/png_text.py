"""The texts in a PNG, read without decoding a pixel, in the child process.

tEXt, zTXt and iTXt chunks as in the PNG specification (ISO/IEC 15948, 11.3.4), within limits; before the pixels or behind them,
where ImageMagick puts them.
"""

import zlib
from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from typing import IO

from daemon.pictures.chunks import PNG_BEGINNING, Chunk, Form, chunks

__all__ = ["LARGEST_TEXTS_BYTES", "LARGEST_TEXT_BYTES", "PNG_BEGINNING", "Texts", "inflated", "png_text"]

LARGEST_TEXT_BYTES = 2**20
LARGEST_TEXTS_BYTES = 16 * LARGEST_TEXT_BYTES  # all together, a damaged one counted as the largest
MOST_CHUNKS = 1000  # of others than pixels
MOST_CHUNKS_OF_PIXELS = 100_000
LONGEST_KEYWORD = 79
BEHIND = f"texts ignored beyond the first {LARGEST_TEXTS_BYTES} bytes of them in this picture"
BEHIND_CHUNKS = f"chunks ignored beyond the first {MOST_CHUNKS} of this picture"

BEHIND_PIXELS = f"texts ignored beyond the first {MOST_CHUNKS_OF_PIXELS} chunks of pixels of this picture"


@dataclass(frozen=True)
class Texts:
    """Keyword -> text, and the sentences on what was ignored."""

    found: Mapping[str, str] = field(default_factory=dict)
    notes: tuple[str, ...] = ()


def png_text(file: IO[bytes], wanted: Container[str] | None = None) -> Texts:
    """The texts of a PNG, only those of the `wanted` keywords where some are given.

    One that is damaged or larger than a megabyte is ignored, and so is all that stands behind 16 megabytes of texts.
    """
    texts, notes, left = dict[str, str](), list[str](), LARGEST_TEXTS_BYTES
    number = pixels = 0
    for chunk in chunks(file, Form.PNG):
        if chunk.kind == b"IEND":
            break
        if number == MOST_CHUNKS or pixels == MOST_CHUNKS_OF_PIXELS:
            notes.append(BEHIND_CHUNKS if number == MOST_CHUNKS else BEHIND_PIXELS)
            break
        if chunk.kind == b"IDAT":
            pixels += 1
            continue
        number += 1
        keyword = _keyword(chunk, file) if chunk.kind in READERS else None
        if keyword is None or (wanted is not None and keyword not in wanted):
            continue
        if left <= 0:
            notes.append(BEHIND)
            break
        text = _text(chunk, file) if chunk.length <= LARGEST_TEXT_BYTES else None
        if text is None:
            notes.append(f"text {keyword!r} in this picture ignored: damaged, or larger than {LARGEST_TEXT_BYTES} bytes")
        else:
            texts[keyword] = text
        left -= max(min(chunk.length, LARGEST_TEXT_BYTES), LARGEST_TEXT_BYTES if text is None else len(text))
    return Texts(texts, tuple(dict.fromkeys(notes)))


def _keyword(chunk: Chunk, file: IO[bytes]) -> str | None:
    head, end, _ = Chunk(chunk.kind, chunk.start, min(chunk.length, LONGEST_KEYWORD + 1)).read(file).partition(b"\0")
    return head.decode("latin-1") if end or chunk.kind == b"tEXt" else None


def _text(chunk: Chunk, file: IO[bytes]) -> str | None:
    return READERS[chunk.kind](chunk.read(file).partition(b"\0")[2])


def _plain(rest: bytes) -> str:
    # Latin-1 by the standard, but many programs write UTF-8, which Latin-1 hardly ever looks like.
    try:
        return rest.decode("utf-8")
    except UnicodeDecodeError:
        return rest.decode("latin-1")


def _compressed(rest: bytes) -> str | None:
    data = inflated(rest[1:])
    return None if data is None else _plain(data)


def _international(rest: bytes) -> str | None:
    # Compression flag and method, then the language and the translated keyword, each ended by a zero byte.
    _, _, text = rest[2:].split(b"\0", 2) if rest[2:].count(b"\0") >= 2 else (b"", b"", None)
    data = inflated(text) if text and rest[:1] == b"\1" else text
    return None if data is None else data.decode("utf-8", "replace")


def inflated(data: bytes) -> bytes | None:
    """The data inflated, or None where they are damaged or would become larger than a megabyte."""
    inflater = zlib.decompressobj()
    try:
        whole = inflater.decompress(data, LARGEST_TEXT_BYTES)
    except zlib.error:
        return None
    return whole if inflater.eof else None


READERS = {b"tEXt": _plain, b"zTXt": _compressed, b"iTXt": _international}
