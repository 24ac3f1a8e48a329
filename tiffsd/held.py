"""Paint that the loop holds of half-done latents: its tensors, and what of it still counts once somebody has painted by hand there.

Sections 2 and 6 of `tiffsd/spec.py`.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

HELD_MASK, HELD_LATENTS, HELD_NOISE = "held_mask", "held_latents", "held_noise"
HELD = (HELD_MASK, HELD_LATENTS, HELD_NOISE)
RELEASED = "where the latents were painted by hand, the loop holds the paint of before no longer"


def released_where(tensors: Mapping[str, NDArray[Any]], changed: NDArray[np.bool_]) -> dict[str, NDArray[Any]]:
    """The tensors with `held_mask` 0 where latents have changed (h, w): what was painted by hand there counts, and is not held.

    It is the same array where nothing changes, or where the two do not fit each other.
    """
    mask = tensors.get(HELD_MASK)
    if mask is None or mask.shape != changed.shape or not mask[changed].any():
        return dict(tensors)
    return {**tensors, HELD_MASK: np.where(changed, mask.dtype.type(0), mask)}
