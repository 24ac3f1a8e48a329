"""The text that NovelAI and others hide in the lowest bits of the alpha channel, read without a codec, in the child process.

One bit a pixel, column by column from the left: a word of 15 letters that says the form, the length of the text in bits as 32 bits,
and the text, as UTF-8 or compressed by gzip. Of a column only what stands left of it and above it must be known, so that the rows
are inflated one after the other, and nothing is decoded behind the last column that holds any of it.
"""

import struct
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import IO

from daemon.pictures.chunks import PNG_BEGINNING, Chunk, Form, chunks

PLAIN, COMPRESSED = b"stealth_pnginfo", b"stealth_pngcomp"
HEAD_BITS = 8 * len(PLAIN) + 32
LARGEST_BYTES = 2**16  # as it is hidden
LARGEST_TEXT_BYTES = 2**20
LARGEST_ROW_BYTES = 2**18
LARGEST_PIXELS = 2**26
MOST_CHUNKS = 100_000
RGBA, DEPTH, CHANNELS = 6, 8, 4
GZIP = 31  # for zlib: a stream with the head of gzip


def alpha_text(file: IO[bytes]) -> str | None:
    """The text that is hidden in a PNG; None where there is none."""
    file.seek(0)
    header = file.read(len(PNG_BEGINNING) + 8 + 13)[-13:]
    if len(header) < 13:
        return None
    width, height, depth, kind, _, _, interlace = struct.unpack(">IIBBBBB", header)
    if (depth, kind, interlace) != (DEPTH, RGBA, 0) or not 0 < width * height <= LARGEST_PIXELS:
        return None
    if CHANNELS * width >= LARGEST_ROW_BYTES:
        return None
    if width * height < HEAD_BITS:
        return None
    head = _bits(file, width, height, HEAD_BITS)
    form, length = head[: len(PLAIN)], int.from_bytes(head[len(PLAIN) :], "big")
    if form not in (PLAIN, COMPRESSED) or not 0 < length <= 8 * LARGEST_BYTES or HEAD_BITS + length > width * height:
        return None
    return _text(form, _bits(file, width, height, HEAD_BITS + length)[HEAD_BITS // 8 :][: length // 8])


def _text(form: bytes, data: bytes) -> str | None:
    if form == COMPRESSED:
        inflater = zlib.decompressobj(GZIP)
        try:
            data = inflater.decompress(data, LARGEST_TEXT_BYTES)
        except zlib.error:
            return None
        if not inflater.eof:
            return None
    return data.decode("utf-8", "replace")


def _bits(file: IO[bytes], width: int, height: int, count: int) -> bytes:
    """The first bits of the alpha channel, column by column, as bytes; fewer where the pixels break off."""
    columns = -(-count // height)
    rows = min(height, count) if columns == 1 else height
    above, found = bytes(columns), []
    for row in _rows(file, 1 + CHANNELS * width, rows):
        above = _alpha(row[0], row[CHANNELS : 1 + CHANNELS * columns : CHANNELS], above)
        found.append(above)
    if len(found) < rows:
        return b""
    bits = "".join(str(row[column] & 1) for column in range(columns) for row in found)[:count]
    return int(bits, 2).to_bytes(-(-len(bits) // 8), "big") if len(bits) == count and count % 8 == 0 else b""


def _rows(file: IO[bytes], length: int, count: int) -> Iterator[bytes]:
    """The first rows of the inflated pixels, each with its filter before it."""
    inflater, ready = zlib.decompressobj(), b""
    for block in _blocks(file):
        waiting = block
        while waiting:
            try:
                ready += inflater.decompress(waiting, LARGEST_ROW_BYTES)
            except zlib.error:
                return
            waiting = inflater.unconsumed_tail
            whole = min(len(ready) // length, count)
            yield from (ready[index * length : (index + 1) * length] for index in range(whole))
            ready, count = ready[whole * length :], count - whole
            if not count:
                return


def _blocks(file: IO[bytes]) -> Iterator[bytes]:
    """The coded pixels, in pieces."""
    for chunk in islice(chunks(file, Form.PNG), MOST_CHUNKS):
        if chunk.kind == b"IDAT":
            for start in range(0, chunk.length, LARGEST_ROW_BYTES):
                block = Chunk(b"", chunk.start + start, min(LARGEST_ROW_BYTES, chunk.length - start)).read(file)
                if not block:
                    return
                yield block


def _alpha(kind: int, coded: bytes, above: bytes) -> bytes:
    """One row of the channel behind its filter (PNG specification, 9.2): it needs no other channel."""
    row = bytearray(len(coded))
    left = corner = 0
    for index, value in enumerate(coded):
        over = above[index]
        row[index] = left = value + _guess(kind, left, over, corner) & 0xFF
        corner = over
    return bytes(row)


def _guess(kind: int, left: int, over: int, corner: int) -> int:
    if kind == 4:
        return _nearest(left, over, corner)
    return (0, left, over, (left + over) // 2)[kind] if kind < 4 else 0


def _nearest(left: int, over: int, corner: int) -> int:
    """Paeth's: of the three the one next to left + over - corner."""
    guess = left + over - corner
    return min((left, over, corner), key=lambda value: abs(guess - value))
