"""What editors save -> planes of pixels, or a picture: alpha added, gray made RGB, pages reordered, integers for floats.

Everything here was produced by some editor (section 6 of `tiffsd/spec.py`); reading the bytes of a TIFF is `tiffsd/file.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.canvas import VALUES_AT_A_TIME, Canvas, Floats, Pixels, Wide, kept_in_float64
from tiffsd.curves import Curve
from tiffsd.inks import GRAY, SEPARATED, Colour, Space, colours_of, count_of_colours, mixed_inks, on_white, plain_rgb, to_unit
from tiffsd.spec import HALF_ROUNDING, INTEGER_STEP, LARGEST_PIXEL, PAGE_NAME, BadShape, BadValues, Kind

# Float noise of an editor that quantised to 16 bit and wrote floats: float32 at 1.0, in units of the step.
ON_GRID = 0.01
LEVEL_OF_15_BITS = 2.0**-15  # Photoshop computes in 0..32768
LEVELS_OF_16_BITS = 2**16 - 1
FEWEST_LEVELS = 64  # of which all even are no accident
CURVED = "the canvas was saved in another tone curve (gamma) than the linear one; it was undone by the profile in the file"
SELECTION = "a saved selection lies beside the colours and was left out"


@dataclass(frozen=True)
class Page:
    """One page as it lies in the file: pixels (H, W, samples) of any dtype, and how they are meant.

    `bits` are those of a sample (None: all of its type), `palette` (3, n) its colours, `profile` the ICC profile of the file.
    """

    pixels: NDArray[Any]
    premultiplied: bool = False
    orientation: int = 1
    title: str | None = None
    selection: bool = False  # the sample behind the colours is no alpha
    offset: tuple[int, int] = (0, 0)  # (down, right) on the canvas of an editor
    bits: int | None = None
    photometric: int = GRAY
    palette: NDArray[np.uint16] | None = None
    profile: bytes | None = None


def to_canvas(pages: Sequence[Page], kind: Kind, *, name: str, raw: bool = False, curves: Sequence[Curve] = ()) -> Canvas:
    """Pages of latents or an embedding -> Canvas; `raw` says that the layout is not mapped to 0..1, `curves` what to undo if it is.

    Raises BadValues for integers of too few steps and for transparency, BadShape for colour or pages of different sizes.
    """
    _check_precision(pages[0].pixels.dtype, kind, name=name, raw=raw)
    if any(page.orientation != 1 for page in pages):
        raise BadShape(f"{name} is marked as rotated, and {kind.plural} cannot be; rotate it back, or go back to the original")
    planes = [plane for page in pages for plane in _planes(page, kind, name=name, keep_four=raw and kind is Kind.LATENTS)]
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
        doubled = (((stack.astype(np.int32) + 1) // 2) * np.float32(LEVEL_OF_15_BITS)).astype(np.float32)
        slack = np.full(stack.shape, LEVEL_OF_15_BITS)
        return Canvas(doubled, step=LEVEL_OF_15_BITS, level=LEVEL_OF_15_BITS, slack=slack)
    if stack.dtype.kind == "u":
        full = np.iinfo(stack.dtype).max
        return Canvas(kept_in_float64(stack, lambda whole: whole / full), step=INTEGER_STEP, level=1 / _levels_above_black(stack))
    planes: Pixels = stack.astype(np.float32) if stack.dtype == np.float16 else stack
    step = INTEGER_STEP if not raw and _on_grid(planes) else 0.0
    return Canvas(planes, step=step, level=step, half=stack.dtype == np.float16)


def _levels_above_black(stack: NDArray[Any]) -> int:
    """How many levels above black whole numbers have: 32 bits of programs that compute in 16 have no more than these."""
    full = int(np.iinfo(stack.dtype).max)
    return LEVELS_OF_16_BITS if full % LEVELS_OF_16_BITS == 0 and not (stack % (full // LEVELS_OF_16_BITS)).any() else full


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
    with np.errstate(all="ignore"):  # what is not finite is refused later, with a sentence
        slack = kept_in_float64(found.planes, partial(_slack, found=found, curve=curve)) if found.half or found.step else None
        return replace(found, planes=kept_in_float64(found.planes, curve), slack=slack, curved=True)


def _slack(saved: Wide, found: Canvas, curve: Curve) -> Wide:
    """As far as the curve goes within what one number stands for, on the steeper side."""
    reach = found.step / (1 if found.step == LEVEL_OF_15_BITS else 2) if found.step else HALF_ROUNDING * np.abs(saved)
    straight = curve(saved)
    slack: Wide = np.maximum(np.abs(curve(saved + reach) - straight), np.abs(straight - curve(saved - reach)))
    return slack


def to_picture(page: Page, *, name: str, colour: Colour | None = None) -> tuple[Floats, Floats | None, list[str]]:
    """One page (H, W, samples) -> picture (H, W, 3) float32, 0..1, not clamped, upright; its alpha (H, W) where not all is opaque;
    and what was noticed, in sentences.

    Integers are divided by the largest value of their bits, gray is repeated, what is transparent is laid on white. `colour` is
    asked where the file has an ICC profile. Raises BadShape for other channels and types, BadValues for premultiplied transparency
    and for what `check_picture` refuses.
    """
    pixels = upright(page.pixels, page.orientation)
    samples, own = pixels.shape[2], count_of_colours(page.photometric, pixels.shape[2])
    if not own <= samples <= own + 1 or pixels.dtype.kind not in "ufb":
        raise BadShape(
            f"{name} has {samples} channels of {pixels.dtype}, and a picture has 1 to 4 channels of 8, 16 or 32 bits; "
            f"convert it to RGB"
        )
    if pixels.dtype.kind == "f":  # before a profile is asked: it makes numbers of NaN
        check_picture(pixels, name=name)
    alpha, notes = _transparency(page, pixels[..., own:], name=name)
    bits, own_samples = _bits(page), pixels[..., :own]
    if page.photometric == SEPARATED and (colour is None or not page.profile):
        notes.append("its inks (CMYK) were mixed plainly, without a profile")
        return on_white(mixed_inks(own_samples, bits), alpha), alpha, notes
    colours, space = colours_of(own_samples, page.photometric, bits=bits, palette=page.palette, name=name)
    colours = on_white(colours, alpha, white=0 if space is Space.CMYK else 1)
    if colour is None or not page.profile or space is None:
        return plain_rgb(colours, space), alpha, notes
    picture, more = colour(colours, space, page.profile)
    return picture, alpha, notes + more


def _transparency(page: Page, beside: NDArray[Any], *, name: str) -> tuple[Floats | None, list[str]]:
    """The alpha (H, W) in what lies beside the colours (H, W, 0 or 1), where not all is opaque, and what was noticed."""
    if not beside.shape[2] or page.selection:
        return None, [SELECTION] * beside.shape[2]
    if _opaque(beside, _bits(page)):
        return None, []
    if page.premultiplied:
        raise BadValues(f"{name} has premultiplied transparency; save it with straight alpha, or flattened")
    return to_unit(beside[..., 0], _bits(page)).clip(0, 1), ["transparent parts were laid on white"]


def _bits(page: Page) -> int:
    return page.bits or 8 * page.pixels.dtype.itemsize


def check_picture(picture: NDArray[Any], *, name: str) -> None:
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
            f"{name} has {bits}, and {kind.plural} in a raw layout must be floats: plain values do not fit into whole numbers; "
            f"save it as 32-bit float, from the original"
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


def _on_grid(pixels: Pixels) -> bool:
    """Whether floats lie on the 16-bit steps within 0..1, as of an editor that computes in integers and writes floats."""
    if not (pixels.min() >= 0 and pixels.max() <= 1):
        return False
    values = np.ravel(pixels)
    for start in range(0, values.size, VALUES_AT_A_TIME):
        steps = values[start : start + VALUES_AT_A_TIME].astype(np.float64) / INTEGER_STEP
        if not (np.abs(steps - np.rint(steps)) < ON_GRID).all():
            return False
    return True


def _opaque(alpha: NDArray[Any], bits: int | None = None) -> bool:
    full = 1.0 if alpha.dtype.kind == "f" else True
    if alpha.dtype.kind in "ui":
        full = np.iinfo(alpha.dtype).max if bits is None or alpha.dtype.kind == "i" else 2**bits - 1
    return bool((alpha == full).all())


def upright(pixels: NDArray[Any], orientation: int) -> NDArray[Any]:
    """Pixels (H, W, samples) with the Orientation tag applied (TIFF 6.0, section 8)."""
    pixels = pixels.swapaxes(0, 1) if orientation in (5, 6, 7, 8) else pixels
    rows = slice(None, None, -1) if orientation in (3, 4, 7, 8) else slice(None)
    columns = slice(None, None, -1) if orientation in (2, 3, 6, 7) else slice(None)
    return pixels[rows, columns]
