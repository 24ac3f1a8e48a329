"""Linear light <-> sRGB, beyond black and white too, and primaries other than those of sRGB.

IEC 61966-2-1, in float64, rounded once to float32. Below black the curve is that above, mirrored; above white it goes on.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tiffsd.canvas import Floats, in_float64

Wide = NDArray[np.float64]

KNEE_OF_SRGB, KNEE_OF_LIGHT = 0.04045, 0.04045 / 12.92
# How an eye takes one white for another: the cones' response of Bradford (CIE 16x:2004, method of Lam).
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
# Of programs that round them, or write them as half floats.
ALIKE = 1e-3


def to_light(srgb: Floats) -> Floats:
    """Values of sRGB of any shape -> linear light, 0 black, 1 white, not clamped."""
    return in_float64(srgb, _light)


def to_srgb(light: Floats) -> Floats:
    """The inverse of `to_light`."""
    return in_float64(light, _srgb)


def between_primaries(theirs: Sequence[float], ours: Sequence[float]) -> NDArray[np.float64] | None:
    """The matrix (3, 3) that brings linear red, green and blue of their primaries and white to ours; None where they are alike.

    Each is x and y of red, green, blue and white. Raises ValueError where they span no colours.
    """
    if max(abs(x - y) for x, y in zip(theirs, ours, strict=True)) < ALIKE:
        return None
    if not np.isfinite(theirs).all() or min(abs(y) for y in theirs[1::2]) < ALIKE:
        raise ValueError("they span no colours")
    whites = [BRADFORD @ _xyz(*space[6:]) for space in (theirs, ours)]
    adapted = np.linalg.inv(BRADFORD) @ np.diag(whites[1] / whites[0]) @ BRADFORD
    matrix: NDArray[np.float64] = np.linalg.inv(_to_xyz(ours)) @ adapted @ _to_xyz(theirs)
    if not np.isfinite(matrix).all():
        raise ValueError("they span no colours")
    return matrix


def _light(v: Wide) -> Wide:
    size = np.abs(v)
    light: Wide = np.copysign(np.where(size <= KNEE_OF_SRGB, size / 12.92, ((size + 0.055) / 1.055) ** 2.4), v)
    return light


def _srgb(v: Wide) -> Wide:
    size = np.abs(v)
    with np.errstate(invalid="ignore"):  # what is no number is refused later, with a sentence
        srgb: Wide = np.copysign(np.where(size <= KNEE_OF_LIGHT, size * 12.92, 1.055 * size ** (1 / 2.4) - 0.055), v)
    return srgb


def _xyz(x: float, y: float) -> NDArray[np.float64]:
    return np.array([x / y, 1.0, (1 - x - y) / y])


def _to_xyz(space: Sequence[float]) -> NDArray[np.float64]:
    """Linear red, green and blue -> XYZ, white being (X, 1, Z)."""
    columns = np.stack([_xyz(x, y) for x, y in zip(space[:6:2], space[1:6:2], strict=True)], axis=1)
    try:
        amounts = np.linalg.solve(columns, _xyz(*space[6:]))
    except np.linalg.LinAlgError as error:
        raise ValueError("they span no colours") from error
    scaled: NDArray[np.float64] = columns * amounts
    return scaled
