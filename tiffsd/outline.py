"""A page as its tags describe it, and what is refused before anything of it is allocated.

Sections 6 and 8 of `tiffsd/spec.py`. Nothing here reads a file: `tiffsd/file.py` fills in the outlines.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil
from typing import Any

import numpy as np

from tiffsd.inks import CIELAB, GRAY, ICCLAB, MINISWHITE, PALETTE, RGB, SEPARATED, YCBCR
from tiffsd.spec import LARGEST_SIDE, MOST_PAGES, MOST_SAMPLES, NOUNS, BadShape, BadValues, Kind, TooLarge, Truncated

JPEG = 7
CANVAS_COLOURS = {GRAY, RGB}
PICTURE_COLOURS = {MINISWHITE, GRAY, RGB, PALETTE, SEPARATED, CIELAB, ICCLAB}
RAW_OF_CAMERAS = {32803, 34892}
MOST_OF_COLOUR = 4  # samples of a pixel, with alpha
EXACT_CODECS = {1, 5, 8, 32773, 32946, 34925, 50000}  # none, LZW, Deflate, PackBits, Deflate (old), LZMA, ZSTD
FAX_CODECS = {2, 3, 4}  # of 1 bit
PICTURE_CODECS = {*EXACT_CODECS, *FAX_CODECS, JPEG, 33003, 33005, 34712, 50001, 50002}  # JPEG 2000, WebP, JPEG XL
# Bytes that one byte can stand for; more than these codecs can promise is a bomb or a damaged size.
MOST_PER_BYTE = {32773: 64, 8: 1032, 32946: 1032, 5: 2731}


@dataclass(frozen=True)
class Outline:
    """One page: its place among the pages of the file, its sizes, and how its pixels are coded.

    `block` is (rows, columns) of a strip or tile, `segments` the (offset, length) of each in bytes; `dtype` is None for samples
    that no numpy type holds.
    """

    index: int
    height: int
    width: int
    samples: int
    depth: int
    planar: bool
    dtype: np.dtype[Any] | None
    bits: int
    compression: int
    predictor: int
    reversed_bits: bool
    photometric: int
    block: tuple[int, int]
    segments: tuple[tuple[int, int], ...]
    unpaired: bool
    names: tuple[str, str]  # of the compression and of the colours, for people

    @property
    def shape(self) -> tuple[int, int, int]:
        """The pixels as they are decoded: (H, W, samples)."""
        return self.height, self.width, self.samples

    @property
    def nbytes(self) -> int:
        """The bytes of the decoded pixels."""
        return self.height * self.width * self.samples * (self.dtype.itemsize if self.dtype else 1)

    @property
    def working_bytes(self) -> int:
        """What decoding needs at a time: the pixels, one segment as it is stored, and that segment decoded."""
        block = self.block[0] * self.block[1] * (1 if self.planar else self.samples) * (self.dtype.itemsize if self.dtype else 1)
        return self.nbytes + 3 * block + max((length for _, length in self.segments), default=0)

    @property
    def coded(self) -> bool:
        """Whether the pixels need a codec; else they are bytes of the file as they are."""
        whole = self.dtype is not None and self.bits == 8 * self.dtype.itemsize
        return self.compression != 1 or self.predictor != 1 or self.reversed_bits or not whole


def check_outlines(outlines: Sequence[Outline], kind: Kind, label: str, *, length: int, largest: int | None = None) -> None:
    """Refuse pages that cannot be of this kind in a file of `length` bytes, with TooLarge, BadValues, BadShape or Truncated.

    `largest` bounds their pixels, all together.
    """
    for outline in outlines:
        _check_size(outline, label)
    total = sum(outline.height * outline.width * outline.samples for outline in outlines)
    if total > MOST_SAMPLES[kind]:
        raise TooLarge(
            f"{label} has {total:,} samples, and {kind.plural} of at most {MOST_SAMPLES[kind]:,} are read; make it smaller"
        )
    pixels = sum(outline.height * outline.width for outline in outlines)
    if largest is not None and max(pixels, total // MOST_OF_COLOUR) > largest:
        raise TooLarge(
            f"{label} has a canvas of {pixels:,} pixels, and at most {largest:,} are read here for {NOUNS[kind]}; make it smaller"
        )
    for outline in outlines:
        _check_block(outline, kind, label)
        _check_coding(outline, kind, label)
        _check_segments(outline, label, length=length)


def _check_size(outline: Outline, label: str) -> None:
    sides = (outline.width, outline.height)
    if min(sides) < 1 or max(sides) > LARGEST_SIDE or not 1 <= outline.samples <= MOST_PAGES or outline.depth != 1:
        raise TooLarge(
            f"{label} is {sides[0]}x{sides[1]} with {outline.samples} channels, and sides of 1 to {LARGEST_SIDE} are read; "
            f"save it again from the original"
        )


def _check_block(outline: Outline, kind: Kind, label: str) -> None:
    rows, columns = outline.block
    if min(outline.block) < 1 or rows * columns * outline.samples > MOST_SAMPLES[kind]:
        raise TooLarge(f"{label} has tiles of {columns}x{rows}, which cannot be read; save it in strips")


def _check_coding(outline: Outline, kind: Kind, label: str) -> None:
    if kind is Kind.PICTURE:
        _check_coding_of_picture(outline, label)
        return
    if outline.compression not in EXACT_CODECS:
        raise BadValues(
            f"{label} is compressed with {outline.names[0]}, and {kind.plural} are read uncompressed, "
            f"or with Deflate, LZW, ZSTD, LZMA or PackBits; save the original again without lossy compression"
        )
    if outline.photometric not in CANVAS_COLOURS:
        raise BadShape(
            f"{label} has colours of type {outline.names[1]}, and {kind.plural} are gray (black is 0) "
            f"or RGB; convert it, or go back to the original"
        )
    if outline.dtype is None or outline.dtype.kind not in "uif" or outline.bits != _bits(outline):
        raise BadValues(
            f"{label} has {outline.bits} bits per channel, and 8, 16 or 32 of real numbers are read; save it as 32-bit float"
        )


def _check_coding_of_picture(outline: Outline, label: str) -> None:
    if outline.compression not in PICTURE_CODECS:
        raise BadValues(
            f"{label} is compressed with {outline.names[0]}, which is not read; open the picture and save it uncompressed, "
            f"with LZW or with Deflate"
        )
    if outline.photometric in RAW_OF_CAMERAS:
        raise BadShape(f"{label} holds raw data of a camera, which are no picture yet; develop it and export it as TIFF, 16 bit")
    # Codecs of JPEG make RGB of its YCbCr; inks in JPEG lie as each program likes.
    jpeg = outline.compression == JPEG
    read = outline.photometric == YCBCR or outline.photometric in CANVAS_COLOURS if jpeg else outline.photometric in PICTURE_COLOURS
    if not read:
        raise BadShape(
            f"{label} has colours of type {outline.names[1]}{' in JPEG' if jpeg else ''}, which are not read; convert it to RGB"
        )
    if outline.dtype is not None and outline.dtype.kind == "i":
        raise BadValues(
            f"{label} has signed numbers of {outline.bits} bits, of which nothing says what black and white are; "
            f"save it with 8 or 16 bits without a sign"
        )
    if outline.dtype is None or outline.dtype.kind not in "ufb":
        raise BadValues(
            f"{label} has {outline.bits} bits per channel, and 1 to 32 are read, alike in all channels, of real numbers; "
            f"save it with 8 or 16 bits"
        )


def _check_segments(outline: Outline, label: str, *, length: int) -> None:
    """All segments that the sizes ask for are there, lie within the file, and can hold the pixels."""
    ends = [offset + count for offset, count in outline.segments]
    rows, columns = outline.block
    wanted = ceil(outline.height / rows) * ceil(outline.width / columns) * (outline.samples if outline.planar else 1)
    empty = any(count < 1 or offset < 1 for offset, count in outline.segments)
    short = len(outline.segments) < wanted or outline.unpaired
    stored = sum(count for _, count in outline.segments)
    if (
        short
        or empty
        or max(ends) > length
        or (outline.compression == 1 and stored < outline.nbytes * outline.bits // _bits(outline))
    ):
        raise Truncated(
            f"{label} is cut off: its pixels should end at byte {max(ends, default=outline.nbytes)} and the file has {length}; "
            f"wait until it is copied completely, or copy it again"
        )
    if stored > length:
        raise Truncated(
            f"{label} is damaged: its pixels take {stored} bytes of {length}, so some overlap; save it again from the original"
        )
    most = MOST_PER_BYTE.get(outline.compression)
    if most and outline.nbytes > most * (stored + 64):
        raise Truncated(
            f"{label} is damaged: its {stored} compressed bytes cannot hold {outline.nbytes} bytes of pixels; "
            f"save it again from the original"
        )


def _bits(outline: Outline) -> int:
    assert outline.dtype is not None  # refused before
    return 8 * outline.dtype.itemsize
