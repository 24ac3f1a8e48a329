"""A mosaic that an editor enlarged by a whole factor, made small again: by its blocks where they are even, else by exact values.

Section 6 of `tiffsd/spec.py`. Editors interpolate in many ways, but each is one linear function of the pixels around, the same at
every place but the edge, where there are four usual ways. So it is found by least squares from the exact pixels, and where it gives
what was found nobody has painted.
"""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.canvas import Floats, Pixels
from tiffsd.spec import ROUNDING

Wide = NDArray[np.float64]
Mask = NDArray[np.bool_]

LARGEST_FACTOR = 8  # of interpolation
MOST_BLOCKS = 2**16
REACHES = (2, 3)  # pixels around, in each direction, that an interpolation looks at; the wider one is Lanczos
# Beyond the edge are the pixels of the edge, or those within mirrored, or none.
EDGES = ("edge", "symmetric", "reflect", "constant")
ROWS_OF_A_FIT, ROUNDS_OF_A_FIT = 4096, 30
NEAR = 4 * ROUNDING  # what editors round between two sizes


def factor_of(found: tuple[int, ...], wanted: tuple[int, int]) -> int | None:
    """By how much planes (1, H, W) are larger than a page (height, width), if by a whole number."""
    factor, rest = divmod(found[1], wanted[0])
    return factor if found[0] == 1 and factor > 1 and not rest and found[2] == factor * wanted[1] else None


def is_even(planes: Pixels, factor: int) -> bool:
    """Whether all pixels of each block are the same."""
    blocks = _blocks(planes, factor)
    return bool((blocks == blocks[:, :1, :, :1]).all())


def made_small(planes: Pixels, factor: int, expected: Floats) -> Wide | None:
    """Interpolated planes as they were before, painted places by the mean of their block; None where nothing proves that they were.

    `expected` (1, height, width) are the exact pixels.
    """
    page, found = expected[0].astype(np.float64), planes[0]
    if factor > LARGEST_FACTOR or page.size > MOST_BLOCKS:
        return None
    untouched = next((mask for reach in REACHES if (mask := _untouched(found, factor, page, reach)) is not None), None)
    if untouched is None:
        return None
    means = _blocks(planes, factor).mean(axis=(1, 3), dtype=np.float64)
    small: Wide = np.where(untouched, page, means)[np.newaxis]
    return small


def _untouched(found: Pixels, factor: int, page: Wide, reach: int) -> Mask | None:
    """The blocks that one linear function explains, (height, width); None where it explains less than three quarters of them."""
    height, width = page.shape
    within = (slice(reach, height - reach), slice(reach, width - reach))
    if page[within].size <= 2 * (2 * reach + 1) ** 2:
        return None
    around = _around(page, reach)[within].reshape(-1, (2 * reach + 1) ** 2)
    untouched = np.ones((len(EDGES), height, width), np.bool_)
    kept = np.ones(page[within].size, np.bool_)
    for row in range(factor):
        for column in range(factor):
            seen = found[row::factor, column::factor].astype(np.float64)
            weights, kept = _weights(around, seen[within].ravel(), kept)
            untouched &= [np.abs(_applied(weights, page, reach, edge) - seen) <= NEAR for edge in EDGES]
            if 4 * np.count_nonzero(untouched, axis=(1, 2)).max() < 3 * page.size:
                return None
    best: Mask = untouched[np.count_nonzero(untouched, axis=(1, 2)).argmax()]
    return best


def _blocks(planes: Pixels, factor: int) -> Pixels:
    return planes.reshape(planes.shape[1] // factor, factor, planes.shape[2] // factor, factor)


def _around(page: Wide, reach: int) -> Wide:
    """The pixels around each one, (height, width, n); beyond the edge are those of the edge."""
    side = 2 * reach + 1
    windows: Wide = np.lib.stride_tricks.sliding_window_view(np.pad(page, reach, mode="edge"), (side, side))
    return windows.reshape(*page.shape, side * side)


def _applied(weights: Wide, page: Wide, reach: int, edge: Any) -> Wide:
    """The sum of the pixels around each one, weighted; where beyond the edge are none, the weights within make up for them."""
    made = _weighted(weights, np.pad(page, reach, mode=edge))
    if edge == "constant":
        with np.errstate(all="ignore"):  # what is left of the weights may be nothing
            made /= _weighted(weights, np.pad(np.ones_like(page), reach)) / weights.sum()
    return made


def _weighted(weights: Wide, padded: Wide) -> Wide:
    side = math.isqrt(len(weights))
    height, width = (length - side + 1 for length in padded.shape)
    made = np.zeros((height, width))
    for place, weight in enumerate(weights):
        top, left = divmod(place, side)
        made += weight * padded[top : top + height, left : left + width]
    return made


def _weights(around: Wide, found: Wide, kept: Mask) -> tuple[Wide, Mask]:
    """The linear function of the pixels around that gives what was found at most places, and those: found by leaving out others.

    `kept` is where to begin: what was painted at one place of the blocks was at all.
    """
    step = -(-len(found) // ROWS_OF_A_FIT)
    rows, values, kept = around[::step], found[::step], kept[: len(found[::step])]
    weights: NDArray[Any] = np.zeros(around.shape[1])
    for _ in range(ROUNDS_OF_A_FIT):
        weights = np.linalg.lstsq(rows[kept], values[kept], rcond=None)[0]
        error = np.abs(rows @ weights - values)
        # At least half is kept: that a person painted more is no accident of saving.
        closest = error <= max(NEAR, float(np.partition(error, len(error) // 2)[len(error) // 2]))
        if np.array_equal(closest, kept):
            break
        kept = closest
    return weights, kept
