"""What editors save -> planes of pixels, or a picture: alpha added, gray made RGB, pages reordered, integers for floats.

Everything here was produced by some editor (section 6 of `tiffsd/spec.py`); reading the bytes of a TIFF is `tiffsd/file.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.canvas import VALUES_AT_A_TIME, Canvas, Floats, in_float64
from tiffsd.curves import Curve
from tiffsd.spec import HALF_ROUNDING, INTEGER_STEP, LARGEST_PIXEL, PAGE_NAME, BadShape, BadValues, Kind

# Float noise of an editor that quantised to 16 bit and wrote floats: float32 at 1.0, in units of the step.
ON_GRID = 0.01
LEVEL_OF_15_BITS = 2.0**-15  # Photoshop computes in 0..32768
FEWEST_LEVELS = 64  # of which all even are no accident
CURVED = "the canvas was saved in another tone curve (gamma) than the linear one; it was undone by the profile in the file"
SELECTION = "a saved selection lies beside the canvas and was left out"


@dataclass(frozen=True)
class Page:
    """One page as it lies in the file: pixels (H, W, samples) of any dtype, and how they are meant."""

    pixels: NDArray[Any]
    premultiplied: bool = False
    orientation: int = 1
    title: str | None = None
    selection: bool = False  # the sample behind the colours is no alpha
    offset: tuple[int, int] = (0, 0)  # (down, right) on the canvas of an editor


def to_canvas(pages: Sequence[Page], kind: Kind, *, name: str, raw: bool = False, curves: Sequence[Curve] = ()) -> Canvas:
    """Pages of latents or an embedding -> Canvas; `raw` says that the layout is not mapped to 0..1, `curves` what to undo if it is.

    Raises BadValues for integers of too few steps and for transparency, BadShape for colour or pages of different sizes.
    """
    _check_precision(pages[0].pixels.dtype, kind, name=name, raw=raw)
    if any(page.orientation != 1 for page in pages):
        raise BadShape(f"{name} is marked as rotated, and {kind.plural} cannot be; rotate it back, or go back to the original")
    planes = [plane for page in pages for plane in _planes(page, kind, name=name, keep_four=raw)]
    if len({(plane.shape, plane.dtype) for plane in planes}) > 1:
        raise BadShape(
            f"{name} has pages of different sizes or types; save all pages of {kind.plural} alike, without merging layers"
        )
    stack = planes[0][np.newaxis] if len(planes) == 1 else np.stack(_in_order(planes, [page.title for page in pages]))
    notes = (SELECTION,) if any(page.selection and page.pixels.shape[2] in (2, 4) for page in pages) and not raw else ()
    return _straightened(_levels(stack, raw=raw), () if raw else curves, notes)


def _levels(stack: NDArray[Any], *, raw: bool) -> Canvas:
    """Pixels as the file has them, and by how much they may differ."""
    if stack.dtype == np.uint16 and _of_15_bits(stack):
        planes = (((stack.astype(np.int32) + 1) // 2) * np.float32(LEVEL_OF_15_BITS)).astype(np.float32)
        return Canvas(planes, step=LEVEL_OF_15_BITS, slack=np.full_like(planes, LEVEL_OF_15_BITS))
    pixels = _to_float(stack)
    step = INTEGER_STEP if stack.dtype.kind == "u" or (not raw and _on_grid(pixels)) else 0.0
    return Canvas(pixels, step=step, half=stack.dtype == np.float16)


def _of_15_bits(stack: NDArray[np.uint16]) -> bool:
    """Whether 16-bit levels are the 32,769 of Photoshop, doubled."""
    return stack.size >= FEWEST_LEVELS and not (stack[stack != np.iinfo(np.uint16).max] & 1).any()


def _straightened(found: Canvas, curves: Sequence[Curve], notes: tuple[str, ...]) -> Canvas:
    """The canvas with a tone curve undone, and the other ways to read it beside it."""
    if not curves:
        return replace(found, notes=notes)
    first, *others = [_linear(found, curve) for curve in curves]
    return replace(first, notes=(*notes, CURVED), otherwise=(*others, found))


def _linear(found: Canvas, curve: Curve) -> Canvas:
    half = HALF_ROUNDING * np.abs(found.planes) if found.half else np.zeros_like(found.planes)
    reach = half + (found.step / 2 if found.slack is None else found.slack)
    with np.errstate(all="ignore"):  # what is not finite is refused later, with a sentence
        planes = in_float64(found.planes, curve)
        if not reach.any():
            return replace(found, planes=planes, curved=True)
        # As far as the curve goes within what one level stands for, on the steeper side.
        slack = np.maximum(in_float64(found.planes + reach, curve) - planes, planes - in_float64(found.planes - reach, curve))
    return replace(found, planes=planes, slack=np.abs(slack), curved=True)


def to_picture(page: Page, *, name: str) -> tuple[Floats, list[str]]:
    """One page (H, W, 1 to 4) -> picture (H, W, 3) float32, 0..1, not clamped, upright; and what was noticed, in sentences.

    Integers are divided by their largest value, gray is repeated, transparency left out. Raises BadShape for other channels
    and types, BadValues for premultiplied transparency and for what `check_picture` refuses.
    """
    pixels, notes = _upright(page), []
    samples = pixels.shape[2]
    if samples > 4 or pixels.dtype.kind not in "uf":
        raise BadShape(
            f"{name} has {samples} channels of {pixels.dtype}, and a picture has 1 to 4 channels of 8, 16 or 32 bits; "
            f"convert it to RGB"
        )
    if samples in (2, 4) and not _opaque(pixels[..., -1]):
        if page.premultiplied:
            raise BadValues(f"{name} has premultiplied transparency; save it with straight alpha, or flattened")
        notes.append("the picture is transparent in places; what lies under the transparency counts")
    colour = pixels[..., :3] if samples > 2 else np.repeat(pixels[..., :1], 3, axis=2)
    picture = _to_float(colour)
    check_picture(picture, name=name)
    return picture, notes


def check_picture(picture: Floats, *, name: str) -> None:
    """Raise BadValues for NaN, infinity, and floats beyond +-1000, which no picture has; `name` is the file's."""
    lowest, highest = float(picture.min()), float(picture.max())
    if not (np.isfinite([lowest, highest]).all() and max(-lowest, highest) <= LARGEST_PIXEL):
        raise BadValues(
            f"{name} has pixels from {lowest:.4g} to {highest:.4g}, and a picture has finite ones of about 0..1; "
            f"save it again as 32-bit float or 16 bit"
        )


def opaque_gray(page: Page) -> bool:
    """Whether a page is gray in disguise: equal colour channels, and no transparency."""
    samples = page.pixels.shape[2]
    whole = samples in (1, 3) or (samples in (2, 4) and (page.selection or _opaque(page.pixels[..., -1])))
    return whole and has_equal_colours(page)


def has_equal_colours(page: Page) -> bool:
    """Whether a page is gray, or has colour channels that are all the same."""
    return page.pixels.shape[2] < 3 or all(np.array_equal(page.pixels[..., 0], page.pixels[..., k]) for k in (1, 2))


def _check_precision(dtype: np.dtype[Any], kind: Kind, *, name: str, raw: bool) -> None:
    if dtype.kind == "f" or (dtype in (np.uint16, np.uint32) and not raw):
        return
    bits = f"{8 * dtype.itemsize}-bit whole numbers"
    if raw and dtype.kind in "ui":
        raise BadValues(
            f"{name} has {bits}, and {kind.plural} in the raw layout of four channels must be floats: their values do not fit into "
            f"whole numbers; save it as 32-bit float, from the original"
        )
    raise BadValues(
        f"{name} has {bits}, and {kind.plural} need 32-bit floats (or, on a gray canvas, unsigned 16 bits); "
        f"save the original again as 32-bit float; if this is a picture, encode it first"
    )


def _planes(page: Page, kind: Kind, *, name: str, keep_four: bool) -> list[NDArray[Any]]:
    samples = page.pixels.shape[2]
    if opaque_gray(page) and not (keep_four and samples == 4):
        return [page.pixels[..., 0]]
    if samples == 2:
        raise BadValues(
            f"{name} is transparent in places, and {kind.plural} have no alpha; fill the transparency, or flatten the image "
            f"(in GIMP: Image > Flatten Image), which fills it with the background colour"
        )
    if samples != 4:
        raise BadShape(
            f"{name} has {samples} different channels, and {kind.plural} have one gray channel per page, or four; "
            f"an editor dropped or recoloured them: go back to the original and save without colour conversion"
        )
    if page.premultiplied and not _opaque(page.pixels[..., 3]):
        raise BadValues(
            f"{name} was saved with premultiplied alpha, which destroys values where alpha is small; "
            f"save the original again with straight alpha (in GIMP: save colour values from transparent pixels)"
        )
    return [page.pixels[..., k] for k in range(4)]


def _in_order(planes: list[NDArray[Any]], titles: Sequence[str | None]) -> list[NDArray[Any]]:
    """Pages that an editor reordered, back in the order of their names."""
    names = [PAGE_NAME.format(k) for k in range(len(planes))]
    if len(planes) == 1 or sorted(map(str, titles)) != sorted(names):
        return planes
    return [planes[list(titles).index(title)] for title in names]


def _to_float(pixels: NDArray[Any]) -> Floats:
    if pixels.dtype.kind == "f":
        with np.errstate(over="ignore"):  # a float64 too large becomes infinity, which is refused later with a sentence
            return pixels.astype(np.float32, copy=False)
    full = np.iinfo(pixels.dtype).max
    scaled: Floats = np.divide(pixels, full, dtype=np.float32 if full < 2**24 else np.float64).astype(np.float32, copy=False)
    return scaled


def _on_grid(pixels: Floats) -> bool:
    """Whether floats lie on the 16-bit steps within 0..1, as of an editor that computes in integers and writes floats."""
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        return False
    values = np.ravel(pixels)
    for start in range(0, values.size, VALUES_AT_A_TIME):
        steps = values[start : start + VALUES_AT_A_TIME].astype(np.float64) / INTEGER_STEP
        if not (np.abs(steps - np.rint(steps)) < ON_GRID).all():
            return False
    return True


def _opaque(alpha: NDArray[Any]) -> bool:
    full = 1.0 if alpha.dtype.kind == "f" else np.iinfo(alpha.dtype).max if alpha.dtype.kind in "ui" else True
    return bool((alpha == full).all())


def _upright(page: Page) -> NDArray[Any]:
    """The pixels with the Orientation tag applied (TIFF 6.0, section 8)."""
    pixels = page.pixels.swapaxes(0, 1) if page.orientation in (5, 6, 7, 8) else page.pixels
    rows = slice(None, None, -1) if page.orientation in (3, 4, 7, 8) else slice(None)
    columns = slice(None, None, -1) if page.orientation in (2, 3, 6, 7) else slice(None)
    return pixels[rows, columns]
