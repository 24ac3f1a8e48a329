"""The pixels of a proof for a program that paints on it, exact to the level; and the same file with others, all else as it was.

Only PNGs of 8 bits, RGB without transparency, which is what a proof is shown as: of another form a program could not say what it
saw without changing it. No profile is applied either way: levels out, levels in.
"""

import io
import struct
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from daemon.errors import InputError
from daemon.pictures.chunks import PNG_BEGINNING, Form, chunks
from daemon.pictures.foreign import BROKEN

Levels = NDArray[np.uint8]

# Of what is painted on again and again, and of which the next look makes another.
COMPRESSION = 1
TRUE_COLOUR, BITS = 2, 8
_HEAD = struct.Struct(">II5B")


@dataclass(frozen=True)
class Size:
    """What the head of a PNG says: its sides in pixels, and whether it holds levels that can be given back as they are."""

    width: int
    height: int
    plain: bool


def size_of_png(png: bytes) -> Size | None:
    """The size of a picture by the head of its file; None where it is no PNG."""
    first = next(iter(chunks(io.BytesIO(png), Form.PNG)), None) if png.startswith(PNG_BEGINNING) else None
    if first is None or first.kind != b"IHDR" or len(png) < first.start + _HEAD.size:
        return None
    width, height, bits, colours, *_ = _HEAD.unpack_from(png, first.start)
    return Size(width, height, bits == BITS and colours == TRUE_COLOUR)


def levels_of(png: bytes, *, name: str, most: int) -> Levels:
    """The levels (H, W, 3) of a PNG of at most so many pixels; InputError where it is none, larger, or of another form."""
    size = size_of_png(png)
    if size is None:
        raise InputError(f"{name} is no PNG picture; delete it, and the daemon lays a new proof there")
    if not 0 < size.width * size.height <= most:
        raise InputError(f"{name} has {size.width}x{size.height} pixels, and at most {most:,} can be painted on here")
    if not size.plain or any(chunk.kind == b"tRNS" for chunk in chunks(io.BytesIO(png), Form.PNG)):
        raise InputError(
            f"{name} was saved by another program in a form that cannot be painted on here without changing it: "
            "it must be a PNG of 8 bits, RGB, with nothing clear; go on in that program, or save it so"
        )
    try:
        with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
            return np.asarray(image.convert("RGB"))
    except BROKEN as error:
        raise InputError(f"{name} is damaged or not wholly there yet; wait, or delete it for a new proof") from error


def repainted(png: bytes, levels: Levels) -> bytes:
    """The same file with other levels (H, W, 3): each of its chunks but those of the pixels is there to the byte."""
    fresh = io.BytesIO()
    Image.fromarray(levels).save(fresh, format="PNG", compress_level=COMPRESSION)
    coded = fresh.getvalue()
    head, *pixels = [chunk for kind, chunk in _whole(coded) if kind in (b"IHDR", b"IDAT")]
    parts, written = [PNG_BEGINNING, head], False
    for kind, chunk in _whole(png):
        if kind == b"IDAT":
            parts += [] if written else pixels
            written = True
        elif kind != b"IHDR":
            parts.append(chunk)
    return b"".join(parts)


def _whole(png: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Each chunk of a PNG by its kind, with its length before it and its checksum behind it."""
    for chunk in chunks(io.BytesIO(png), Form.PNG):
        yield chunk.kind, png[chunk.start - 8 : chunk.start + chunk.length + 4]
