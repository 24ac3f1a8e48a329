"""Photos and masks that people drop -> pixels, fitted to the size that is asked for, or to the grid of the latents."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

import tiffsd
from daemon.pictures.decoding import BYTES_PER_TIFF_PIXEL, Beside, TextInPicture, decode_mask, decode_photo
from daemon.pictures.fitting import AskedSize, Picture
from daemon.pictures.sizes import check_decodable, most_decoded
from tiffsd.reading import working_bytes
from tiffsd.spec import SUFFIXES

COLOURLESS = 4 / 255
ROWS_AT_A_TIME = 64


@dataclass(frozen=True)
class Photo:
    """A picture (H, W, 3) float32 in 0..1, the size (width, height) that it had in its file, and what was done to it since.

    `words` are those that a PNG, JPEG or WebP carries; a TIFF or OpenEXR file has its recipe in its record. `mask` (H, W) is 1
    where the picture was transparent, if it was so anywhere; `scaled` says that it was scaled to its size, and not trimmed.
    `canvas` says of which latents or embedding it is the canvas, by what is in it: an editor exported them as a picture.
    """

    pixels: Picture
    had: tuple[int, int]
    notes: tuple[str, ...] = ()
    words: TextInPicture | None = None
    mask: Picture | None = None
    scaled: bool = False
    canvas: str | None = None

    @property
    def is_gray(self) -> bool:
        """Whether it has no colours, but for what lossy coding leaves of them."""
        strips = (self.pixels[row : row + ROWS_AT_A_TIME] for row in range(0, len(self.pixels), ROWS_AT_A_TIME))
        return all(bool((np.ptp(strip, axis=-1) < COLOURLESS).all()) for strip in strips)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height as they are now."""
        return self.pixels.shape[1], self.pixels.shape[0]


def read_photo(
    file: BinaryIO,
    name: str,
    *,
    size: AskedSize,
    limit: int,
    area: int | None = None,
    characters: int = 0,
    alpha: bool = False,
) -> Photo:
    """A picture in sRGB, fitted to `size` (width, height) or trimmed to the grid, and its words, which `characters` bounds.

    Where no size is asked for and it has more than `limit` pixels, it is brought to about `area` (None: to the limit). `alpha` asks
    for the mask that its transparency makes. Raises InputError where it is no picture, stays larger or is too large to be decoded,
    and TiffsdError for a TIFF that cannot be read.
    """
    is_tiff = Path(name).suffix.lower() in (*SUFFIXES, ".exr")
    pixels = _checked_pixels(file, name, most=most_decoded(limit)) if is_tiff else 0
    # The library of OpenEXR decodes all channels, also those of layers that are not asked for.
    pixels += working_bytes(file, name=name) // BYTES_PER_TIFF_PIXEL if is_tiff else 0
    decoded = decode_photo(
        file,
        name=name,
        size=size,
        limit=limit,
        area=area,
        characters=None if is_tiff else characters,
        pixels_of_tiff=pixels,
        alpha=alpha,
    )
    scaled = size != (None, None) or decoded.had[0] * decoded.had[1] > limit
    canvas = decoded.canvas or (decoded.words.canvas if decoded.words else None)
    return Photo(decoded.pixels, decoded.had, decoded.notes, decoded.words, decoded.mask, scaled, canvas)


def _checked_pixels(file: BinaryIO, name: str, *, most: int) -> int:
    """How many pixels a TIFF has by its header. What seems to be no picture may be one of gray floats, or is refused later."""
    header = tiffsd.inspect(file, name=name)
    if header.kind is not tiffsd.Kind.PICTURE:
        return min(max(header.size[0] + header.size[1], header.size[0] * header.size[1]) * header.size[2], most)
    check_decodable(header.size[1], header.size[0], name, most)
    return header.size[0] * header.size[1]


def read_mask(file: BinaryIO, name: str, *, limit: int, beside: Beside | None = None) -> tuple[Picture, tuple[str, ...]]:
    """A mask as (H, W) float32, 0 black to 1 white, brought to where the picture is that it lies `beside`, and what was done.

    Raises InputError where it is no picture, or alone and of more than `limit` pixels.
    """
    mask, had = decode_mask(file, name=name, limit=limit, beside=beside)
    if beside is None or had in (beside.had, beside.wanted, *beside.also):
        return mask, ()
    from_to = f"from {had[0]}x{had[1]} to the picture's {beside.had[0]}x{beside.had[1]}"
    return mask, (f"{name}: the mask was stretched {from_to}",)
