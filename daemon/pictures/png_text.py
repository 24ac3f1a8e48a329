"""The texts in a PNG, read without decoding a pixel: Pillow would do, but it is a codec, and none runs in the front process.

tEXt, zTXt and iTXt chunks before the first pixels, as in the PNG specification (ISO/IEC 15948, 11.3.4), within limits.
"""

import zlib
from collections.abc import Mapping
from itertools import islice
from typing import IO

from daemon.pictures.parts import PNG_BEGINNING, Form, parts

__all__ = ["LARGEST_TEXT_BYTES", "PNG_BEGINNING", "inflated", "png_text"]

LARGEST_TEXT_BYTES = 2**20
LARGEST_TEXTS_BYTES = 16 * LARGEST_TEXT_BYTES  # all together, a damaged one counted as the largest
MOST_CHUNKS = 1000


def png_text(file: IO[bytes]) -> Mapping[str, str]:
    """Keyword -> text of a PNG; what is damaged, larger than a megabyte, or behind 16 megabytes of texts, is passed over."""
    texts, left = dict[str, str](), LARGEST_TEXTS_BYTES
    for part in islice(parts(file, Form.PNG), MOST_CHUNKS):
        if part.kind in (b"IDAT", b"IEND") or left <= 0:
            break
        if part.kind in READERS and part.length <= LARGEST_TEXT_BYTES:
            keyword, _, rest = part.read(file).partition(b"\0")
            text = READERS[part.kind](rest)
            texts |= {} if text is None else {keyword.decode("latin-1"): text}
            left -= max(part.length, LARGEST_TEXT_BYTES if text is None else len(text))
    return texts


def _plain(rest: bytes) -> str:
    return rest.decode("latin-1")


def _compressed(rest: bytes) -> str | None:
    data = inflated(rest[1:])
    return None if data is None else data.decode("latin-1")


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
