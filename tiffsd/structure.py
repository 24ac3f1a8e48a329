"""The skeleton of a TIFF, walked before any library sees it: a chain of pages that ends, and tags of a sane count.

Section 8 of `tiffsd/spec.py`. What lies outside of the file is left alone here: editors copy tags whose offsets lead nowhere, and
only the ones that are needed are missed later.
"""

import struct
from dataclasses import dataclass
from typing import IO

from tiffsd.spec import (
    DESCRIPTION_TAG,
    LARGEST_RECORD_BYTES,
    MOST_NUMBERS,
    MOST_PAGES,
    MOST_PLACES,
    MOST_TAGS,
    MOST_TAGS_OF_ALL,
    TooLarge,
    Truncated,
)

TEXT_OR_BYTES = (1, 2, 6, 7)
PLACES_TAGS = (273, 279, 324, 325)  # where strips and tiles lie, and how long they are


@dataclass(frozen=True)
class _Shape:
    """How numbers lie in this file: struct formats of an offset, of a count of tags, of one tag (code, type, count)."""

    offset: struct.Struct
    count: struct.Struct
    tag: struct.Struct


def check_structure(file: IO[bytes], label: str, *, length: int) -> None:
    """Walk the pages of a TIFF of `length` bytes; Truncated where they form a loop, TooLarge beyond the limits."""
    beginning = file.read(16)
    shape, offset = _beginning(beginning)
    seen: set[int] = set()
    tags = places = 0
    while 0 < offset < length:
        if offset in seen:
            raise Truncated(f"{label} is damaged: its chain of pages leads back to itself; save it again from the original")
        if len(seen) == MOST_PAGES:
            raise TooLarge(f"{label} has more than {MOST_PAGES} pages, which no artifact has; save only those of the original")
        seen.add(offset)
        offset, more_tags, more_places = _next_page(file, shape, offset, label)
        tags, places = tags + more_tags, places + more_places
        if tags > MOST_TAGS_OF_ALL or places > MOST_PLACES:
            raise TooLarge(
                f"{label} has {tags} tags and {places} numbers on where its pixels lie, and at most {MOST_TAGS_OF_ALL} and "
                f"{MOST_PLACES} are read; save it again from the original"
            )


def _beginning(beginning: bytes) -> tuple[_Shape, int]:
    order = "<" if beginning.startswith(b"II") else ">"
    if beginning[2:4] in (b"+\0", b"\0+"):
        shape = _Shape(struct.Struct(order + "Q"), struct.Struct(order + "Q"), struct.Struct(order + "HHQ8x"))
        return shape, shape.offset.unpack_from(beginning.ljust(16, b"\0"), 8)[0]
    shape = _Shape(struct.Struct(order + "I"), struct.Struct(order + "H"), struct.Struct(order + "HHI4x"))
    return shape, shape.offset.unpack_from(beginning, 4)[0]


def _next_page(file: IO[bytes], shape: _Shape, offset: int, label: str) -> tuple[int, int, int]:
    """Check the tags of the page at this offset and return where the next one is, 0 at the end or where the file is cut off; and
    how many tags the page has, and numbers on where its pixels lie."""
    file.seek(offset)
    head = file.read(shape.count.size)
    if len(head) < shape.count.size:
        return 0, 0, 0
    tags = shape.count.unpack(head)[0]
    if tags > MOST_TAGS:
        raise Truncated(
            f"{label} is damaged or incomplete: a page has {tags} tags, at most {MOST_TAGS} are read; copy or save it again"
        )
    body = file.read(tags * shape.tag.size + shape.offset.size)
    places = 0
    for place in range(0, len(body) - shape.tag.size + 1, shape.tag.size)[:tags]:
        code, kind, count = shape.tag.unpack_from(body, place)
        # Other texts and bytes are read only when asked for, within the limits of who asks.
        most = MOST_NUMBERS if kind not in TEXT_OR_BYTES else LARGEST_RECORD_BYTES if code == DESCRIPTION_TAG else count
        if count > most:
            raise TooLarge(
                f"{label} has {count} values in tag {code}, and at most {most} are read; save it again from the original"
            )
        places += count if code in PLACES_TAGS else 0
    end = tags * shape.tag.size
    return shape.offset.unpack_from(body, end)[0] if len(body) == end + shape.offset.size else 0, tags, places
