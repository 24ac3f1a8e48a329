"""Tensor <-> canvas: exact where nobody painted, painted where somebody did, refused where it cannot be either."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tiffsd import BadShape, BadValues, Header, Kind, Layout, State
from tiffsd.canvas import Canvas, Floats, fitted, grid, paint, read_canvas
from tiffsd.spec import INTEGER_STEP

LAYOUTS = (Layout.MOSAIC, Layout.PAGES, Layout.RGBA)


def noise(*shape: int, scale: float = 1.0) -> Floats:
    return (scale * np.random.default_rng(5).standard_normal(shape)).astype(np.float32)


def header(size: tuple[int, ...] = (4, 8, 12), layout: Layout = Layout.MOSAIC, sigma: float | None = None, **recipe: int) -> Header:
    return Header(Kind.LATENTS, "3f9a1c2e", layout, size, state=State.PARTIAL, sigma=sigma, recipe=recipe)


@pytest.mark.parametrize(("channels", "expected"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 2)), (8, (2, 4)), (16, (4, 4)), (32, (4, 8))])
def test_the_grid_of_a_mosaic(channels: int, expected: tuple[int, int]) -> None:
    assert grid(channels) == expected


def test_channels_lie_in_reading_order() -> None:
    latents = np.stack([np.full((2, 3), k, np.float32) for k in range(4)])
    (page,) = paint(latents, header((4, 2, 3)))
    assert page.shape == (4, 6)
    assert [page[0, 0], page[0, 3], page[2, 0], page[2, 3]] == [0.5, 0.625, 0.75, 0.875]


def test_minus_four_is_black_and_four_is_white() -> None:
    latents = np.array([-4, 0, 4, 8], np.float32).reshape(4, 1, 1)
    assert paint(latents, header((4, 1, 1))).ravel().tolist() == [0, 0.5, 1, 1.5]


def test_half_done_latents_are_painted_with_about_unit_variance() -> None:
    sigma = 14.6
    pixels = paint(noise(4, 32, 32, scale=(sigma**2 + 1) ** 0.5), header((4, 32, 32), sigma=sigma))
    assert 8 * pixels.std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("sigma", [None, 0.0, 14.6])
def test_an_untouched_canvas_is_exact_and_one_without_exact_tensors_nearly(layout: Layout, sigma: float | None) -> None:
    latents, head = noise(4, 8, 12, scale=3), header(layout=layout, sigma=sigma)
    canvas = Canvas(paint(latents, head))
    exact = read_canvas(canvas, head, latents, name="x")
    np.testing.assert_array_equal(exact.tensor, latents)
    assert exact.painted == 0
    np.testing.assert_allclose(read_canvas(canvas, head, None, name="x").tensor, latents, atol=2e-5)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_painted_pixels_count_and_all_others_are_exact(layout: Layout) -> None:
    latents, head = noise(4, 8, 12), header(layout=layout)
    planes = paint(latents, head)
    planes[0, 1:4, 2:6] = 0.75
    reading = read_canvas(Canvas(planes), head, latents, name="x")
    changed = reading.tensor != latents
    assert reading.painted == changed.sum() == 12
    assert changed[0, 1:4, 2:6].all()
    np.testing.assert_allclose(reading.tensor[changed], 0.75 if layout is Layout.RGBA else 2.0)


@settings(max_examples=50, deadline=None)
@given(value=st.floats(-100, 100, width=32), ulps=st.integers(-2, 2))
def test_the_rounding_of_editors_is_no_painting(value: float, ulps: int) -> None:
    latents = np.full((4, 1, 1), value, np.float32)
    planes = paint(latents, header((4, 1, 1)))
    planes += ulps * np.spacing(planes)
    reading = read_canvas(Canvas(planes), header((4, 1, 1)), latents, name="x")
    assert reading.painted == 0
    np.testing.assert_array_equal(reading.tensor, latents)


def test_sixteen_bit_steps_leave_untouched_values_exact_also_beyond_black_and_white() -> None:
    latents, head = noise(4, 16, 16, scale=2.5), header((4, 16, 16))
    assert (np.abs(latents) > 4).any()
    planes = np.rint(paint(latents, head).clip(0, 1) / INTEGER_STEP).astype(np.float32) * np.float32(INTEGER_STEP)
    planes[0, :4, :4] = np.float32(40_000 * INTEGER_STEP)
    reading = read_canvas(Canvas(planes, step=INTEGER_STEP), head, latents, name="x")
    assert reading.painted == 16
    np.testing.assert_array_equal(reading.tensor[1:], latents[1:])
    np.testing.assert_allclose(reading.tensor[0, :4, :4], (40_000 / 65535 - 0.5) * 8, atol=1e-5)
    assert any("16-bit steps" in note for note in reading.notes)


@pytest.mark.parametrize("steps", [1, -1])
def test_one_step_of_sixteen_bits_is_painting(steps: int) -> None:
    head, levels = header((4, 8, 8)), np.random.default_rng(5).integers(20_000, 45_000, (1, 16, 16))
    exact = read_canvas(Canvas((levels * INTEGER_STEP).astype(np.float32)), head, None, name="x").tensor
    levels[0, 2, 3] += steps
    reading = read_canvas(Canvas((levels * INTEGER_STEP).astype(np.float32), step=INTEGER_STEP), head, exact, name="x")
    assert reading.painted == 1
    changed = reading.tensor != exact
    assert changed.sum() == 1
    np.testing.assert_allclose(reading.tensor[changed] - exact[changed], steps * 8 * INTEGER_STEP, rtol=0.02)


def test_half_floats_leave_untouched_values_exact() -> None:
    latents, head = noise(4, 16, 16), header((4, 16, 16))
    planes = paint(latents, head).astype(np.float16).astype(np.float32)
    planes[0, 3, 3] = 0.9
    reading = read_canvas(Canvas(planes, half=True), head, latents, name="x")
    assert reading.painted == 1
    assert reading.tensor[0, 3, 3] == pytest.approx(3.2, abs=1e-3)


@pytest.mark.parametrize("side", [1, -1])
def test_ties_of_half_floats_are_no_painting(side: int) -> None:
    # Of 0.5 and more a half float has steps of 2^-11, so these pixels lie in the middle between two.
    latents = (np.arange(1, 257, 2, dtype=np.float32) * 2**-9).reshape(4, 4, 8)
    planes = paint(latents, header((4, 4, 8))) + np.float32(side * 2**-12)
    np.testing.assert_array_equal(planes, planes.astype(np.float16))
    reading = read_canvas(Canvas(planes, half=True), header((4, 4, 8)), latents, name="x")
    assert reading.painted == 0
    np.testing.assert_array_equal(reading.tensor, latents)


def test_half_floats_that_were_cut_off_are_no_painting() -> None:
    # As Krita saves them: towards zero, and so off by nearly a whole step.
    latents, head = noise(4, 16, 16), header((4, 16, 16))
    pixels = paint(latents, head)
    rounded = pixels.astype(np.float16)
    cut = np.where(np.abs(rounded) > np.abs(pixels), np.nextafter(rounded, np.float16(0)), rounded)
    reading = read_canvas(Canvas(cut.astype(np.float32), half=True), head, latents, name="x")
    assert reading.painted == 0
    np.testing.assert_array_equal(reading.tensor, latents)


@pytest.mark.parametrize(("pixel", "value", "painted"), [(1.0, 3.6, 1), (0.0, -3.6, 1), (1.0, 4.5, 0), (0.0, -4.5, 0)])
def test_painting_white_in_sixteen_bits_is_painting_where_it_was_not_white(pixel: float, value: float, painted: int) -> None:
    latents, head = np.zeros((4, 8, 8), np.float32), header((4, 8, 8))
    latents[0, 2, 2] = value
    planes = paint(latents, head)
    planes[0, 2, 2] = pixel
    assert read_canvas(Canvas(planes, step=INTEGER_STEP), head, latents, name="x").painted == painted


def test_floats_that_an_editor_clipped_are_refused() -> None:
    latents, head = noise(4, 16, 16, scale=3), header((4, 16, 16))
    with pytest.raises(BadValues, match=r"cat\.tiff was clipped by an editor.* keeps 32-bit floats"):
        read_canvas(Canvas(paint(latents, head).clip(0, 1)), head, latents, name="cat.tiff")


def test_painting_white_over_the_only_pixel_beyond_white_is_painting() -> None:
    latents, head = noise(4, 16, 16).clip(-3, 3), header((4, 16, 16))
    latents[0, 2, 2] = 4.5
    planes = paint(latents, head)
    planes[0, 1:4, 1:4] = 1.0
    reading = read_canvas(Canvas(planes), head, latents, name="x")
    assert reading.painted == 9
    assert (reading.tensor[0, 1:4, 1:4] == 4).all()


def test_rgba_whose_transparent_pixels_an_editor_emptied_is_refused_and_an_erased_region_is_not() -> None:
    latents, head = noise(4, 16, 16), header((4, 16, 16), layout=Layout.RGBA)
    drawn, erased = paint(latents, head), paint(latents, head)
    around = drawn[:, 2:12, 3:13]
    around[:, around[3] <= 0] = 0
    drawn[:, 4:10, 5:11] = 0.3
    with pytest.raises(BadValues, match="took the fourth channel for transparency"):
        read_canvas(Canvas(drawn), head, latents, name="x")
    erased[:, 2:12, 3:13] = 0
    assert read_canvas(Canvas(erased), head, latents, name="x").painted == 400


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 2e4])
def test_impossible_pixels_are_refused(bad: float) -> None:
    latents = noise(4, 8, 12)
    planes = paint(latents, header())
    planes[0, 0, 0] = bad
    with pytest.raises(BadValues, match=r"^cat\.tiff has pixels"):
        read_canvas(Canvas(planes), header(), latents, name="cat.tiff")


def test_a_cropped_mosaic_is_refused_with_the_way_out() -> None:
    planes = paint(noise(4, 8, 12), header())[:, 2:10, 2:14]
    with pytest.raises(BadShape, match=r"cat\.tiff has 1 plane of 12x8 and should have 1 plane of 24x16; .*layout pages"):
        read_canvas(Canvas(planes), header(), None, name="cat.tiff")


def test_missing_pages_are_refused() -> None:
    head = header(layout=Layout.PAGES)
    with pytest.raises(BadShape, match="3 planes of 12x8 and should have 4 planes of 12x8; save all pages"):
        read_canvas(Canvas(paint(noise(4, 8, 12), head)[:3]), head, None, name="cat.tiff")


def test_cropped_pages_have_the_new_size_and_the_recipe_follows() -> None:
    head = header(layout=Layout.PAGES, width=96, height=64, seed=1)
    latents = noise(4, 8, 12)
    canvas = Canvas(paint(latents, head)[:, 2:6, 3:9])
    cropped = fitted(head, canvas)
    assert cropped.size == (4, 4, 6)
    assert cropped.recipe == {"width": 48, "height": 32, "seed": 1}
    reading = read_canvas(canvas, cropped, latents, name="x")
    assert reading.painted == reading.tensor.size == 96
    np.testing.assert_allclose(reading.tensor, latents[:, 2:6, 3:9], atol=1e-6)
    assert "6x4 instead of" in reading.notes[0]


def test_an_embedding_is_a_strip_with_the_prompt_above() -> None:
    rows = noise(1, 5, 300, scale=9)
    head = Header(Kind.EMBEDDING, "3f9a1c2e", Layout.STRIP, (3, 2, 300))
    planes = paint(rows, head)
    assert planes.shape == (1, 5, 300)
    np.testing.assert_array_equal(read_canvas(Canvas(planes), head, rows, name="x").tensor, rows)
    with pytest.raises(BadShape, match="cannot be cropped"):
        read_canvas(Canvas(planes[:, :4]), head, rows, name="x")
