"""Pages that an editor made of layers: composed over the canvas, told apart from channels, or refused with the way out.

Section 6 of `tiffsd/spec.py`. Only what leaves no choice is composed: nothing says how an editor meant layers that hide others.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tiffsd.canvas import page_size
from tiffsd.header import Header
from tiffsd.pixels import Page, has_equal_colours
from tiffsd.spec import PAGE_NAME, BadShape, BadValues, Kind, Layout

Pixels = NDArray[Any]

COPY = " copy"
LONGEST_TITLE = 40


def settled(pages: Sequence[Page], header: Header, *, name: str, curved: bool) -> tuple[list[Page], tuple[str, ...]]:
    """The pages of latents or of an embedding that are canvas, one for each plane, and what was done to the others.

    `curved` says that pixels are not linear. Raises BadShape or BadValues for layers that cannot be composed.
    """
    if header.layout is Layout.PAGES and header.kind is Kind.LATENTS:
        return _channels(pages, header, name=name)
    panels = header.layout is Layout.MOSAIC and [page.pixels.shape[:2] for page in pages] == [header.size[1:]] * header.size[0]
    if len(pages) == 1 or panels or header.layout is Layout.RGBA:
        return list(pages), ()
    return _composed(pages, header, name=name, curved=curved)


def _composed(pages: Sequence[Page], header: Header, *, name: str, curved: bool) -> tuple[list[Page], tuple[str, ...]]:
    base, *layers = pages
    canvas = _gray(base, name)
    if canvas.shape != page_size(header) or canvas.dtype.kind != "f" or not (_alpha(base) == 1).all():
        raise _unflattened(name, len(pages))
    canvas = canvas.copy()
    for layer in layers:
        _compose(canvas, layer, base, name=name, count=len(pages), curved=curved)
    notes = tuple(f"the layer {_title(layer)} was laid over the canvas" for layer in layers)
    return [replace(base, pixels=canvas[..., np.newaxis])], notes


def _compose(canvas: Pixels, layer: Page, base: Page, *, name: str, count: int, curved: bool) -> None:
    """Lay a layer over the canvas, in place."""
    above, alpha = _gray(layer, name), _alpha(layer)
    if (layer.premultiplied and not (alpha == 1).all()) or above.dtype != canvas.dtype:
        raise _unflattened(name, count)
    top, left = (there - here for there, here in zip(layer.offset, base.offset, strict=True))
    height, width = canvas.shape
    rows, columns = (slice(max(0, start), max(0, start, min(end, start + side)))
                     for start, side, end in ((top, above.shape[0], height), (left, above.shape[1], width)))  # fmt: skip
    below = canvas[rows, columns]
    part = (slice(rows.start - top, rows.stop - top), slice(columns.start - left, columns.stop - left))
    above, alpha = above[part], alpha[part]
    hides_all = below.shape == canvas.shape and bool((alpha == 1).all())
    is_partial = bool(((alpha != 0) & (alpha != 1)).any())
    # Which of two whole layers was meant, nobody can tell.
    if (hides_all and not np.array_equal(above, below)) or (is_partial and curved):
        raise _unflattened(name, count)
    with np.errstate(all="ignore"):  # what is not finite is refused later, with a sentence
        mixed = alpha * above.astype(np.float64) + (1 - alpha) * below.astype(np.float64)
        canvas[rows, columns] = np.where(alpha == 0, below, np.where(alpha == 1, above, mixed)).astype(canvas.dtype)


def _channels(pages: Sequence[Page], header: Header, *, name: str) -> tuple[list[Page], tuple[str, ...]]:
    """The pages of layout pages, without layers that say nothing, in the order of their names."""
    kept, notes = list(pages), list[str]()
    for page in pages if len(pages) > header.size[0] else ():
        origin = _origin(page, pages)
        if (page.pixels.shape[2] in (2, 4) and not _alpha(page).any()) or (origin is not None and _same(origin, page)):
            kept = [other for other in kept if other is not page]
            notes.append(f"the layer {_title(page)} {'repeats a channel' if origin else 'is empty'} and was left out")
    if len(kept) > header.size[0]:
        raise BadShape(
            f"{name} has {len(kept)} layers, and its latents {header.size[0]} channels, a layer each; "
            f"merge each further layer down onto the channel that it is meant for (in GIMP: Layer > Merge Down), or delete it"
        )
    if len({page.offset for page in kept}) > 1:
        moved = next(page for page in kept if page.offset != kept[0].offset)
        down, right = (there - here for there, here in zip(moved.offset, kept[0].offset, strict=True))
        raise BadShape(
            f"{name} has a layer {_title(moved)} that was moved by {right:+d} to the right and {down:+d} down, and nothing lies "
            f"where it was; move it back, or crop all layers to what they share (in GIMP: Layer > Layer to Image Size, then fill)"
        )
    named, renamed = _with_names(kept, header.size[0])
    return named, (*notes, *renamed)


def _with_names(pages: list[Page], channels: int) -> tuple[list[Page], tuple[str, ...]]:
    """Where one page alone was renamed, it is the channel that is missing."""
    names = [PAGE_NAME.format(k) for k in range(channels)]
    others = [index for index, page in enumerate(pages) if page.title not in names]
    missing = [title for title in names if title not in [page.title for page in pages]]
    if len(pages) != channels or len(others) != 1 or len(missing) != 1:
        return pages, ()
    note = f"the layer {_title(pages[others[0]])} was taken as {missing[0]}, which alone is missing"
    return [replace(page, title=missing[0]) if index == others[0] else page for index, page in enumerate(pages)], (note,)


def _origin(page: Page, pages: Sequence[Page]) -> Page | None:
    """The page that this one is a copy of, by its name."""
    if page.title is None or not page.title.endswith(COPY):
        return None
    return next((other for other in pages if other.title == (page.title or "").removesuffix(COPY)), None)


def _same(one: Page, other: Page) -> bool:
    return one.offset == other.offset and one.pixels.dtype == other.pixels.dtype and np.array_equal(one.pixels, other.pixels)


def _gray(page: Page, name: str) -> Pixels:
    if not has_equal_colours(page):
        raise BadShape(f"{name} has a layer {_title(page)} in colours, and its canvas is gray; paint in black, white and gray only")
    gray: Pixels = page.pixels[..., 0]
    return gray


def _alpha(page: Page) -> NDArray[np.float64]:
    shape = page.pixels.shape
    if shape[2] not in (2, 4) or page.selection:
        return np.ones(shape[:2])
    full = 1 if page.pixels.dtype.kind == "f" else np.iinfo(page.pixels.dtype).max
    alpha: NDArray[np.float64] = page.pixels[..., -1].astype(np.float64) / full
    return alpha


def _title(page: Page) -> str:
    return repr(page.title[:LONGEST_TITLE]) if page.title else "without a name"


def _unflattened(name: str, count: int) -> BadValues:
    return BadValues(
        f"{name} has {count} layers, of which nothing tells how they make one canvas; flatten the image (in GIMP: Image > Flatten "
        f"Image) and save it again"
    )
