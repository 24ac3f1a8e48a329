"""The texts in a PNG, read without decoding a pixel: Pillow would do, but it is a codec, and none runs in the front process.

tEXt, zTXt and iTXt chunks before the first pixels, as in the PNG specification (ISO/IEC 15948, 11.3.4), within limits.
"""

import struct
import zlib
from collections.abc import Mapping
from typing import IO

PNG_BEGINNING = b"\x89PNG\r\n\x1a\n"
CHECKSUM_BYTES = 4
LARGEST_TEXT_BYTES = 2**20
MOST_CHUNKS = 1000


def png_text(file: IO[bytes]) -> Mapping[str, str]:
    """Keyword -> text of a PNG; what is damaged or larger than a megabyte is passed over."""
    texts = dict[str, str]()
    file.seek(len(PNG_BEGINNING))
    for _ in range(MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8:
            break
        length, kind = struct.unpack(">I4s", head)
        if kind in (b"IDAT", b"IEND"):
            break
        if kind in READERS and length <= LARGEST_TEXT_BYTES:
            keyword, _, rest = file.read(length).partition(b"\0")
            text = READERS[kind](rest)
            texts |= {} if text is None else {keyword.decode("latin-1"): text}
            length = 0
        file.seek(length + CHECKSUM_BYTES, 1)
    return texts


def _plain(rest: bytes) -> str:
    return rest.decode("latin-1")


def _compressed(rest: bytes) -> str | None:
    inflated = _inflated(rest[1:])
    return None if inflated is None else inflated.decode("latin-1")


def _international(rest: bytes) -> str | None:
    # Compression flag and method, then the language and the translated keyword, each ended by a zero byte.
    _, _, text = rest[2:].split(b"\0", 2) if rest[2:].count(b"\0") >= 2 else (b"", b"", None)
    inflated = _inflated(text) if text and rest[:1] == b"\1" else text
    return None if inflated is None else inflated.decode("utf-8", "replace")


def _inflated(data: bytes) -> bytes | None:
    """The data inflated, or None where they are damaged or would become too large."""
    inflater = zlib.decompressobj()
    try:
        inflated = inflater.decompress(data, LARGEST_TEXT_BYTES)
    except zlib.error:
        return None
    return inflated if inflater.eof else None


READERS = {b"tEXt": _plain, b"zTXt": _compressed, b"iTXt": _international}
