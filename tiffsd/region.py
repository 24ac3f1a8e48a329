"""Places on a picture: WIDTHxHEIGHT+LEFT+TOP, always in the pixels of the picture, also where latents are meant.

One value of latents stands for 8x8 pixels, so all four numbers are multiples of 8 there.
"""

import re
from dataclasses import dataclass

from tiffsd.header import Header
from tiffsd.spec import NOUNS, BadShape, Kind

PIXELS_PER_LATENT = 8

_REGION = re.compile(r"(?P<width>\d{1,7})x(?P<height>\d{1,7})(?:\+(?P<left>\d{1,7})\+(?P<top>\d{1,7}))?")
_CORNER = re.compile(r"\+(?P<left>\d{1,7})\+(?P<top>\d{1,7})")


@dataclass(frozen=True)
class Region:
    """A rectangle of the picture, in its pixels; `left` and `top` are counted from the upper left corner, from 0.

    Whether it fits an artifact is checked where it is used: within it, and for latents in multiples of 8.
    """

    width: int
    height: int
    left: int = 0
    top: int = 0

    def __str__(self) -> str:
        return f"{self.width}x{self.height}+{self.left}+{self.top}"


def parse_region(text: str) -> Region:
    """ "64x48+16+0" (or "64x48", from the upper left corner) -> Region; BadShape for other text."""
    found = _REGION.fullmatch(text)
    if not found:
        raise BadShape(f"{text!r} is no region; write WIDTHxHEIGHT+LEFT+TOP in pixels of the picture, such as 64x48+16+0")
    return Region(**{key: int(value) for key, value in found.groupdict(default="0").items()})


def parse_corner(text: str) -> tuple[int, int]:
    """ "+16+0" -> (left, top); BadShape for other text."""
    found = _CORNER.fullmatch(text)
    if not found:
        raise BadShape(f"{text!r} is no place; write +LEFT+TOP in pixels of the picture, such as +16+0")
    return int(found["left"]), int(found["top"])


def extent(header: Header) -> Region:
    """The whole of latents or of a picture. Raises BadShape for an embedding, which has no places."""
    if header.kind is Kind.EMBEDDING:
        raise BadShape(f"artifact {header.id} is {NOUNS[header.kind]}, which shows no picture, so it has no regions; use latents")
    height, width = header.size[1:] if header.kind is Kind.LATENTS else header.size[:2]
    unit = pixels_per_value(header)
    return Region(width * unit, height * unit)


def window(region: Region, header: Header) -> tuple[slice, ...]:
    """The part of the canvas tensor that a region covers, as an index.

    Raises BadShape where the region leaves the picture, is empty, or is off the grid of the latents.
    """
    whole, unit = extent(header), pixels_per_value(header)
    begins, beyond = (
        region.left >= 0 <= region.top,
        region.left + region.width > whole.width or region.top + region.height > whole.height,
    )
    if not begins or beyond or min(region.width, region.height) < 1:
        raise BadShape(
            f"the region {region} does not lie within artifact {header.id}, which is {whole.width}x{whole.height} pixels; "
            f"give one that does"
        )
    numbers = (region.left, region.top, region.width, region.height)
    if any(number % unit for number in numbers):
        nearest = Region(*(max(n // unit, least) * unit for n, least in ((region.width, 1), (region.height, 1))))
        nearest = Region(nearest.width, nearest.height, region.left // unit * unit, region.top // unit * unit)
        raise BadShape(f"the region {region} is off the grid of latents, which is {unit} pixels; use {nearest}")
    left, top, width, height = (number // unit for number in numbers)
    rows, columns = slice(top, top + height), slice(left, left + width)
    return (slice(None), rows, columns) if header.kind is Kind.LATENTS else (rows, columns)


def pixels_per_value(header: Header) -> int:
    """How many pixels of the picture one value of the canvas stands for, across and down: 8 for latents, else 1."""
    return PIXELS_PER_LATENT if header.kind is Kind.LATENTS else 1
