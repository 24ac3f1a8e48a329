"""Canvas tensors <-> the planes of pixels that people paint on, and the rule that keeps exact what nobody painted.

Sections 3 and 6 of `tiffsd/spec.py`. Planes are (n, H, W): one for a mosaic or a strip, one per channel for pages and rgba.
Pictures do not pass through here: their pixels are their values.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from tiffsd.header import Header
from tiffsd.spec import (
    CLIPPED_SHARE,
    CUT_SHARE,
    HALF_ROUNDING,
    LARGEST_EMBEDDING_PIXEL,
    LARGEST_PIXEL,
    PIXEL_OF_ZERO,
    ROUNDING,
    VALUES_PER_UNIT,
    BadShape,
    BadValues,
    Kind,
    Layout,
)

Floats = NDArray[np.float32]
Wide = NDArray[np.float64]
Pixels = NDArray[np.floating[Any]]
Mask = NDArray[np.bool_]
_Found = TypeVar("_Found", np.float32, np.float64, np.floating[Any])

VALUES_AT_A_TIME = 2**16
ENOUGH_ROUNDED = 0.75  # of a canvas that was cut down to its levels half the values look rounded
EMBEDDING_ROWS = ("prompt_embeds", "negative_prompt_embeds")


@dataclass(frozen=True)
class Canvas:
    """Planes of pixels (n, H, W) as an editor saved them, float32 where that holds them as they are, else float64.

    `step` is that of integers for the comparison, `level` what lies between two of them, `half` says float16. Where a file without
    metadata was taken to hold plain values, `planes` are what they would have been painted as, and `as_found` is what lies in the
    file. `slack` (n, H, W) is by how much more than usual a pixel may differ, for how it was saved; `curved` says that a tone curve
    was undone, which `otherwise` has other readings of. `notes` say what was done to the pages.
    """

    planes: Pixels
    step: float = 0.0
    level: float = 0.0
    half: bool = False
    as_found: Pixels | None = None
    slack: Pixels | None = None
    curved: bool = False
    otherwise: tuple["Canvas", ...] = ()
    notes: tuple[str, ...] = ()

    def moved(self, move: Callable[[Pixels], Pixels]) -> "Canvas":
        """The same with its pixels, and what belongs to each, in other places."""
        slack = None if self.slack is None else move(self.slack)
        others = tuple(other.moved(move) for other in self.otherwise)
        return replace(self, planes=move(self.planes), slack=slack, otherwise=others, as_found=None)


@dataclass(frozen=True)
class Reading:
    """What a canvas says: the canvas tensor that counts, how many of its values were painted, what was noticed, in sentences."""

    tensor: Floats
    painted: int
    notes: tuple[str, ...] = ()


def grid(channels: int) -> tuple[int, int]:
    """The (rows, columns) of panels in the mosaic of so many channels, 1 or more: (2, 2) of 4, (4, 4) of 16, one row of a prime."""
    columns = next(c for c in range(1, channels + 1) if channels % c == 0 and c * c >= channels)
    return channels // columns, columns


def page_size(header: Header) -> tuple[int, int]:
    """(height, width) of each page that this header asks for, in pixels of the canvas."""
    if header.kind is Kind.PICTURE:
        return header.size[0], header.size[1]
    if header.kind is Kind.EMBEDDING:
        return header.size[0] + header.size[1], header.size[2]
    rows, columns = grid(header.size[0]) if header.layout is Layout.MOSAIC else (1, 1)
    return rows * header.size[1], columns * header.size[2]


def canvas_tensor(tensors: Mapping[str, NDArray[Any]], kind: Kind) -> Floats | None:
    """The tensor that is painted: latents (C, h, w), or the rows of an embedding (1, T + U, D); None if it is not there."""
    if kind is Kind.LATENTS:
        return tensors.get("latents")
    rows = [tensors[name] for name in EMBEDDING_ROWS if name in tensors]
    return np.concatenate(rows)[np.newaxis] if rows else None


def named_tensors(tensor: Floats, header: Header) -> dict[str, Floats]:
    """The inverse of `canvas_tensor`: latents (C, h, w), or (1, T + U, D) cut after the T of the header's size."""
    if header.kind is Kind.LATENTS:
        return {"latents": tensor}
    prompt_rows, negative_rows, _ = header.size
    parts = zip(EMBEDDING_ROWS, (tensor[0, :prompt_rows], tensor[0, prompt_rows:]), (prompt_rows, negative_rows), strict=True)
    return {name: part for name, part, rows in parts if rows}


def paint(tensor: Floats, header: Header) -> Floats:
    """Canvas tensor -> planes of pixels (n, H, W), float32: one plane, or for pages and rgba one for each channel."""
    pixels = to_pixels(tensor, header)
    return mosaic(pixels) if header.layout is Layout.MOSAIC else pixels


def mosaic(pixels: Pixels) -> Pixels:
    """Channels (C, h, w) -> the one plane (1, r h, c w) that has them as panels."""
    channels, height, width = pixels.shape
    rows, columns = grid(channels)
    panels = pixels.reshape(rows, columns, height, width).transpose(0, 2, 1, 3)  # (r, h, c, w)
    return np.ascontiguousarray(panels.reshape(1, rows * height, columns * width))


def read_canvas(canvas: Canvas, header: Header, exact: Floats | None, *, name: str) -> Reading:
    """Planes as found and the exact canvas tensor, if there is one -> the tensor that counts.

    Raises BadShape where planes and header do not fit, BadValues for pixels that cannot be of this kind; `name` is the file's.
    """
    pixels = _unpaint(canvas.planes, header, name=name)
    check_pixels(pixels, header, name=name)
    if exact is None:
        check_not_cut(pixels, header, name=name)
        return Reading(from_pixels(pixels, header), 0, _coarse(canvas))
    if exact.shape != pixels.shape:
        found = from_pixels(pixels, header)
        resized = f"the size is now {_size(pixels)} instead of {_size(exact)}, and all of it counts as painted"
        return Reading(found, found.size, (resized, *_coarse(canvas)))
    expected = to_pixels(exact, header)
    if np.array_equal(pixels, expected):  # as it was written, which is neither clipped nor emptied
        return Reading(exact, 0)
    _check_not_clipped(canvas, pixels, expected, name=name)
    slack = None if canvas.slack is None else _unpaint(canvas.slack, header, name=name)
    untouched = _untouched(canvas, pixels, expected, slack)
    _check_not_emptied(pixels, expected, untouched, header, name=name)
    painted = int(untouched.size - np.count_nonzero(untouched))
    return Reading(np.where(untouched, exact, from_pixels(pixels, header)), painted, _coarse(canvas) if painted else ())


def fitted(header: Header, canvas: Canvas) -> Header:
    """The header with the size (C, h, w) of a canvas that was cropped or resized, width and height of the recipe scaled along.

    Only pages and rgba can be; for other layouts the header is given back as it is.
    """
    height, width = canvas.planes.shape[1:]
    if header.layout not in (Layout.PAGES, Layout.RGBA) or (height, width) == header.size[1:]:
        return header
    recipe = dict(header.recipe)
    for key, old, new in (("height", header.size[1], height), ("width", header.size[2], width)):
        if isinstance(recipe.get(key), int):
            recipe[key] = recipe[key] * new // old
    return replace(header, size=(header.size[0], height, width), recipe=recipe)


def to_pixels(tensor: Floats, header: Header) -> Floats:
    """Values of any shape -> pixels of the layout, float32 of the same shape, element by element (section 3 of the format)."""
    zero, unit = _scale(header)
    return in_float64(tensor, lambda wide: wide / unit + zero)


def from_pixels(pixels: Pixels, header: Header) -> Floats:
    """The inverse of `to_pixels`, up to the rounding of float32."""
    zero, unit = _scale(header)
    return in_float64(pixels, lambda wide: (wide - zero) * unit)


def in_float64(values: NDArray[Any], work: Callable[[Wide], Wide]) -> Floats:
    """The work done in float64 and rounded once, on some values at a time: all of them in float64 would take the most memory."""
    return _in_pieces(values, work, np.empty(values.shape, np.float32))


def kept_in_float64(values: NDArray[Any], work: Callable[[Wide], Wide]) -> Wide:
    """The work done in float64, on some values at a time, and not rounded."""
    return _in_pieces(values, work, np.empty(values.shape, np.float64))


def _in_pieces(values: NDArray[Any], work: Callable[[Wide], Wide], found: NDArray[_Found]) -> NDArray[_Found]:
    source, target = np.ravel(values), found.reshape(-1)
    # What is no number stays so, and what is too large becomes infinity: both are refused with a sentence.
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, source.size, VALUES_AT_A_TIME):
            target[start : start + VALUES_AT_A_TIME] = work(source[start : start + VALUES_AT_A_TIME].astype(np.float64))
    return found


def check_pixels(pixels: Pixels, header: Header, *, name: str) -> None:
    """Raise BadValues for NaN, infinity, and pixels beyond +-1000 of latents or +-100000 of an embedding; `name` is the file's."""
    lowest, highest = float(pixels.min()), float(pixels.max())
    if not np.isfinite([lowest, highest]).all():
        raise BadValues(
            f"{name} has pixels that are not numbers (NaN or infinity), and {header.kind} must be finite; "
            f"paint over them, or go back to the file before the program that made them"
        )
    largest = LARGEST_EMBEDDING_PIXEL if header.kind is Kind.EMBEDDING else LARGEST_PIXEL
    if max(-lowest, highest) > largest:
        raise BadValues(
            f"{name} has pixels from {lowest:.4g} to {highest:.4g}, and {header.kind} stay within {largest:.0f}; "
            f"a program misread the 32-bit floats: save from another one, uncompressed"
        )


def check_not_cut(pixels: Pixels, header: Header, *, name: str) -> None:
    """Raise BadValues for raw channels that an editor cut off at 0 and 1, where there is no original to compare with.

    Cut off are channels that lie within 0..1 and of whose pixels a twentieth or more is exactly 0, and as many exactly 1.
    """
    if header.layout is Layout.RGBA and pixels.min() == 0 and pixels.max() == 1 and _shares(pixels) >= CUT_SHARE:
        raise BadValues(
            f"{name} was clipped by an editor: its channels should hold plain values of about -4..4, and all lie within 0..1; "
            f"edit the original again with a program that keeps 32-bit floats as they are, or write it in layout mosaic"
        )


def _shares(pixels: Pixels) -> float:
    """The smaller of the shares of pixels that are exactly 0 and exactly 1."""
    return float(min((pixels == 0).mean(), (pixels == 1).mean()))


def _scale(header: Header) -> tuple[float, float]:
    """The pixel of value 0, and the values from one pixel to the pixel + 1."""
    deviation = float(np.sqrt(header.sigma**2 + 1)) if header.sigma is not None else 1.0
    if header.layout is Layout.RGBA:
        return 0.0, deviation
    return PIXEL_OF_ZERO, VALUES_PER_UNIT * deviation


def _unpaint(planes: NDArray[_Found], header: Header, *, name: str) -> NDArray[_Found]:
    """Planes (n, H, W) -> pixels in the places of the canvas tensor."""
    if header.kind is Kind.EMBEDDING:
        wanted = (1, header.size[0] + header.size[1], header.size[2])
        if planes.shape != wanted:
            raise _misfit(planes, wanted, name, "an embedding cannot be cropped or resized; go back to the original")
        return planes
    channels, height, width = header.size
    if header.layout is not Layout.MOSAIC:
        if len(planes) != channels:
            raise _misfit(planes, header.size, name, "save all pages with all channels, unmerged and not flattened")
        return planes
    rows, columns = grid(channels)
    wanted = (1, rows * height, columns * width)
    if planes.shape != wanted:
        way_out = "a mosaic cannot be cropped or resized; go back to the original, or write it in layout pages, which can"
        raise _misfit(planes, wanted, name, way_out)
    panels = planes.reshape(rows, height, columns, width).transpose(0, 2, 1, 3)  # (r, c, h, w)
    return np.ascontiguousarray(panels.reshape(channels, height, width))


def _untouched(canvas: Canvas, pixels: Pixels, expected: Floats, slack: Pixels | None) -> Mask:
    away = pixels.astype(np.float64)
    away -= expected
    if canvas.step and slack is None:
        return _of_levels(away, canvas.step, _beyond(pixels, expected))
    tolerance: Pixels = ROUNDING * np.maximum(1, np.abs(pixels))
    if slack is not None:
        tolerance = slack + tolerance
    elif canvas.half:
        tolerance = tolerance + HALF_ROUNDING * np.abs(expected.astype(np.float64))
    untouched: Mask = np.abs(away, out=away) <= tolerance
    return untouched | _beyond(pixels, expected) if canvas.step else untouched


def _of_levels(away: Wide, step: float, beyond: Mask) -> Mask:
    """Where whole numbers stand for what was there, rounded or, where that leaves fewer painted, cut down to the level below."""
    tolerance = ROUNDING + step / 2
    rounded: Mask = (np.abs(away) <= tolerance) | beyond
    if np.count_nonzero(rounded) >= ENOUGH_ROUNDED * rounded.size:
        return rounded
    away += step / 2
    cut_down: Mask = (np.abs(away, out=away) <= tolerance) | beyond
    return cut_down if np.count_nonzero(cut_down) > np.count_nonzero(rounded) else rounded


def _beyond(pixels: Pixels, expected: Floats) -> Mask:
    """Pixels at the bound that integers have, whose exact value lies at or beyond it."""
    found: Mask = ((pixels <= 0) & (expected <= 0)) | ((pixels >= 1) & (expected >= 1))
    return found


def _check_not_clipped(canvas: Canvas, pixels: Pixels, expected: Floats, *, name: str) -> None:
    if canvas.step or pixels.min() < 0 or pixels.max() > 1:
        return
    outside = (expected < 0) | (expected > 1)
    if outside.mean() >= CLIPPED_SHARE and _beyond(pixels, expected)[outside].all():
        raise BadValues(
            f"{name} was clipped by an editor: all pixels lie within 0..1, and {outside.mean():.0%} of the original's did not; "
            f"edit the original again with a program that keeps 32-bit floats as they are"
        )


def _check_not_emptied(pixels: Pixels, expected: Floats, untouched: Mask, header: Header, *, name: str) -> None:
    """Refuse rgba of an editor that drew on it and left nothing of the pixels around that were transparent to it.

    ImageMagick does so within two pixels of what it draws. Erasing by hand takes all pixels of a region, whatever their alpha.
    """
    if header.layout is not Layout.RGBA:
        return
    emptied = (pixels == 0).all(axis=0) & (expected != 0).any(axis=0)
    if emptied.mean() < CLIPPED_SHARE:
        return
    rows, columns = (slice(places.min(), places.max() + 1) for places in np.nonzero(emptied))
    left = (emptied | untouched.all(axis=0))[rows, columns]  # all but what was painted
    emptied, transparent = emptied[rows, columns][left], (expected[3] <= 0)[rows, columns][left]
    if np.array_equal(emptied, transparent) and not emptied.all():
        raise BadValues(
            f"{name} has lost {np.count_nonzero(emptied)} pixels to an editor that took the fourth channel for transparency; "
            f"write the original in layout mosaic or pages and edit that"
        )


def _coarse(canvas: Canvas) -> tuple[str, ...]:
    if canvas.step:
        level = canvas.level or canvas.step
        bits, rounded = round(np.log2(1 / level)), f"{VALUES_PER_UNIT * level:.1e}"
        return (f"the canvas was saved in {bits}-bit steps, so painted values are rounded to {rounded} and end at black and white",)
    if canvas.half:
        return ("the canvas was saved in 16-bit floats, so painted values are rounded to about three digits",)
    return ()


def _misfit(planes: Pixels, wanted: tuple[int, ...], name: str, way_out: str) -> BadShape:
    return BadShape(f"{name} has {_size(planes)} and should have {_size(wanted)}; {way_out}")


def _size(planes: Pixels | tuple[int, ...]) -> str:
    count, height, width = planes if isinstance(planes, tuple) else planes.shape
    return f"{count} {'plane' if count == 1 else 'planes'} of {width}x{height}"
