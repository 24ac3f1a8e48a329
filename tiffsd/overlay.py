"""The picture of before that goes along with latents under a mask: its tensors, and what of it still counts.

Sections 2 and 6 of `tiffsd/spec.py`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

OVERLAY, OVERLAY_MASK, OVERLAY_LATENTS = "overlay", "overlay_mask", "overlay_latents"
OVERLAYS = (OVERLAY, OVERLAY_MASK, OVERLAY_LATENTS)
ALL_NEW = 255
PAINTED = "where the latents were painted outside of the mask, the finished picture shows it"


def levels_of(mask: NDArray[np.floating]) -> NDArray[np.uint8]:
    """A mask (H, W), 0..1, as `overlay_mask`: black is 0 and white 255."""
    levels: NDArray[np.uint8] = np.rint(np.clip(mask, 0, 1) * ALL_NEW).astype(np.uint8)
    return levels


def enlarged(values: NDArray[Any], unit: int) -> NDArray[Any]:
    """Values (h, w) of latents as pixels (H, W), each `unit` times as wide and as high."""
    return values.repeat(unit, axis=0).repeat(unit, axis=1)


def opened_where(tensors: Mapping[str, NDArray[Any]], changed: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """The tensors with `overlay_mask` 255 where latents have changed (h, w), because who painted there means it to be seen.

    It is the same array where nothing changes, or where the two do not fit each other.
    """
    mask = tensors.get(OVERLAY_MASK)
    if mask is None or mask.dtype != np.uint8 or 0 in changed.shape or not changed.any():
        return dict(tensors)
    unit = mask.shape[0] // changed.shape[0]
    if mask.shape != (unit * changed.shape[0], unit * changed.shape[1]):
        return dict(tensors)
    opened = np.maximum(mask, enlarged(changed, unit) * np.uint8(ALL_NEW))
    return dict(tensors) if np.array_equal(opened, mask) else {**tensors, OVERLAY_MASK: opened}
