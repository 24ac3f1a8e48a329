"""Files as written, and canvases in every form of numbers: unpainted, painted here and there, at the very bounds of the rule."""

from itertools import product

import numpy as np

from tests.agreement.originals import beside, embedding, file_of, latents, picture
from tests.agreement.saved import (
    ALL,
    Case,
    Cases,
    Change,
    as_rgb,
    changed,
    doubles,
    halves,
    levels,
    on_grid,
    painted,
    photoshop,
    saved,
    sheets_of,
    signed,
    with_alpha,
)
from tests.agreement.tiff import DEFLATE, LZMA, LZW, NONE, PACKBITS, ZSTD, Form, tiff_of
from tiffsd import Layout, State

MAPPED = (Layout.MOSAIC, Layout.PAGES)
CHANNELS = (1, 2, 3, 4, 5, 6, 8, 12, 16, 32, 128)
SIGMAS = (None, 0.0, 0.1, 1.0, 2.5, 14.6146, 1000.0, 1e6)

NUMBERS: dict[str, Change] = {
    "f32": lambda pixels: pixels,
    "f64": doubles,
    "f16": halves,
    "u16": levels(16),
    "u16-cut-down": levels(16, down=True),
    "u32": levels(32),
    "u32-cut-down": levels(32, down=True),
    "photoshop": photoshop,
    "grid-f32": on_grid("f4"),
    "grid-f64": on_grid("f8"),
}
REFUSED: dict[str, Change] = {
    "u8": levels(8),
    "i8": signed(8),
    "i16": signed(16),
    "i32": signed(32),
    "u64": lambda pixels: levels(32)(pixels).astype(np.uint64),
    "nan": lambda pixels: np.where(np.arange(pixels.size).reshape(pixels.shape) == 5, np.nan, pixels),
    "infinity": lambda pixels: np.where(np.arange(pixels.size).reshape(pixels.shape) == 5, -np.inf, pixels),
    "beyond": lambda pixels: np.where(np.arange(pixels.size).reshape(pixels.shape) == 5, 100001, pixels).astype("f4"),
}


def as_written() -> Cases:
    """Every kind, layout, state, number of channels and sigma, as tiffsd writes it."""
    seed = 100
    for channels, layout in product(CHANNELS, (*MAPPED, Layout.RGBA)):
        if layout is Layout.RGBA and channels != 4:
            continue
        seed += 1
        state = (State.NOISE, State.FINAL, None)[seed % 3]
        size = (channels, 1 + seed % 5, 1 + seed % 7)
        yield Case(f"written_{layout}_c{channels}", file_of(latents(seed, layout=layout, size=size, state=state)))
    for sigma, layout in product(SIGMAS, (*MAPPED, Layout.RGBA)):
        seed += 1
        made = latents(seed, layout=layout, size=(4, 4, 6), state=State.PARTIAL, sigma=sigma, beside=beside(seed, (4, 4, 6)))
        yield Case(f"written_{layout}_partial", file_of(made))
    for rows, width in product(((5, 5), (7, 0), (0, 3), (77, 77), (4, 9)), (1, 16, 32)):
        seed += 1
        yield Case(f"written_strip_{rows[0]}+{rows[1]}", file_of(embedding(seed, rows=rows, width=width, spread=1 + seed % 40)))
    for size, dtype in product(((1, 1), (7, 9), (16, 5)), (np.float32, np.float16)):
        seed += 1
        yield Case(f"written_rgb_{np.dtype(dtype).name}", file_of(picture(seed, size=size, dtype=dtype)))


def numbers() -> Cases:
    """Canvases in every form of numbers, none of their values painted or some or most or all."""
    seed = 1000
    for (words, change), layout in product(NUMBERS.items(), (*MAPPED, Layout.STRIP)):
        for share in (0, 1.5, 0.1, 0.6, 1):
            seed += 1
            sigma = SIGMAS[seed % 4]
            state = State.FINAL if sigma is None else State.PARTIAL
            rides = beside(seed, (4, 8, 8)) if seed % 3 == 0 else {}
            made = embedding(seed) if layout is Layout.STRIP else latents(
                seed, layout=layout, state=state, sigma=sigma, beside=rides, spread=(0.5, 1, 2)[seed % 3]
            )  # fmt: skip
            order = (painted(seed, share), change) if seed % 2 else (change, _levels_painted(seed, share))
            yield Case(f"numbers_{layout}_{words}_{share}", saved(file_of(made), *order))
    for words, change in (*NUMBERS.items(), *REFUSED.items()):
        seed += 1
        yield Case(f"numbers_rgba_{words}", saved(file_of(latents(seed, layout=Layout.RGBA, spread=0.3)), change))
    for (words, change), layout in product(REFUSED.items(), (*MAPPED, Layout.STRIP)):
        seed += 1
        made = embedding(seed) if layout is Layout.STRIP else latents(seed, layout=layout)
        yield Case(f"numbers_{layout}_{words}", saved(file_of(made), change))


def clipped() -> Cases:
    """Floats that an editor clipped to 0..1, of little and much beyond; and rgba that it emptied or cut."""
    seed = 1500
    for share, layout in product((0.005, 0.0099, 0.0101, 0.05, 0.5), (*MAPPED, Layout.RGBA)):
        seed += 1
        rng = np.random.default_rng(seed)
        tensor = rng.uniform(0.05, 0.9, (4, 16, 16)).astype(np.float32)
        outside = rng.permutation(tensor.size)[: round(share * tensor.size)]
        tensor.reshape(-1)[outside] = rng.choice([-6, 6], len(outside))
        whole = file_of(latents(seed, layout=layout, tensor=tensor))
        yield Case(f"clipped_{layout}_{share}", saved(whole, lambda pixels: pixels.clip(0, 1)))
        yield Case(f"clipped_f64_{layout}_{share}", saved(whole, lambda pixels: pixels.clip(0, 1).astype("f8")))
        yield Case(f"clipped_but_one_{layout}_{share}", saved(whole, lambda pixels: pixels.clip(0, 1), _but_one))
    for share in (0.04, 0.06, 0.3):
        seed += 1
        flat = np.random.default_rng(seed).uniform(0.1, 0.9, (4, 16, 16)).astype(np.float32)
        places = np.random.default_rng(seed).permutation(flat.size)
        count = round(share * flat.size)
        flat.reshape(-1)[places[:count]], flat.reshape(-1)[places[count : 2 * count]] = 0, 1
        whole = file_of(latents(seed, layout=Layout.RGBA, tensor=flat))
        yield Case(f"cut_rgba_{share}", saved(whole, keep=(270, 34675)))
        yield Case(f"cut_rgba_exact_{share}", whole)
    yield from _emptied()


def _emptied() -> Cases:
    for seed, (count, erased) in enumerate(product((1, 6, 40), (False, True)), 1600):
        tensor = np.random.default_rng(seed).standard_normal((4, 16, 16)).astype(np.float32)
        whole = file_of(latents(seed, layout=Layout.RGBA, tensor=tensor))

        def empty(pixels: np.ndarray, count: int = count, erased: bool = erased) -> np.ndarray:
            pixels = pixels.copy()
            rows, columns = np.nonzero(np.ones((16, 16)) if erased else pixels[..., 3] <= 0)
            pixels[rows[:count], columns[:count]] = 0
            return pixels

        yield Case(f"emptied_rgba_{count}_{'erased' if erased else 'transparent'}", saved(whole, empty))


def bounds() -> Cases:
    """Pixels exactly at t, and a step of their type above and below; levels around halves; grids that are almost such."""
    for seed, (name, layout) in enumerate(product(("f4", "f8", "f2"), (*MAPPED, Layout.STRIP, Layout.RGBA)), 1700):
        for spread in (0.5, 6.0):
            made = embedding(seed, spread=spread) if layout is Layout.STRIP else latents(seed, layout=layout, spread=spread)
            yield Case(f"bounds_{layout}_{name}", saved(file_of(made), _at_the_bound(name, seed)))
    for seed, (bits, layout) in enumerate(product((16, 32), (*MAPPED, Layout.STRIP)), 1800):
        for shift in (-1, 0, 1, 2):
            made = embedding(seed) if layout is Layout.STRIP else latents(seed, layout=layout, spread=1.5)
            yield Case(f"bounds_{layout}_u{bits}_{shift:+d}", saved(file_of(made), _shifted_levels(bits, shift)))
    for seed, off in enumerate((0, 2**-24, 2**-25, 0.004, 0.009, 0.0099, 0.0101, 0.011, 0.05, 0.4), 1900):
        for name, count in product(("f4", "f8"), (1, 99999)):
            made = latents(seed, layout=MAPPED[seed % 2], spread=0.6)
            yield Case(f"bounds_grid_off_{off:g}", saved(file_of(made), painted(seed, 3), on_grid("f8"), _off(off, name, count)))
    for seed, shift in enumerate((-2, -1, 0, 1, 2), 1950):
        made = latents(seed, layout=MAPPED[seed % 2], spread=1.5, size=(4, 16, 16))
        yield Case(f"bounds_photoshop_{shift:+d}", saved(file_of(made), _shifted_photoshop(shift)))
    yield from _halves_between()


def _halves_between() -> Cases:
    """Exact values whose pixels lie half way between two levels, or a float32 beside; and double rounding."""
    for seed, (bits, down) in enumerate(product((16, 32), (False, True)), 1960):
        k = np.random.default_rng(seed).integers(0, 65535, (4, 8, 8))
        middle = ((k + 0.5) / 65535).astype(np.float32)
        middle = np.nextafter(middle, np.float32([-1, 2, 0.5])[seed % 3])
        made = latents(seed, tensor=((middle.astype(float) - 0.5) * 8).astype(np.float32))
        yield Case(f"halves_u{bits}{'-cut-down' if down else ''}", saved(file_of(made), levels(bits, down=down)))
    for seed, sigma in enumerate((None, 1.0, 2.5, 14.6146), 1970):
        state = State.FINAL if sigma is None else State.PARTIAL
        whole = file_of(latents(seed, state=state, sigma=sigma, size=(4, 16, 16)))
        for layout_words, change in (("f64", _fine(seed)), ("u16", levels(16)), ("u32", levels(32)), ("u32", _any_levels(seed))):
            bare = (270, 34675)  # without exact tensors all values are those of the canvas
            yield Case(f"values_of_{layout_words}", saved(whole, change, keep=bare))
        yield Case("values_of_f64_painted", saved(whole, _fine(seed)))


def codings() -> Cases:
    """Every byte order, size, codec, predictor and cut of the pixels."""
    seed = 2000
    codecs = (NONE, LZW, DEFLATE, PACKBITS, LZMA, ZSTD, 32946)
    cuts = ({}, {"rows": 3}, {"tile": (16, 16)})
    names = ("f4", "f4", "f2", "f8", "u2", "u4")
    for order, big, codec, cut, predictor in product("<>", (False, True), codecs, cuts, (1, 2, 3)):
        seed += 1
        if (codec == NONE and predictor != 1) or (seed % 2 and predictor == 1 and codec != NONE):
            continue
        name = "f4" if predictor == 3 and seed % 3 else names[seed % 6] if predictor != 3 else ("f8", "f2")[seed % 2]
        change = {"f2": halves, "f8": doubles, "u2": levels(16), "u4": levels(32), "f4": NUMBERS["f32"]}[name]
        layout = (Layout.MOSAIC, Layout.PAGES, Layout.STRIP)[seed % 3]
        made = embedding(seed) if layout is Layout.STRIP else latents(seed, layout=layout)
        form = Form(order=order, big=big, compression=codec, predictor=predictor, **cut)
        yield Case(f"coded_{layout}_{name}_{codec}_p{predictor}", saved(file_of(made), painted(seed, 3), change, form=form))
    for order, codec, cut in product("<>", (NONE, DEFLATE), cuts):
        seed += 1
        form = Form(order=order, compression=codec, planar=True, **cut)
        yield Case(f"coded_planar_rgba_{codec}", saved(file_of(latents(seed, layout=Layout.RGBA)), painted(seed, 3), form=form))
        form = Form(order=order, compression=codec, predictor=3 if codec != NONE else 1, planar=True, **cut)
        yield Case(f"coded_planar_rgb_{codec}", saved(file_of(picture(seed)), form=form))
        yield Case(f"coded_planar_gray_as_rgb_{codec}", saved(file_of(latents(seed)), as_rgb, form=form))


def disguised() -> Cases:
    """Gray with alpha, opaque or not; gray made RGB; colours; the meanings of a further sample."""
    seed = 2500
    for layout, meaning, value in product((*MAPPED, Layout.STRIP), (0, 1, 2), (1.0, 0.5, 0.0)):
        seed += 1
        made = embedding(seed) if layout is Layout.STRIP else latents(seed, layout=layout)
        name, form = (("f32", NUMBERS["f32"]), ("u16", levels(16)), ("f16", halves))[seed % 3]
        case = _with(file_of(made), painted(seed, 3), form, with_alpha(value), extra=(meaning,))
        yield Case(f"alpha{meaning}_{layout}_{name}_{value}", case)
    for layout, meaning in product((*MAPPED, Layout.STRIP), (0, 1, 2)):
        seed += 1
        made = embedding(seed) if layout is Layout.STRIP else latents(seed, layout=layout)
        yield Case(f"rgb_gray_{layout}", _with(file_of(made), painted(seed, 3), as_rgb, extra=()))
        for value in (1.0, 0.5):
            yield Case(f"rgba_gray_{layout}_{meaning}_{value}", _with(file_of(made), as_rgb, with_alpha(value), extra=(meaning,)))
        yield Case(f"rgb_coloured_{layout}", _with(file_of(made), as_rgb, _reddened, extra=()))
        yield Case(f"patchy_alpha{meaning}_{layout}", _with(file_of(made), with_alpha(), _patchy, extra=(meaning,)))
    for meaning, seed in product((0, 1, 2), range(2600, 2603)):
        whole = file_of(latents(seed, layout=Layout.RGBA))
        yield Case(f"rgba_extra{meaning}", _with(whole, painted(seed, 2), extra=(meaning,)))
    for orientation, layout in product(range(1, 9), (*MAPPED, Layout.STRIP, Layout.RGBA)):
        made = embedding(orientation) if layout is Layout.STRIP else latents(orientation, layout=layout)
        sheets = [_marked(sheet, 274, orientation) for sheet in sheets_of(file_of(made), ALL)]
        if orientation in (1, 3, 6, 8):
            yield Case(f"orientation{orientation}_{layout}", tiff_of(sheets))


def _marked(sheet, code, number):  # type: ignore[no-untyped-def]
    return type(sheet)(**{**vars(sheet), "tags": {**sheet.tags, code: (3, [number])}})


def _with(data: bytes, *changes: Change, extra: tuple[int, ...]) -> bytes:
    sheets = [changed(sheet, *changes) for sheet in sheets_of(data)]
    count = sheets[0].samples.shape[2]
    photometric = 2 if count > 2 else 1
    extra = extra if count in (2, 4) else ()
    return tiff_of([type(sheet)(**{**vars(sheet), "extra": extra, "photometric": photometric}) for sheet in sheets])


def _reddened(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.copy()
    pixels[1, 2, 0] += 0.25
    return pixels


def _patchy(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.copy()
    pixels[:2, :3, -1] = 0
    return pixels


def _but_one(pixels: np.ndarray) -> np.ndarray:
    pixels = pixels.copy()
    pixels[0, 0] = 1.25
    return pixels


def _levels_painted(seed: int, share: float) -> Change:
    """Painted after the numbers were made, so with any level there is."""
    rng = np.random.default_rng(seed)

    def change(pixels: np.ndarray) -> np.ndarray:
        if pixels.dtype.kind == "f":
            return painted(seed, share)(pixels)
        pixels = pixels.copy()
        flat = pixels.reshape(-1)
        places = rng.permutation(flat.size)[: round(share * flat.size) if share <= 1 else int(share)]
        flat[places] = rng.integers(0, 2 ** (8 * pixels.itemsize), len(places), pixels.dtype)
        return flat.reshape(pixels.shape)

    return change


def _at_the_bound(name: str, seed: int) -> Change:
    """e + t and e - t, as well as the type has them, and its numbers around these."""
    rng = np.random.default_rng(seed)

    def change(pixels: np.ndarray) -> np.ndarray:
        e = pixels.astype(np.float64)
        t = 2.0**-20 * np.maximum(1, np.abs(e)) + (2.0**-11 * np.abs(e) if name == "f2" else 0)
        found = (e + rng.choice([-1, 1], e.shape) * t).astype(name)
        for _ in range(3):
            step = rng.integers(-1, 2, e.shape)
            found = np.where(step == 0, found, np.nextafter(found, (step * 60000).astype(name)))
        return found

    return change


def _shifted_levels(bits: int, shift: int) -> Change:
    full = 2**bits - 1
    one = 1 if bits == 16 else 2**15

    def change(pixels: np.ndarray) -> np.ndarray:
        whole = np.floor(pixels.astype(np.float64).clip(0, 1) * full) + shift * one
        return whole.clip(0, full).astype(f"u{bits // 8}")

    return change


def _shifted_photoshop(shift: int) -> Change:
    return lambda pixels: np.minimum(
        2 * (np.floor(pixels.astype(np.float64).clip(0, 1) * 32768) + shift).clip(0, 32768), 65535
    ).astype(np.uint16)


def _off(off: float, name: str, count: int) -> Change:
    """So many pixels off the grid by a part of its step."""

    def change(pixels: np.ndarray) -> np.ndarray:
        flat = pixels.reshape(-1).copy()
        inside = np.flatnonzero((flat > 0.01) & (flat < 0.99))[:count]
        flat[inside] += off / 65535
        return flat.reshape(pixels.shape).astype(name)

    return change


def _fine(seed: int) -> Change:
    """Numbers of float64 between those of float32."""
    rng = np.random.default_rng(seed)
    return lambda pixels: pixels.astype(np.float64) * (1 + rng.uniform(-1, 1, pixels.shape) * 2.0**-10)


def _any_levels(seed: int) -> Change:
    rng = np.random.default_rng(seed)
    return lambda pixels: rng.integers(0, 2**32, pixels.shape, np.uint32)
