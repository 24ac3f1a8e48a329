"""A mosaic that an editor enlarged by a whole factor, made small again: by its blocks where they are even, else by exact values.

Section 6 of `tiffsd/spec.py`. Editors interpolate in many ways, but each is one linear function of the pixels around, the same at
every place. So it is found by least squares from the exact pixels, and where it gives what was found nobody has painted.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.canvas import Floats, Pixels
from tiffsd.spec import ROUNDING

Wide = NDArray[np.float64]
Mask = NDArray[np.bool_]

LARGEST_FACTOR = 8  # of interpolation
MOST_BLOCKS = 2**16
REACH = 2  # pixels around, in each direction, that an interpolation looks at
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
    page = expected[0].astype(np.float64)
    if factor > LARGEST_FACTOR or page.size > MOST_BLOCKS or 4 * page.size <= (2 * REACH + 1) ** 2 * 8:
        return None
    around = _around(page)
    untouched = np.ones(page.size, np.bool_)
    for row in range(factor):
        for column in range(factor):
            untouched &= _explained(around, planes[0, row::factor, column::factor].ravel().astype(np.float64))
            if 4 * np.count_nonzero(untouched) < 3 * page.size:
                return None
    means = _blocks(planes, factor).mean(axis=(1, 3), dtype=np.float64)
    small: Wide = np.where(untouched.reshape(page.shape), page, means)[np.newaxis]
    return small


def _blocks(planes: Pixels, factor: int) -> Pixels:
    return planes.reshape(planes.shape[1] // factor, factor, planes.shape[2] // factor, factor)


def _around(page: Wide) -> Wide:
    """The pixels around each one, (height width, 25); beyond the edge are those of the edge."""
    height, width = page.shape
    padded = np.pad(page, REACH, mode="edge")
    side = range(2 * REACH + 1)
    return np.stack([padded[i : i + height, j : j + width].ravel() for i in side for j in side], axis=1)


def _explained(around: Wide, found: Wide) -> Mask:
    """Where one linear function of the pixels around gives what was found: that of most places, found by leaving out the others."""
    step = -(-len(found) // ROWS_OF_A_FIT)
    rows, values = around[::step], found[::step]
    kept = np.ones(len(values), np.bool_)
    weights: NDArray[Any] = np.zeros(around.shape[1])
    for _ in range(ROUNDS_OF_A_FIT):
        weights = np.linalg.lstsq(rows[kept], values[kept], rcond=None)[0]
        error = np.abs(rows @ weights - values)
        # At least half is kept: that a person painted more is no accident of saving.
        closest = error <= max(NEAR, float(np.partition(error, len(error) // 2)[len(error) // 2]))
        if np.array_equal(closest, kept):
            break
        kept = closest
    explained: Mask = np.abs(around @ weights - found) <= NEAR
    return explained
