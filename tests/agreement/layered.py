"""Files of layers, pages in other orders and under other names, panels as pages, mosaics turned and enlarged."""

from dataclasses import replace
from itertools import permutations, product

import numpy as np

from tests.agreement.originals import beside, embedding, file_of, latents
from tests.agreement.saved import (
    Case,
    Cases,
    Change,
    as_rgb,
    changed,
    halves,
    levels,
    painted,
    saved,
    sheets_of,
    tagged,
    with_alpha,
)
from tests.agreement.tiff import LONG, RATIONAL, Form, Sheet, tiff_of
from tiffsd import Artifact, Layout, State


def layers() -> Cases:
    """Layers over a mosaic or strip, where they lie, how much they cover, of what they are made."""
    seed = 3000
    alphas = {"opaque": 1.0, "half": 0.5, "third": 1 / 3, "none": 0.0}
    for (words, alpha), place, layout in product(alphas.items(), ((0, 0), (3, 2), (-2, 5), (40, 0)), (Layout.MOSAIC, Layout.STRIP)):
        seed += 1
        yield Case(f"layer_{layout}_{words}_at{place[0]}+{place[1]}", _over(_made(seed, layout), seed, alpha, place, (4, 5)))
    for words, alpha in alphas.items():
        seed += 1
        yield Case(f"layer_whole_{words}", _over(_made(seed, Layout.MOSAIC), seed, alpha, (0, 0), (16, 16)))
    for unit, per_unit in ((2, [(72, 1)]), (2, [(300, 1)]), (3, [(118, 10)]), (1, [(1, 1)])):
        seed += 1
        yield Case("layer_in_inches", _over(_made(seed, Layout.MOSAIC), seed, 1.0, (5, 6), (4, 4), unit=unit, per_unit=per_unit))
    yield from _odd_layers()


def _odd_layers() -> Cases:
    base = sheets_of(file_of(_made(3100, Layout.MOSAIC)))[0]
    rng = np.random.default_rng(3100)
    patch = rng.random((4, 5, 1)).astype(np.float32)
    plain = Sheet(patch, tags=_at(2, 1))
    yield Case("layer_without_alpha", tiff_of([base, plain]))
    yield Case("layer_same_as_canvas", tiff_of([base, replace(base, tags={})]))
    yield Case("layer_other_than_canvas", tiff_of([base, changed(replace(base, tags={}), painted(1, 4))]))
    yield Case("layer_premultiplied", tiff_of([base, replace(changed(plain, with_alpha(0.5)), extra=(1,))]))
    yield Case("layer_selection", tiff_of([base, replace(changed(plain, with_alpha(0.5)), extra=(0,))]))
    yield Case("layer_in_colours", tiff_of([base, Sheet(rng.random((4, 5, 3)).astype(np.float32), 2, tags=_at(1, 1))]))
    yield Case("layer_gray_as_rgb", tiff_of([base, replace(changed(plain, as_rgb), photometric=2)]))
    yield Case("layer_gray_as_rgba", tiff_of([base, replace(changed(plain, as_rgb, with_alpha(0.25)), photometric=2, extra=(2,))]))
    yield Case("layer_of_doubles", tiff_of([base, changed(plain, lambda pixels: pixels.astype(np.float64))]))
    yield Case("layers_of_integers", tiff_of([changed(base, levels(16)), changed(plain, levels(16))]))
    yield Case("layers_of_halves", tiff_of([changed(base, halves), changed(plain, halves, with_alpha(0.5))]))
    yield Case("layers_three", tiff_of([base, changed(plain, with_alpha(0.5)), replace(plain, tags=_at(4, 4))]))
    yield Case("layer_mask_skipped", tiff_of([base, replace(plain, tags={254: (LONG, [4])})]))
    yield Case("layer_thumbnail_skipped", tiff_of([base, replace(plain, tags={254: (LONG, [1])})]))
    yield Case("layer_thumbnail_first", tiff_of([replace(plain, tags={254: (LONG, [1])}), base]))
    moved = replace(base, tags={**base.tags, **_at(7, 9)})
    yield Case("layer_base_moved", tiff_of([moved, replace(changed(plain, with_alpha(0.5)), tags=_at(8, 12))]))
    yield Case("layer_base_moved_alone", tiff_of([moved]))
    yield Case("layer_place_not_rational", tiff_of([base, replace(plain, tags={286: (LONG, [2]), 287: (LONG, [1])})]))
    yield Case("layer_place_halves", tiff_of([base, replace(plain, tags=_at(2.5, 3.5))]))
    yield Case("layer_place_without_resolution", tiff_of([base, replace(plain, tags={k: _at(2, 1)[k] for k in (286, 287)})]))
    yield Case("layer_place_zero_denominator", tiff_of([base, replace(plain, tags={**_at(2, 1), 286: (RATIONAL, [(3, 0)])})]))


def channels() -> Cases:
    """Pages of channels in other orders, under other names, repeated, moved, merged or missing."""
    seed = 3200
    for order in [*permutations(range(4))][1::2]:
        seed += 1
        sheets = sheets_of(file_of(_made(seed, Layout.PAGES)))
        yield Case(f"pages_order_{''.join(map(str, order))}", tiff_of(_first_tags([sheets[k] for k in order], sheets[0])))
    for words, names in {
        "one_renamed": ("channel 0", "sky", "channel 2", "channel 3"),
        "one_renamed_and_moved": ("channel 3", "channel 2", "sky", "channel 0"),
        "two_renamed": ("channel 1", "sky", "channel 0", "sea"),
        "none_named": (None, None, None, None),
        "one_unnamed": ("channel 3", None, "channel 1", "channel 0"),
        "twice": ("channel 1", "channel 1", "channel 0", "channel 3"),
        "other_case": ("Channel 0", "channel 1", "channel 3", "channel 2"),
        "beyond": ("channel 4", "channel 3", "channel 2", "channel 1"),
    }.items():
        seed += 1
        sheets = sheets_of(file_of(_made(seed, Layout.PAGES)))
        named = [tagged(sheet, page_name=name and name.encode()) for sheet, name in zip(sheets, names, strict=True)]
        yield Case(f"pages_{words}", tiff_of(named))
    yield from _more_pages(seed)


def _more_pages(seed: int) -> Cases:
    sheets = sheets_of(file_of(_made(seed, Layout.PAGES)))
    copy = tagged(sheets[1], page_name=b"channel 1 copy")
    clear = replace(changed(tagged(sheets[2], page_name=b"empty"), with_alpha(0.0)), extra=(2,))
    yield Case("pages_with_copy", tiff_of([*sheets, copy]))
    yield Case("pages_with_painted_copy", tiff_of([*sheets, changed(copy, painted(1, 3))]))
    yield Case("pages_with_copy_second", tiff_of([sheets[0], sheets[1], copy, *sheets[2:]]))
    yield Case("pages_with_empty_layer", tiff_of([*sheets, clear]))
    yield Case("pages_with_partial_layer", tiff_of([*sheets, replace(changed(copy, with_alpha(0.5)), extra=(2,))]))
    yield Case("pages_missing", tiff_of(sheets[:3]))
    yield Case("pages_one_only", tiff_of(sheets[:1]))
    yield Case("pages_moved", tiff_of([*sheets[:3], replace(sheets[3], tags={**sheets[3].tags, **_at(1, 0)})]))
    yield Case("pages_moved_all", tiff_of([replace(sheet, tags={**sheet.tags, **_at(3, 2)}) for sheet in sheets]))
    yield Case("pages_of_two_types", tiff_of([changed(sheets[0], halves), *sheets[1:]]))
    yield Case("pages_of_two_sizes", tiff_of([changed(sheets[0], lambda pixels: pixels[:4]), *sheets[1:]]))
    merged = np.concatenate([sheet.samples for sheet in sheets], axis=2)
    yield Case("pages_joined_as_rgba", tiff_of([replace(sheets[0], samples=merged, photometric=2, extra=(2,))]))
    for bits, form in (("f16", halves), ("u16", levels(16))):
        yield Case(f"pages_with_copy_{bits}", tiff_of([changed(sheet, form) for sheet in [*sheets, copy]]))


def resized() -> Cases:
    """Pages and rgba cropped and enlarged; mosaics and strips that cannot be; panels as pages."""
    seed = 3300
    cuts: dict[str, Change] = {
        "cropped": lambda pixels: pixels[2:6, 1:8],
        "cropped_odd": lambda pixels: pixels[:5, :3],
        "enlarged": lambda pixels: pixels.repeat(2, 0).repeat(3, 1),
        "one_row": lambda pixels: pixels[:1],
    }
    for (words, cut), layout in product(cuts.items(), (Layout.PAGES, Layout.RGBA, Layout.MOSAIC, Layout.STRIP)):
        seed += 1
        rides = beside(seed, (4, 8, 8)) if layout is not Layout.STRIP else {}
        made = embedding(seed) if layout is Layout.STRIP else latents(seed, layout=layout, state=State.PARTIAL, beside=rides)
        yield Case(f"size_{layout}_{words}", saved(file_of(made), cut))
        if layout in (Layout.PAGES, Layout.RGBA):
            yield Case(f"size_{layout}_{words}_f64", saved(file_of(made), cut, lambda pixels: pixels.astype("f8")))
    for size, share in product(((4, 8, 8), (16, 4, 4), (8, 4, 6), (1, 8, 8), (4, 1, 9)), (0, 3)):
        seed += 1
        whole = file_of(latents(seed, layout=Layout.MOSAIC, size=size))
        split = sheets_of(file_of(latents(seed, layout=Layout.PAGES, size=size)), ())
        first = sheets_of(whole)[0]
        panels = [replace(split[0], tags=first.tags), *split[1:]]
        yield Case(f"panels_c{size[0]}_{share}", tiff_of([changed(panel, painted(seed, share)) for panel in panels]))


def turned() -> Cases:
    """Mosaics mirrored and turned as a whole, painted a little or too much to tell."""
    turns: dict[str, Change] = {
        "mirrored": lambda p: p[:, ::-1],
        "flipped": lambda p: p[::-1],
        "half": lambda p: p[::-1, ::-1],
        "right": lambda p: np.rot90(p, -1),
        "left": lambda p: np.rot90(p),
        "diagonal": lambda p: p.transpose(1, 0, 2),
        "other_diagonal": lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    }
    forms: dict[str, Change] = {"f32": lambda p: p, "u16": levels(16), "f64": lambda p: p.astype("f8")}
    for seed, ((words, turn), (form, number)) in enumerate(product(turns.items(), forms.items()), 3400):
        share = (0, 0.05, 0.24, 0.26)[seed % 4]
        size = ((4, 8, 8), (4, 6, 8), (16, 4, 4))[seed % 3]
        whole = file_of(latents(seed, size=size, beside=beside(seed, size)))
        yield Case(f"turned_{words}_{form}_{share}", saved(whole, painted(seed, share), turn, number))
    for seed, side in enumerate((1, 2, 3, 4), 3450):
        yield Case(f"turned_small_{side}", saved(file_of(latents(seed, size=(4, side, side + 1))), lambda p: p[:, ::-1]))


def enlarged() -> Cases:
    """Mosaics enlarged by whole factors, each pixel repeated or interpolated, painted before and after."""
    for seed, (factor, share, number) in enumerate(product((2, 3, 4, 9), (0, 0.05, 0.6), ("f4", "f8", "u2")), 3500):
        whole = file_of(latents(seed, size=(4, 8, 8)))
        numbers: Change = levels(16) if number == "u2" else lambda p, number=number: p.astype(number)
        again: Change = lambda p, factor=factor: p.repeat(factor, 0).repeat(factor, 1)  # noqa: E731
        yield Case(f"enlarged_even_{factor}_{share}_{number}", saved(whole, painted(seed, share), again, numbers))
    for seed, (factor, share) in enumerate(product((2, 3, 4), (0, 3, 0.3)), 3560):
        whole = file_of(latents(seed, size=(4, 16, 16)))
        grow: Change = lambda p, factor=factor: _linear(p, factor)  # noqa: E731
        yield Case(f"enlarged_linear_{factor}_{share}", saved(whole, painted(seed, share), grow))
        yield Case(f"enlarged_linear_painted_after_{factor}_{share}", saved(whole, grow, painted(seed, share)))
    yield Case("enlarged_small", saved(file_of(latents(3590, size=(4, 4, 4))), lambda p: _linear(p, 2)))
    yield Case("enlarged_f16", saved(file_of(latents(3591, size=(4, 16, 16))), lambda p: _linear(p, 2), halves))


def _linear(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Bilinear interpolation, pixels being squares, the edges repeated."""
    for axis in (0, 1):
        count = pixels.shape[axis]
        places = (np.arange(count * factor) + 0.5) / factor - 0.5
        low = np.floor(places).astype(int)
        part = (places - low).reshape((-1, 1, 1) if axis == 0 else (1, -1, 1))
        wide = pixels.astype(np.float64)
        pixels = (1 - part) * wide.take(low.clip(0, count - 1), axis) + part * wide.take((low + 1).clip(0, count - 1), axis)
    return pixels.astype(np.float32)


def _made(seed: int, layout: Layout) -> Artifact:
    if layout is Layout.STRIP:
        return embedding(seed, rows=(9, 7), width=16)
    return latents(seed, layout=layout, beside=beside(seed, (4, 8, 8)) if seed % 4 == 0 else {})


def _over(
    made: Artifact,
    seed: int,
    alpha: float,
    place: tuple[int, int],
    size: tuple[int, int],
    *,
    unit: int = 2,
    per_unit: list[tuple[int, int]] | None = None,
) -> bytes:
    base = sheets_of(file_of(made))[0]
    patch = np.random.default_rng(seed).random((*size, 1)).astype(np.float32)
    right, down = place
    shift = max(0, -min(place))  # positions are never negative: the canvas lies further in
    per_unit = per_unit or [(72, 1)]
    first = replace(base, tags={**base.tags, **_at(shift, shift, per_unit, unit)} if shift else base.tags)
    over = Sheet(patch, tags=_at(right + shift, down + shift, per_unit, unit))
    return tiff_of([first, replace(changed(over, with_alpha(alpha)), extra=(2,))], Form(order="<>"[seed % 2]))


def _resolution(per_unit: list[tuple[int, int]], unit: int = 2):  # type: ignore[no-untyped-def]
    return {282: (RATIONAL, per_unit), 283: (RATIONAL, per_unit), 296: (3, [unit])}


def _at(right: float, down: float, per_unit: list[tuple[int, int]] | None = None, unit: int = 2):  # type: ignore[no-untyped-def]
    """The tags of a page that lies so many pixels to the right and down."""
    per_unit = per_unit or [(72, 1)]
    ((above, below),) = per_unit
    return {
        286: (RATIONAL, [(round(right * below * 1000), above * 1000)]),
        287: (RATIONAL, [(round(down * below * 1000), above * 1000)]),
        **_resolution(per_unit, unit),
    }


def _first_tags(sheets: list[Sheet], first: Sheet) -> list[Sheet]:
    """The tags that stand on the first page only, on the page that is first now."""
    once = {code: first.tags[code] for code in (65000, 65001) if code in first.tags}
    stripped = [replace(s, tags={k: v for k, v in s.tags.items() if k not in once}) for s in sheets]
    return [replace(stripped[0], tags={**stripped[0].tags, **once}), *stripped[1:]]
