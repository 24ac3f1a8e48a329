"""Photos and masks that people drop -> pixels, fitted to the size that is asked for, or to the grid of the latents."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

import tiffsd
from daemon.errors import InputError
from daemon.pictures.decoding import check_size, decode_mask, decode_photo, read_artifact
from daemon.settings.values import PIXELS_PER_LATENT

TIFF_SUFFIXES = (".tif", ".tiff")
Picture = NDArray[np.float32]


@dataclass(frozen=True)
class Photo:
    """A picture (H, W, 3) float32 in 0..1, the size (width, height) that it had in its file, and what was done to it since."""

    pixels: Picture
    had: tuple[int, int]
    notes: tuple[str, ...] = ()


def read_photo(file: BinaryIO, name: str, *, size: tuple[int | None, int | None], limit: int) -> Photo:
    """A picture fitted to `size` (width, height) or trimmed to the grid.

    Raises InputError where it is no picture or has more than `limit` pixels, and TiffsdError for a TIFF that cannot be read.
    """
    if Path(name).suffix.lower() in TIFF_SUFFIXES:
        header = tiffsd.inspect(file, name=name)
        if header.kind is tiffsd.Kind.PICTURE:
            check_size(header.size[1], header.size[0], name, limit)
        artifact = read_artifact(file, expect=tiffsd.Kind.PICTURE, name=name)
        picture, notes = artifact.tensors["picture"], artifact.notes
    else:
        picture, notes = decode_photo(file, name=name, limit=limit)
    height, width, _ = picture.shape
    if min(width, height) < PIXELS_PER_LATENT:
        raise InputError(f"{name}: {width}x{height} is too small; a picture needs {PIXELS_PER_LATENT} pixels on each side")
    wanted = _wanted(size, width, height)
    check_size(*wanted, name, limit)
    fitted, done = _fitted(picture, wanted, scales=size != (None, None))
    return Photo(fitted, (width, height), notes + done)


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
    fitted, _ = _fitted(mask[..., None], (width, height), scales=scaled)
    return np.clip(fitted[..., 0], 0, 1)


def _wanted(size: tuple[int | None, int | None], width: int, height: int) -> tuple[int, int]:
    """The size to bring a picture to: as asked, the other side in proportion where one is asked for, else trimmed to the grid."""
    if size[0] is None and size[1] is None:
        return _on_grid(width), _on_grid(height)
    return size[0] or _on_grid(width * (size[1] or 0) / height), size[1] or _on_grid(height * (size[0] or 0) / width)


def _on_grid(side: float) -> int:
    return max(int(side) // PIXELS_PER_LATENT, 1) * PIXELS_PER_LATENT


def _fitted(picture: Picture, wanted: tuple[int, int], *, scales: bool) -> tuple[Picture, tuple[str, ...]]:
    height, width, _ = picture.shape
    if wanted == (width, height):
        return picture, ()
    if scales:
        return _scaled(picture, wanted), (f"scaled and cropped from {width}x{height} to {wanted[0]}x{wanted[1]}",)
    left, top = (width - wanted[0]) // 2, (height - wanted[1]) // 2
    trimmed = np.ascontiguousarray(picture[top : top + wanted[1], left : left + wanted[0]])
    return trimmed, (f"trimmed from {width}x{height} to {wanted[0]}x{wanted[1]}, multiples of {PIXELS_PER_LATENT}",)


def _scaled(picture: Picture, size: tuple[int, int]) -> Picture:
    channels = [Image.fromarray(np.ascontiguousarray(picture[..., index])) for index in range(picture.shape[2])]
    fitted = [np.asarray(ImageOps.fit(channel, size, Image.Resampling.LANCZOS), dtype=np.float32) for channel in channels]
    return np.stack(fitted, axis=2)
