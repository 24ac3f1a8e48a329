"""Canvases in every form of numbers that editors save: each value is what section 6 of the specification says, rounded once."""

import io
from typing import Any

import numpy as np
import pytest

import tiffsd
from tests.agreement.curved import curv, icc, para, power, to_srgb
from tests.agreement.originals import embedding, file_of, latents
from tests.agreement.saved import (
    Change,
    blob,
    changed,
    doubles,
    essentials,
    levels,
    on_grid,
    painted,
    photoshop,
    saved,
    sheets_of,
    tagged,
    text,
)
from tests.agreement.tiff import Sheet, tiff_of
from tiffsd import Artifact, Kind, Layout

BARE = (270,)  # without exact tensors all values are those of the canvas
T = 2.0**-20


def read(data: bytes, **options: Any) -> Artifact:
    return tiffsd.read(io.BytesIO(data), **options)


def as_stored(pixels: np.ndarray) -> Change:
    """A canvas with these pixels (H, W) in place of those that were there."""
    return lambda _: pixels[..., np.newaxis]


@pytest.mark.parametrize("bits", [16, 32])
def test_each_level_of_whole_numbers_is_divided_and_rounded_once(bits: int) -> None:
    made = np.arange(2**16, dtype=np.uint64).reshape(256, 256) * (1 if bits == 16 else 65_521) + (bits == 32)
    head = file_of(latents(1, size=(4, 128, 128)))
    found = read(saved(head, as_stored(made.astype(f"u{bits // 8}")), keep=BARE)).tensors["latents"]
    wanted = ((made.astype(np.float64) / (2**bits - 1) - 0.5) * 8).astype(np.float32)
    np.testing.assert_array_equal(np.block([[found[0], found[1]], [found[2], found[3]]]), wanted)


@pytest.mark.parametrize("sigma", [None, 14.6146])
def test_a_canvas_of_doubles_is_not_rounded_to_singles_first(sigma: float | None) -> None:
    pixels = np.random.default_rng(2).uniform(-0.5, 1.5, (32, 32))
    head = file_of(latents(2, size=(4, 16, 16), sigma=sigma))
    found = read(saved(head, as_stored(pixels), keep=BARE)).tensors["latents"]
    f = np.sqrt((sigma or 0.0) ** 2 + 1)
    wanted = ((pixels - 0.5) * 8 * f).astype(np.float32)
    np.testing.assert_allclose(found[0], wanted[:16, :16], rtol=2e-7)
    assert np.count_nonzero(found[0] != wanted[:16, :16]) <= 3, "but for the order of two factors"
    twice = ((pixels.astype(np.float32).astype(np.float64) - 0.5) * 8 * f).astype(np.float32)
    assert np.count_nonzero(twice != wanted) > 300, "it can be told"


@pytest.mark.parametrize("steps", [-2, -1, 1, 2])
def test_the_threshold_is_met_to_the_last_bit_of_a_double(steps: int) -> None:
    original = latents(3, size=(4, 8, 8), spread=0.4)
    (sheet,) = sheets_of(file_of(original))
    e = sheet.samples.astype(np.float64)
    assert e.min() > 0.01
    assert e.max() < 0.99
    bound = e + np.sign(steps) * T
    for _ in range(abs(steps) - 1):
        bound = np.nextafter(bound, np.sign(steps) * np.inf)
    inside = np.abs(bound - e) <= T
    found = read(tiff_of([changed(sheet, lambda _: bound)]))
    assert found.painted == np.count_nonzero(~inside)
    assert abs(steps) == 1 or found.painted > 100


@pytest.mark.parametrize(("off", "on"), [(0.0, True), (0.0099, True), (0.0101, False), (0.1, False)])
def test_floats_are_levels_within_a_hundredth_of_a_step(off: float, on: bool) -> None:
    def moved(pixels: np.ndarray) -> np.ndarray:
        pixels = pixels.copy()
        pixels[0, 0] += off / 65535
        return pixels

    found = read(saved(file_of(latents(4, spread=0.4)), on_grid("f8"), moved))
    assert (found.painted == 0) == on
    assert found.painted == 0 or found.painted > 100, "one pixel beside the levels says that they are none"


@pytest.mark.parametrize("count", [0, 5])
@pytest.mark.parametrize("layout", [Layout.MOSAIC, Layout.STRIP])
def test_levels_that_an_editor_cut_down_are_no_painting(layout: Layout, count: int) -> None:
    original = embedding(5) if layout is Layout.STRIP else latents(5)
    found = read(saved(file_of(original), painted(5, count), levels(16, down=True)))
    assert found.painted == count
    untouched = [
        np.count_nonzero(found.tensors[k] == original.tensors[k]) for k in found.tensors if k in ("latents", "prompt_embeds")
    ]
    assert untouched[0] >= original.tensors["latents" if layout is Layout.MOSAIC else "prompt_embeds"].size - count


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (levels(16), "16-bit steps, so painted values are rounded to 1.2e-04"),
        (levels(32), "32-bit steps, so painted values are rounded to 1.9e-09"),
        (lambda pixels: levels(16)(pixels).astype(np.uint32) * 65537, "16-bit steps"),
        (photoshop, "15-bit steps, so painted values are rounded to 2.4e-04"),
        (on_grid("f4"), "16-bit steps"),
    ],
)
def test_the_steps_that_are_said_are_those_of_the_file(change: Change, words: str) -> None:
    (note,) = read(saved(file_of(latents(6)), painted(6, 3), change)).notes
    assert words in note


@pytest.mark.parametrize("name", ["uint8", "uint16", "uint32", "int16"])
def test_two_pages_of_whole_numbers_are_no_embedding_in_plain_values(name: str) -> None:
    pages = [Sheet(np.full((77, 260, 1), 3, name))] * 2
    with pytest.raises(tiffsd.BadValues, match=r"whole numbers, and embeddings .*raw layout must be floats"):
        read(tiff_of(pages), expect=Kind.EMBEDDING)


@pytest.mark.parametrize("bits", [8, 16, 32])
@pytest.mark.parametrize("samples", [1, 3])
def test_a_picture_of_signed_numbers_is_refused(bits: int, samples: int) -> None:
    page = Sheet(np.full((5, 7, samples), 3, f"i{bits // 8}"), 2 if samples == 3 else 1)
    with pytest.raises(tiffsd.BadValues, match=f"signed numbers of {bits} bits, of which nothing says what black and white are"):
        read(tiff_of([page]), expect=Kind.PICTURE)


@pytest.mark.parametrize("name", ["f2", "f4", "f8", "u1", "u2", "u4"])
def test_a_picture_comes_back_as_float32_whatever_the_file_holds(name: str) -> None:
    made = np.random.default_rng(7).random((5, 7, 3))
    made = made.astype(name) if name[0] == "f" else (made * np.iinfo(name).max).astype(name)
    full = 1 if name[0] == "f" else np.iinfo(name).max
    found = read(tiff_of([Sheet(made, 2)]), expect=Kind.PICTURE).tensors["picture"]
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, (made.astype(np.float64) / full).astype(np.float32))


def test_a_pixel_beyond_the_limit_by_less_than_a_single_tells_is_beyond_it() -> None:
    for photometric, pixels, kind in ((2, np.full((4, 4, 3), 0.5), Kind.PICTURE), (1, np.full((4, 4, 1), 0.5), Kind.LATENTS)):
        for last, refused in ((1000.0, False), (1000.00001, True)):
            pixels[1, 1, 0] = last
            data = tiff_of([Sheet(pixels, photometric)])
            if refused:
                with pytest.raises(tiffsd.BadValues, match="pixels from"):
                    read(data, expect=kind)
            else:
                read(data, expect=kind)


# Alpha, saved selections, inks


@pytest.mark.parametrize(("extra", "shown"), [((2,), True), ((), True), ((0,), False)])
@pytest.mark.parametrize("name", ["u1", "u2", "f4"])
def test_a_picture_is_laid_on_white_by_its_alpha_and_not_by_a_selection(extra: tuple[int, ...], shown: bool, name: str) -> None:
    made = np.random.default_rng(8).random((5, 7, 4))
    made = made.astype(name) if name == "f4" else (made * np.iinfo(name).max).astype(name)
    unit = (made.astype(np.float64) / (1 if name == "f4" else np.iinfo(name).max)).astype(np.float32).astype(np.float64)
    found = read(tiff_of([Sheet(made, 2, extra=extra)]), expect=Kind.PICTURE)
    alpha = unit[..., 3:] if shown else 1
    np.testing.assert_array_equal(found.tensors["picture"], (alpha * unit[..., :3] + (1 - alpha)).astype(np.float32))
    assert found.notes == (("transparent parts were laid on white",) if shown else (
        "a saved selection lies beside the colours and was left out",))  # fmt: skip


def test_what_is_transparent_in_inks_is_paper() -> None:
    made = np.random.default_rng(9).integers(0, 256, (5, 7, 5), np.uint8)
    made[..., 4] = 0
    assert (read(tiff_of([Sheet(made, 5, extra=(2,))]), expect=Kind.PICTURE).tensors["picture"] == 1).all()


def test_inks_and_grays_from_white_are_rounded_once() -> None:
    made = np.random.default_rng(10).integers(0, 256, (32, 32, 4), np.uint8)
    paper = 1 - made.astype(np.float64) / 255
    found = read(tiff_of([Sheet(made, 5)]), expect=Kind.PICTURE).tensors["picture"]
    np.testing.assert_array_equal(found, (paper[..., :3] * paper[..., 3:]).astype(np.float32))
    gray = read(tiff_of([Sheet(made[..., :1], 0)]), expect=Kind.PICTURE).tensors["picture"]
    np.testing.assert_array_equal(gray[..., 0], ((255 - made[..., 0].astype(np.float64)) / 255).astype(np.float32))


# Curves


def curved(original: Artifact, curve: bytes, share: float, *changes: Change) -> bytes:
    (sheet,) = sheets_of(file_of(original))
    return tiff_of([changed(tagged(sheet, profile=icc({b"kTRC": curve})), painted(11, share), *changes)])


SRGB = para(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


@pytest.mark.parametrize("share", [0.3, 0.6, 0.85])
def test_linear_pixels_under_a_profile_of_gamma_may_be_painted_over_more_than_half(share: float) -> None:
    original = latents(11, size=(4, 10, 10), spread=0.6)
    found = read(curved(original, SRGB, share))
    assert found.painted == round(share * 400)


def test_what_is_painted_nearly_everywhere_under_a_profile_of_gamma_is_refused() -> None:
    with pytest.raises(tiffsd.BadValues, match="another tone curve"):
        read(curved(latents(11, spread=0.6), SRGB, 0.95))


@pytest.mark.parametrize("change", [lambda v: v.astype("f4"), doubles, levels(16)], ids=["f4", "f8", "u16"])
def test_an_embedding_in_gamma_is_read_by_whichever_curve_explains_it(change: Change) -> None:
    original = embedding(12, spread=0.5)
    for bend in (to_srgb, lambda p: p):
        assert read(curved(original, SRGB, 3, bend, change)).painted == 3


def test_a_table_that_rounds_a_power_is_that_power() -> None:
    table = curv(*np.rint(65535 * np.linspace(0, 1, 256) ** 1.8).astype(int))
    assert read(curved(latents(13, spread=0.6), table, 4, power(1.8), lambda v: v.astype("f4"))).painted == 4


def test_a_parametric_curve_that_is_linear_is_none() -> None:
    found = read(curved(latents(14, spread=0.6), para(3, 1.0, 1.0, 0.0, 1.0, 0.0), 0.6))
    assert (found.painted, found.notes) == (154, ())


# Tags


def test_what_is_null_in_the_essentials_is_taken_from_the_record() -> None:
    (sheet,) = sheets_of(file_of(latents(15, sigma=2.5)))
    record = essentials(sheet)
    found = read(tiff_of([tagged(sheet, description=text({**record, "sigma": None, "state": None}), record=text(record))]))
    assert (found.header.sigma, found.header.state, found.painted) == (2.5, tiffsd.State.FINAL, 0)


@pytest.mark.parametrize(("made", "stranger"), [(latents(16), "picture"), (embedding(16), "latents")], ids=["latents", "embedding"])
def test_exact_tensors_that_belong_to_another_kind_are_ignored_as_a_whole_and_said(made: Artifact, stranger: str) -> None:
    (sheet,) = sheets_of(file_of(made))
    tensors = {**made.tensors, stranger: np.zeros((4, 2, 3), np.float32)}
    found = read(tiff_of([tagged(sheet, tensors=blob(tensors, made.header.id))]))
    assert found.tensors.keys() < tensors.keys() - {stranger} | {"latents", "prompt_embeds"}
    assert f"ignored, {stranger} among them belongs to another kind" in found.notes[0]


def test_a_layer_that_is_opaque_is_laid_over_the_canvas_whatever_its_alpha_is_called() -> None:
    (sheet,) = sheets_of(file_of(latents(17)))
    patch = np.concatenate([np.full((4, 5, 1), 0.75), np.ones((4, 5, 1))], axis=2).astype(np.float32)
    found = read(tiff_of([sheet, Sheet(patch, extra=(1,))]))
    assert found.painted == 20
    assert (found.tensors["latents"][0, :4, :5] == 2).all()
