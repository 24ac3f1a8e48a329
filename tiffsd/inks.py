"""The samples of a picture as TIFF means them -> numbers for gray, red, green and blue: bits, palettes, inks, Lab.

TIFF 6.0, sections 3 to 6, 16 and 23. BitsPerSample says what white is, and not the container that a library puts samples into.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.profile import SRGB_PRIMARIES
from tiffsd.spec import BadShape

Floats = NDArray[np.float32]

MINISWHITE, GRAY, RGB, PALETTE, SEPARATED, YCBCR, CIELAB, ICCLAB = 0, 1, 2, 3, 5, 6, 8, 9
INKS = 4
LARGEST_OF_FLOAT32 = 2**24
ROWS_AT_A_TIME = 256
# Where the cube root of Lab gives way to a line (CIE 15).
EPSILON, KAPPA = 216 / 24389, 24389 / 27


class Space(StrEnum):
    """What the channels of a picture are."""

    GRAY = "gray"
    RGB = "RGB"
    CMYK = "CMYK"


# What makes sRGB of channels (H, W, n) of a space, by the profile of their file; and the sentences on it.
Colour = Callable[[Floats, Space, bytes], tuple[Floats, list[str]]]


def to_unit(pixels: NDArray[Any], bits: int | None = None) -> Floats:
    """Samples as float32, integers divided by the largest that so many bits hold (None: all of their type)."""
    if pixels.dtype.kind == "f":
        # A float64 too large becomes infinity, and what is no number stays so: both are refused later with a sentence.
        with np.errstate(over="ignore", invalid="ignore"):
            return pixels.astype(np.float32, copy=False)
    if pixels.dtype.kind == "b":
        return pixels.astype(np.float32)
    full = np.iinfo(pixels.dtype).max if bits is None else 2**bits - 1
    precision = np.float32 if full < LARGEST_OF_FLOAT32 else np.float64
    unit: Floats = np.divide(pixels, full, dtype=precision, casting="unsafe").astype(np.float32, copy=False)
    return unit


def colours_of(
    samples: NDArray[Any], photometric: int, *, bits: int, palette: NDArray[np.uint16] | None, name: str
) -> tuple[Floats, Space | None]:
    """The colours (H, W, 1, 3 or 4) of samples without their alpha, and their space; None for sRGB that no profile is about.

    Raises BadShape where there is no palette, or where Lab has bits that nobody has defined.
    """
    if photometric == PALETTE:
        return _from_palette(samples[..., 0], palette, name=name), Space.RGB
    if photometric in (CIELAB, ICCLAB):
        return _from_lab(samples, photometric, bits=bits, name=name), None
    if photometric == SEPARATED:
        return to_unit(samples, bits), Space.CMYK
    unit = to_unit(_white_made_black(samples, bits) if photometric == MINISWHITE else samples, bits)
    return unit, Space.GRAY if unit.shape[2] == 1 else Space.RGB


def plain_rgb(colours: Floats, space: Space | None) -> Floats:
    """Red, green and blue (H, W, 3) of colours without a profile."""
    if space is Space.GRAY:
        return np.repeat(colours, 3, axis=2)
    if space is Space.CMYK:
        return (1 - colours[..., :3]) * (1 - colours[..., 3:4])
    return colours


def mixed_inks(samples: NDArray[Any], bits: int) -> Floats:
    """Red, green and blue (H, W, 3) of inks (H, W, 4) without a profile, of each what cyan, magenta or yellow and black leave."""
    full = 1 if samples.dtype.kind == "f" else 2**bits - 1
    made = np.empty((*samples.shape[:2], 3), np.float32)
    for start in range(0, len(samples), ROWS_AT_A_TIME):
        paper = 1 - samples[start : start + ROWS_AT_A_TIME].astype(np.float64) / full
        made[start : start + ROWS_AT_A_TIME] = paper[..., :3] * paper[..., 3:]
    return made


def on_white(colours: Floats, alpha: Floats | None, *, white: int = 1) -> Floats:
    """Colours (H, W, n) laid by their alpha (H, W) on paper, whose white is 1, or 0 of inks."""
    if alpha is None:
        return colours
    laid = np.empty_like(colours)
    for start in range(0, len(colours), ROWS_AT_A_TIME):
        rows = slice(start, start + ROWS_AT_A_TIME)
        shown = alpha[rows, :, np.newaxis].astype(np.float64)
        laid[rows] = shown * colours[rows] + white * (1 - shown)
    return laid


def count_of_colours(photometric: int, samples: int) -> int:
    """How many of the samples of a pixel are colour; what follows is alpha. Where nothing says so, two are gray and alpha."""
    if photometric == SEPARATED:
        return INKS
    if photometric in (CIELAB, ICCLAB):
        return 3
    if photometric == PALETTE:
        return 1
    return 3 if samples > 2 else 1


def _white_made_black(samples: NDArray[Any], bits: int) -> NDArray[Any]:
    """Samples counted from the other end, so that what is divided after is rounded once."""
    if samples.dtype.kind == "b":
        return ~samples
    with np.errstate(invalid="ignore"):  # what is no number stays so, and is refused later with a sentence
        inverted: NDArray[Any] = (1 if samples.dtype.kind == "f" else samples.dtype.type(2**bits - 1)) - samples
    return inverted


def _from_palette(indices: NDArray[Any], palette: NDArray[np.uint16] | None, *, name: str) -> Floats:
    if palette is None or indices.dtype.kind not in "ub" or int(indices.max()) >= palette.shape[1]:
        raise BadShape(f"{name} has colours of a palette, and the palette is missing or too short; convert it to RGB")
    # Section 5 has 16 bits; many programs write 8 of them, into the upper half or, against the rules, into the lower.
    full = 255 if palette.max() <= 255 else 65_280 if not (palette & 255).any() else 65_535
    table = (palette.astype(np.float32) / np.float32(full)).T
    return table[indices.astype(np.intp)]


def _from_lab(samples: NDArray[Any], photometric: int, *, bits: int, name: str) -> Floats:
    if samples.dtype.kind != "f" and bits not in (8, 16):
        raise BadShape(f"{name} has Lab colours of {bits} bits, and 8, 16 and floats are read; convert it to RGB")
    made = np.empty(samples.shape, np.float32)
    for start in range(0, len(samples), ROWS_AT_A_TIME):
        made[start : start + ROWS_AT_A_TIME] = _srgb_of_lab(_lab(samples[start : start + ROWS_AT_A_TIME], photometric))
    return made


def _lab(samples: NDArray[Any], photometric: int) -> NDArray[np.float64]:
    """L 0..100, a and b about -128..127."""
    values = samples.astype(np.float64)
    if samples.dtype.kind == "f":
        return values
    step = 256 ** (samples.dtype.itemsize - 1)
    light = 100 / np.iinfo(samples.dtype).max if photometric == CIELAB else 100 / (255 * step)
    signed = values[..., 1:] / step
    # CIELAB has them signed, ICCLAB moved by 128.
    signed = np.where(signed >= 128, signed - 256, signed) if photometric == CIELAB else signed - 128
    return np.concatenate([values[..., :1] * light, signed], axis=2)


def _srgb_of_lab(lab: NDArray[np.float64]) -> Floats:
    y = (lab[..., 0] + 16) / 116
    roots = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=2)
    to_xyz = np.array(list(SRGB_PRIMARIES.values())).T
    # White is what the primaries add up to, so that gray stays gray.
    xyz = np.where(roots**3 > EPSILON, roots**3, (116 * roots - 16) / KAPPA) * to_xyz.sum(axis=1)
    linear = np.clip(xyz @ np.linalg.inv(to_xyz).T, 0, 1)
    srgb: Floats = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)
    return srgb
