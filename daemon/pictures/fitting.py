"""Decoded pixels brought to the size that is asked for, or trimmed to the grid of the latents, `grid` pixels apart."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Picture = NDArray[np.float32]
Size = tuple[int, int]
AskedSize = tuple[int | None, int | None]


def wanted_size(asked: AskedSize, width: int, height: int, *, grid: int) -> Size:
    """The size (width, height) to bring a picture to: as asked, the other side in proportion where one is asked for, else trimmed
    to the grid."""
    if asked[0] is None and asked[1] is None:
        return _on_grid(width, grid), _on_grid(height, grid)
    across, down = asked[0] or _on_grid(width * (asked[1] or 0) / height, grid), asked[1]
    return across, down or _on_grid(height * (asked[0] or 0) / width, grid)


def fitted(picture: Picture, wanted: Size, *, scales: bool, grid: int) -> tuple[Picture, tuple[str, ...]]:
    """A picture (H, W, C) scaled and cropped to the wanted size, or trimmed to it, and the sentence on what was done."""
    height, width, _ = picture.shape
    if wanted == (width, height):
        return picture, ()
    if scales:
        return _scaled(picture, wanted), (f"scaled and cropped from {width}x{height} to {wanted[0]}x{wanted[1]}",)
    left, top = (width - wanted[0]) // 2, (height - wanted[1]) // 2
    trimmed = np.ascontiguousarray(picture[top : top + wanted[1], left : left + wanted[0]])
    return trimmed, (f"trimmed from {width}x{height} to {wanted[0]}x{wanted[1]}, multiples of {grid}",)


def _on_grid(side: float, grid: int) -> int:
    return max(int(side) // grid, 1) * grid


def _scaled(picture: Picture, size: Size) -> Picture:
    channels = [Image.fromarray(np.ascontiguousarray(picture[..., index])) for index in range(picture.shape[2])]
    scaled = [np.asarray(ImageOps.fit(channel, size, Image.Resampling.LANCZOS), dtype=np.float32) for channel in channels]
    return np.stack(scaled, axis=2)
