"""Photos and masks that people drop -> pixels, fitted to the size that is asked for, or to the grid of the latents."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

import tiffsd
from daemon.errors import InputError
from daemon.pictures.decoding import TextInPicture, decode_mask, decode_photo
from daemon.pictures.fitting import AskedSize, Picture, fitted
from daemon.pictures.sizes import check_size
from daemon.settings.values import PIXELS_PER_LATENT
from tiffsd.spec import SUFFIXES


@dataclass(frozen=True)
class Photo:
    """A picture (H, W, 3) float32 in 0..1, the size (width, height) that it had in its file, and what was done to it since.

    `words` are those that a PNG, JPEG or WebP carries; a TIFF has its recipe in its record.
    """

    pixels: Picture
    had: tuple[int, int]
    notes: tuple[str, ...] = ()
    words: TextInPicture | None = None


def read_photo(file: BinaryIO, name: str, *, size: AskedSize, limit: int, characters: int = 0) -> Photo:
    """A picture fitted to `size` (width, height) or trimmed to the grid, and its words, which `characters` bounds.

    Raises InputError where it is no picture or has more than `limit` pixels, and TiffsdError for a TIFF that cannot be read.
    """
    is_tiff = Path(name).suffix.lower() in SUFFIXES
    if is_tiff:
        header = tiffsd.inspect(file, name=name)
        if header.kind is tiffsd.Kind.PICTURE:
            check_size(header.size[1], header.size[0], name, limit)
    decoded = decode_photo(file, name=name, size=size, limit=limit, characters=None if is_tiff else characters)
    return Photo(decoded.pixels, decoded.had, decoded.notes, decoded.words)


def read_mask(file: BinaryIO, name: str, *, limit: int) -> Picture:
    """A mask as (H, W) float32, 0 black to 1 white. Raises InputError where it is no picture of at most `limit` pixels."""
    return decode_mask(file, name=name, limit=limit)


def fitted_mask(mask: Picture, name: str, *, photo: Photo, scaled: bool) -> Picture:
    """The mask (H, W) of a photo, fitted as the photo was: `scaled`, or else trimmed.

    Raises InputError where it has neither the size that the photo had nor the one that it was brought to.
    """
    height, width, _ = photo.pixels.shape
    if (found := mask.shape[::-1]) == (width, height):
        return mask
    if found != photo.had:
        raise InputError(
            f"{name}: the mask is {found[0]}x{found[1]}, and the picture {photo.had[0]}x{photo.had[1]}; make it of the same size"
        )
    made, _ = fitted(mask[..., None], (width, height), scales=scaled, grid=PIXELS_PER_LATENT)
    return np.clip(made[..., 0], 0, 1)
