"""Decoded pixels brought to the size that is asked for, trimmed to the grid of the latents, or made smaller."""

from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

Picture = NDArray[np.float32]
Size = tuple[int, int]
AskedSize = tuple[int | None, int | None]

# Models that take latents in pairs want sides of twice the grid.
GRIDS_OF_A_REDUCED_PICTURE = 2


@dataclass(frozen=True)
class Fit:
    """How a picture is brought to the latents: to the size (width, height) `wanted`, scaled and cropped, or else trimmed."""

    had: Size
    wanted: Size
    scales: bool
    why: str = ""

    @property
    def notes(self) -> tuple[str, ...]:
        """The sentence on what was done."""
        had, wanted = ("{}x{}".format(*size) for size in (self.had, self.wanted))
        if had == wanted:
            return ()
        done = "scaled and cropped" if self.scales else "trimmed"
        return (f"{done} from {had} to {wanted}{self.why}",)


def fit_for(asked: AskedSize, had: Size, *, grid: int, limit: int, area: int) -> Fit:
    """How to fit a picture whose latents have a value for `grid` pixels.

    It gets the size that is asked for, in proportion where one side is; else it keeps its own, trimmed to the grid; else, where it
    has more than `limit` pixels, about `area` of them.
    """
    width, height = had
    if asked != (None, None):
        across, down = asked[0] or _on_grid(width * (asked[1] or 0) / height, grid), asked[1]
        return Fit(had, (across, down or _on_grid(height * (asked[0] or 0) / width, grid)), True)
    if width * height <= limit:
        return Fit(had, (_on_grid(width, grid), _on_grid(height, grid)), False, f", multiples of {grid}")
    wanted = _of_area(had, min(area, limit), GRIDS_OF_A_REDUCED_PICTURE * grid, limit)
    why = (
        f", the size of the model's pictures, as it has more than {limit} pixels (limits.pixels in config.yaml); "
        "`width` and `height` beside it say another"
    )
    return Fit(had, wanted, True, why)


def fitted(picture: Picture, fit: Fit) -> Picture:
    """A picture (H, W, C) brought to the wanted size; trimmed only where it has the size that the fit is for."""
    height, width, _ = picture.shape
    if fit.wanted == (width, height):
        return picture
    if fit.scales:
        return _scaled(picture, fit.wanted)
    left, top = (width - fit.wanted[0]) // 2, (height - fit.wanted[1]) // 2
    return np.ascontiguousarray(picture[top : top + fit.wanted[1], left : left + fit.wanted[0]])


def fitted_beside(mask: Picture, fit: Fit) -> Picture:
    """A mask (H, W) of any size brought to where its picture was: stretched over it, and cropped as it was."""
    height, width = mask.shape
    if (width, height) == fit.wanted:
        return mask
    if (width, height) == fit.had and not fit.scales:
        return fitted(mask[..., None], fit)[..., 0]
    left, top, across, down = _kept(fit)
    x, y = width / fit.had[0], height / fit.had[1]
    box = (left * x, top * y, min((left + across) * x, width), min((top + down) * y, height))
    image = Image.fromarray(np.ascontiguousarray(mask, np.float32))
    # Not by a filter that swings over: what is black stays so, and comes back to the bit.
    return np.clip(np.asarray(image.resize(fit.wanted, Image.Resampling.BILINEAR, box=box), np.float32), 0, 1)


def _kept(fit: Fit) -> tuple[float, float, float, float]:
    """The part of the picture that is left, in its own pixels: left, top, width, height."""
    (width, height), (across, down) = fit.had, fit.wanted
    if not fit.scales:
        return (width - across) // 2, (height - down) // 2, across, down
    scale = min(width / across, height / down)
    return (width - across * scale) / 2, (height - down * scale) / 2, across * scale, down * scale


def _of_area(had: Size, area: int, grid: int, limit: int) -> Size:
    """About so many pixels in the proportions of a picture, on the grid, and never more than the limit."""
    scale = sqrt(area / (had[0] * had[1]))
    across, down = (max(round(side * scale / grid), 1) * grid for side in had)
    if across * down <= limit:
        return across, down
    return _on_grid(had[0] * scale, grid), _on_grid(had[1] * scale, grid)


def _on_grid(side: float, grid: int) -> int:
    return max(int(side) // grid, 1) * grid


def _scaled(picture: Picture, size: Size) -> Picture:
    channels = [Image.fromarray(np.ascontiguousarray(picture[..., index])) for index in range(picture.shape[2])]
    scaled = [np.asarray(ImageOps.fit(channel, size, Image.Resampling.LANCZOS), dtype=np.float32) for channel in channels]
    return np.stack(scaled, axis=2)
