"""Pictures of every depth and colour, as people drop them: with metadata or without, turned, transparent, compressed."""

from dataclasses import replace
from itertools import product

import numpy as np

from tests.agreement.originals import file_of, picture
from tests.agreement.saved import Case, Cases, saved, sheets_of
from tests.agreement.tiff import DEFLATE, LZW, PACKBITS, SHORT, Form, Sheet, tiff_of

DEPTHS = (1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 20, 23, 24, 25, 28, 31, 32)
MINISWHITE, GRAY, RGB, PALETTE, MASK, CMYK, YCBCR, LAB, ICCLAB = 0, 1, 2, 3, 4, 5, 6, 8, 9


def _whole(seed: int, bits: int, count: int, size: tuple[int, int] = (5, 7)) -> np.ndarray:
    """Numbers of so many bits, black and white among them, in the smallest type that holds them."""
    name = f"u{1 if bits <= 8 else 2 if bits <= 16 else 4}"
    made = np.random.default_rng(seed).integers(0, 2**bits, (*size, count)).astype(name)
    made[0, 0], made[-1, -1] = 0, 2**bits - 1
    return made


def depths() -> Cases:
    """1 to 32 bits, gray (either end white) and RGB, in either byte order."""
    seed = 5000
    for bits, photometric in product(DEPTHS, (MINISWHITE, GRAY, RGB)):
        seed += 1
        order = "<>"[seed % 2] if bits % 8 == 0 else "<"
        sheet = Sheet(_whole(seed, bits, 3 if photometric == RGB else 1), photometric, bits=bits)
        yield Case(f"depth{bits}_of{photometric}", tiff_of([sheet], Form(order=order)))
    for bits, order in product((1, 4, 8, 10, 12, 16, 24, 32), "<>"):
        seed += 1
        yield Case(f"depth{bits}_rgb", tiff_of([Sheet(_whole(seed, bits, 3), RGB, bits=bits)], Form(order=order)))
    for bits, codec in product((1, 8, 12, 16), (LZW, DEFLATE, PACKBITS)):
        seed += 1
        yield Case(f"depth{bits}_packed", tiff_of([Sheet(_whole(seed, bits, 1), GRAY, bits=bits)], Form(compression=codec, rows=2)))
    for bits in (8, 16):
        seed += 1
        form = Form(compression=DEFLATE, predictor=2, planar=True, tile=(16, 16))
        yield Case(f"depth{bits}_planar_tiles", tiff_of([Sheet(_whole(seed, bits, 3), RGB)], form))
    for bits in (33, 40, 48, 64):
        seed += 1
        yield Case(f"depth{bits}_too_deep", tiff_of([Sheet(_whole(seed, 32, 1).astype("u8"), GRAY, bits=bits)]))
    mixed = Sheet(_whole(seed, 8, 3), RGB, tags={258: (SHORT, [8, 8, 16])})
    yield Case("depth_mixed", tiff_of([mixed]))


def kinds_of_numbers() -> Cases:
    """Floats of all sizes, signed whole numbers, and what is beyond the limits."""
    seed = 5200
    for name, count in product(("f2", "f4", "f8"), (1, 3)):
        seed += 1
        made = (np.random.default_rng(seed).standard_normal((5, 7, count)) / 3 + 0.5).astype(name)
        yield Case(f"floats_{name}", tiff_of([Sheet(made, RGB if count == 3 else GRAY)], Form(order="<>"[seed % 2])))
        yield Case(f"floats_{name}_white0", tiff_of([Sheet(made[..., :1], MINISWHITE)]))
    for name, count in product(("i1", "i2", "i4", "i8"), (1, 3)):
        seed += 1
        made = np.random.default_rng(seed).integers(-100, 100, (5, 7, count)).astype(name)
        yield Case(f"signed_{name}", tiff_of([Sheet(made, RGB if count == 3 else GRAY)]))
        yield Case(f"signed_{name}_described", _described(seed, made if count == 3 else made.repeat(3, 2)))
    for words, number in {"nan": np.nan, "infinity": np.inf, "at_limit": 1000, "beyond": 1000.1, "below": -1001}.items():
        seed += 1
        made = np.random.default_rng(seed).random((5, 7, 3)).astype("f4")
        made[2, 3, 1] = number
        yield Case(f"floats_{words}", tiff_of([Sheet(made, RGB)]))
        if words in ("at_limit", "beyond"):
            yield Case(f"floats_f8_{words}", tiff_of([Sheet(made.astype("f8"), RGB)]))
    wide = np.random.default_rng(seed).random((5, 7, 3)) * 4e39
    yield Case("floats_f8_above_float32", tiff_of([Sheet(wide, RGB)]))
    for words, described in (("f4", "f4"), ("f2", "f2"), ("f8", "f8"), ("u2", "u2"), ("u1", "u1")):
        seed += 1
        made = np.random.default_rng(seed).random((5, 7, 3))
        numbers = made.astype(described) if described[0] == "f" else (made * np.iinfo(described).max).astype(described)
        yield Case(f"came_back_as_{words}", _described(seed, numbers))
        yield Case(f"came_back_as_{words}_of_half", _described(seed, numbers, dtype=np.float16))
        yield Case(f"came_back_as_{words}_cropped", _described(seed, numbers[1:4, 2:6]))
        yield Case(f"came_back_as_{words}_gray", _described(seed, numbers[..., :1]))


def colours() -> Cases:
    """Palettes, CMYK, Lab and what is not read, with alpha and without."""
    seed = 5400
    rng = np.random.default_rng(seed)
    for bits, kind in product((1, 2, 4, 8), ("16", "upper", "lower")):
        seed += 1
        table = rng.integers(0, 65536, 3 * 2**bits)
        table = table if kind == "16" else table // 256 * 256 if kind == "upper" else table // 256
        table[-1] = {"16": 65535, "upper": 65280, "lower": 255}[kind]
        sheet = Sheet(_whole(seed, bits, 1), PALETTE, bits=bits, tags={320: (SHORT, table.tolist())})
        yield Case(f"palette{bits}_{kind}", tiff_of([sheet], Form(order="<>"[seed % 2])))
    yield Case("palette_missing", tiff_of([Sheet(_whole(seed, 8, 1), PALETTE)]))
    short = Sheet(_whole(seed, 8, 1), PALETTE, tags={320: (SHORT, [0, 1, 2] * 16)})
    yield Case("palette_short", tiff_of([short]))
    with_alpha = Sheet(_whole(seed, 8, 2), PALETTE, extra=(2,), tags={320: (SHORT, rng.integers(0, 65536, 768).tolist())})
    yield Case("palette_alpha", tiff_of([with_alpha]))
    for bits, count in product((8, 16, 32), (3, 4, 5, 6)):
        seed += 1
        sheet = Sheet(_whole(seed, bits, count), CMYK, extra=() if count <= 4 else (2,) * (count - 4), tags={332: (SHORT, [1])})
        yield Case(f"cmyk{bits}_{count}", tiff_of([sheet]))
    for bits, kind in product((8, 16, 12, 32), (LAB, ICCLAB)):
        seed += 1
        yield Case(f"lab{kind}_{bits}", tiff_of([Sheet(_whole(seed, bits, 3), kind, bits=bits)]))
    for photometric in (MASK, YCBCR, 10, 32803, 32844, 32845, 34892, 40000):
        seed += 1
        yield Case(f"colours_{photometric}", tiff_of([Sheet(_whole(seed, 8, 1 if photometric in (4, 32803) else 3), photometric)]))
    for count, photometric in ((2, GRAY), (4, GRAY), (5, RGB), (6, RGB), (2, MINISWHITE)):
        seed += 1
        yield Case(f"colours_{count}_of_{photometric}", tiff_of([Sheet(_whole(seed, 8, count), photometric)]))


def transparent() -> Cases:
    """Alpha of all meanings beside gray, RGB and inks, whole, partial and none; and pictures turned by their Orientation."""
    seed = 5600
    for (name, full), count, meaning, alpha in product(
        (("u1", 255), ("u2", 65535), ("f4", 1), ("f2", 1)), (1, 3), (0, 1, 2), ("opaque", "partial", "clear")
    ):
        seed += 1
        rng = np.random.default_rng(seed)
        made = (rng.random((5, 7, count + 1)) * full).astype(name)
        made[..., -1] = {"opaque": full, "clear": 0}.get(alpha, made[..., -1])
        sheet = Sheet(made, RGB if count == 3 else GRAY, extra=(meaning,))
        yield Case(f"alpha{meaning}_{name}_{count}_{alpha}", tiff_of([sheet]))
    for meaning in (0, 1, 2):
        yield Case(f"alpha{meaning}_white0", tiff_of([Sheet(_whole(seed, 8, 2), MINISWHITE, extra=(meaning,))]))
        yield Case(f"alpha{meaning}_12_bits", tiff_of([Sheet(_whole(seed, 12, 4), RGB, bits=12, extra=(meaning,))]))
    for orientation, count in product((*range(10), 255), (1, 3)):
        seed += 1
        sheet = Sheet(_whole(seed, 8, count), RGB if count == 3 else GRAY, tags={274: (SHORT, [orientation])})
        yield Case(f"orientation{orientation}", tiff_of([sheet], Form(order="<>"[seed % 2])))
    for orientation in (3, 6, 8):
        seed += 1
        sheets = sheets_of(file_of(picture(seed)))
        turned = [replace(sheet, tags={**sheet.tags, 274: (SHORT, [orientation])}) for sheet in sheets]
        yield Case(f"orientation{orientation}_described", tiff_of(turned))


def more_pages() -> Cases:
    """Pictures of several pages, with thumbnails and masks."""
    page = Sheet(_whole(5900, 8, 3), RGB)
    small = replace(page, samples=page.samples[:2, :3], tags={254: (4, [1])})
    yield Case("pages_two_of_a_picture", tiff_of([page, page]))
    yield Case("pages_thumbnail_behind", tiff_of([page, small]))
    yield Case("pages_thumbnail_before", tiff_of([small, page]))
    yield Case("pages_mask_behind", tiff_of([page, replace(small, tags={254: (4, [4])})]))
    yield Case("pages_second_of_many", tiff_of([page, replace(small, tags={254: (4, [2])})]))
    yield Case("pages_only_thumbnail", tiff_of([small]))
    for seed in range(5910, 5914):
        whole = file_of(picture(seed))
        yield Case("picture_saved_again", saved(whole, form=Form(order=">", big=seed % 2 == 0, compression=DEFLATE, predictor=3)))


def _described(seed: int, samples: np.ndarray, dtype: type = np.float32) -> bytes:
    """A picture of tiffsd that came back with these samples."""
    first = sheets_of(file_of(picture(seed, size=(5, 7), dtype=dtype)))[0]
    return tiff_of([replace(first, samples=samples, photometric=RGB if samples.shape[2] == 3 else GRAY)])
