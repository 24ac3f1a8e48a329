"""What people do to a canvas by mistake: undone where the file itself proves it, else refused with the way out."""

import struct
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image

import tiffsd
from tests.artifacts import latents
from tests.file_samples import Array, equal, married, written
from tests.tiffsd.mistakes import ENDINGS, folder
from tiffsd import Artifact, Layout
from tiffsd.curves import curves_of
from tiffsd.layers import settled
from tiffsd.pixels import Page
from tiffsd.profile import profile

CASES = folder()
Saved = tuple[Array, dict[str, Any]]  # a page as an editor saves it: pixels, and how
SRGB = (2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


@pytest.mark.parametrize("case", ENDINGS)
@pytest.mark.skipif(CASES is None, reason="the cases are not here")
def test_every_case_ends_as_the_table_says(case: str) -> None:
    assert CASES is not None
    path = CASES / case
    painted, words = ENDINGS[case]
    if painted is None:
        with pytest.raises(tiffsd.TiffsdError) as refusal:
            repaired_case(path)
        assert words in str(refusal.value)
        return
    found = repaired_case(path)
    assert found.painted == painted
    assert words in " ".join(found.notes)


@pytest.mark.skipif(CASES is None, reason="the cases are not here")
def test_every_case_stands_in_the_table() -> None:
    assert CASES is not None
    there = {str(path.relative_to(CASES)) for path in CASES.glob("*/*") if path.parent.name != "originals"}
    assert there == set(ENDINGS)


def repaired_case(path: Path) -> Artifact:
    # Nothing in a gray OpenEXR file tells that it is a mosaic; an inbox expects latents.
    expect = tiffsd.Kind.LATENTS if path.suffix == ".exr" else None
    found, identity = tiffsd.read(path, expect=expect), tiffsd.find_id(path)
    (original,) = (path.parents[1] / "originals").glob(f"*.{identity}.tiff")
    return found if found.canvas is None else tiffsd.repair(found, tiffsd.read(original))


# --- specimens of each structure


def final(layout: Layout = Layout.MOSAIC) -> Artifact:
    whole = married(layout=layout)
    tensors = {name: tensor for name, tensor in whole.tensors.items() if name in ("latents", "prompt_embeds")}
    latents = (whole.tensors["latents"] / 2).clip(-3, 3)
    return Artifact(replace(whole.header, sigma=None, step=None, steps=None), {**tensors, "latents": latents})


def canvas_of(original: Artifact, folder: Path) -> list[Array]:
    with tifffile.TiffFile(written(original, folder / "original.tiff")) as tiff:
        return [page.asarray() for page in tiff.pages]


def saved(folder: Path, original: Artifact, pages: Sequence[Saved], *, whole: bool = False) -> Path:
    """What an editor writes of these pages; `whole` keeps the exact tensors."""
    with tifffile.TiffFile(folder / "original.tiff") as tiff:
        first = tiff.pages[0]
        description, kept = first.description, [(code, 2, 0, first.tags[code].value, True) for code in (65000, 65001)]
    with tifffile.TiffWriter(folder / "saved.tiff") as tiff:
        for index, (page, options) in enumerate(pages):
            tags = [*options.pop("extratags", []), *(kept if whole and index == 0 else [])]
            photometric = "rgb" if page.ndim == 3 and page.shape[-1] > 2 else "minisblack"
            settings = {"photometric": photometric, "extratags": tags, "metadata": None, "contiguous": False} | options
            tiff.write(page, **settings, **({"description": description} if index == 0 else {}))
    assert original.header.id in description
    return folder / "saved.tiff"


def painted(plane: Array) -> Array:
    changed = plane.copy()
    changed[3:6, 3:6] = 1
    return changed


def assert_only_the_square_is_painted(found: Artifact, original: Artifact, values: Array | float = 4.0) -> None:
    changed = found.tensors["latents"] != original.tensors["latents"]
    assert found.painted == changed.sum() == 9
    assert changed[0, 3:6, 3:6].all()
    np.testing.assert_allclose(found.tensors["latents"][0, 3:6, 3:6], values, atol=1e-4)


def icc(curve: bytes, space: bytes = b"GRAY", names: tuple[bytes, ...] = (b"kTRC",)) -> bytes:
    start = 132 + 12 * len(names)
    table = struct.pack(">I", len(names)) + b"".join(struct.pack(">4sII", name, start, len(curve)) for name in names)
    return (bytes(16) + space + bytes(16) + b"acsp").ljust(128, b"\0") + table + curve


def para(*numbers: float) -> bytes:
    kind = {1: 0, 3: 1, 4: 2, 5: 3, 7: 4}[len(numbers)]
    return b"para" + struct.pack(f">IHH{len(numbers)}i", 0, kind, 0, *(round(number * 65536) for number in numbers))


def curv(*points: int) -> bytes:
    return b"curv" + struct.pack(f">II{len(points)}H", 0, len(points), *points)


def encoded_srgb(pixels: Array) -> Array:
    wide = pixels.astype(np.float64)
    return np.where(wide > 0.0031308, 1.055 * np.maximum(wide, 0) ** (1 / 2.4) - 0.055, 12.92 * wide)


def encoded_22(pixels: Array) -> Array:
    return np.sign(pixels) * np.abs(pixels.astype(np.float64)) ** (1 / 2.2)


SRGB_TABLE = curv(*(round(65535 * (v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4)) for v in np.linspace(0, 1, 1024)))
AS_FLOATS: dict[str, Callable[[Array], Array]] = {
    "float32": lambda v: v.astype(np.float32),
    "float64": lambda v: v,
    "float16": lambda v: v.astype(np.float16),
    "uint16": lambda v: np.rint(v.clip(0, 1) * 65535).astype(np.uint16),
    "uint32": lambda v: np.rint(v.clip(0, 1) * (2**32 - 1)).astype(np.uint32),
}
CURVES = {
    "srgb": (para(*SRGB), encoded_srgb),
    "srgb-table": (SRGB_TABLE, encoded_srgb),
    "gamma-2.2": (curv(563), encoded_22),
    "gamma-2.2-parametric": (para(2.2), encoded_22),
}


@pytest.mark.parametrize("whole", [True, False], ids=["with-exact-tensors", "repaired"])
@pytest.mark.parametrize("kind", AS_FLOATS)
@pytest.mark.parametrize("curve", CURVES)
def test_a_canvas_saved_in_gamma_is_exact_again_but_for_what_was_painted(
    curve: str, kind: str, whole: bool, tmp_path: Path
) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    tone, encode = CURVES[curve]
    page = AS_FLOATS[kind](encode(painted(plane)))
    found = tiffsd.read(saved(tmp_path, original, [(page, {"iccprofile": icc(tone)})], whole=whole))
    found = found if whole else tiffsd.repair(found, original)
    assert_only_the_square_is_painted(found, original)
    assert any("another tone curve (gamma)" in note for note in found.notes)


def test_gray_made_rgb_in_gamma_is_undone_by_its_three_curves(tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    page = np.repeat(encoded_srgb(painted(plane)).astype(np.float32)[..., np.newaxis], 3, axis=-1)
    tones = icc(para(*SRGB), b"RGB ", (b"rTRC", b"gTRC", b"bTRC"))
    found = tiffsd.read(saved(tmp_path, original, [(page, {"iccprofile": tones})], whole=True))
    assert_only_the_square_is_painted(found, original)


def test_a_gamma_profile_beside_linear_pixels_changes_nothing(tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    found = tiffsd.read(saved(tmp_path, original, [(painted(plane), {"iccprofile": icc(curv(563))})], whole=True))
    assert_only_the_square_is_painted(found, original)
    assert found.notes == ()


def test_a_gamma_that_is_not_that_of_the_profile_is_refused_with_the_way_out(tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    page = (np.abs(plane) ** (1 / 1.8)).astype(np.float32)
    path = saved(tmp_path, original, [(page, {"iccprofile": icc(curv(563))})], whole=True)
    with pytest.raises(tiffsd.BadValues, match=r"another tone curve .* of 384 values different; .*Precision > Linear light"):
        tiffsd.read(path)


@pytest.mark.parametrize("data", [b"", b"x" * 200, icc(para(2.2))[:140], icc(b"para\0\0\0\0\0\x09\0\0"), icc(curv(9, 3, 5))])
def test_a_profile_that_cannot_be_read_has_no_curve(data: bytes) -> None:
    assert curves_of(data) == ()


def test_linear_profiles_have_no_curve() -> None:
    for linear in (curv(), curv(256), para(1.0), curv(0, 65535), curv(*(round(65535 * k / 99) for k in range(100)))):
        assert curves_of(icc(linear)) == ()
    assert curves_of(profile(Layout.MOSAIC, "3f9a1c2e")) == ()


TURNS: dict[str, Callable[[Array], Array]] = {
    "mirrored from left to right": lambda a: a[:, ::-1],
    "mirrored from top to bottom": lambda a: a[::-1],
    "turned by 180 degrees": lambda a: a[::-1, ::-1],
    "turned by 90 degrees to the right": lambda a: np.rot90(a, -1),
    "turned by 90 degrees to the left": lambda a: np.rot90(a, 1),
    "mirrored at one diagonal": lambda a: a.T,
    "mirrored at the other diagonal": lambda a: a[::-1, ::-1].T,
}


@pytest.mark.parametrize("turn", TURNS)
def test_a_mosaic_that_was_turned_or_mirrored_is_put_back_and_that_is_said(turn: str, tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    page = np.ascontiguousarray(TURNS[turn](painted(plane)))
    found = tiffsd.read(saved(tmp_path, original, [(page, {})], whole=True))
    assert_only_the_square_is_painted(found, original)
    assert turn in found.notes[0]


def test_a_mosaic_that_looks_the_same_in_two_ways_is_not_turned(tmp_path: Path) -> None:
    half = np.random.default_rng(3).standard_normal((4, 8, 6)).astype(np.float32)
    latents = np.concatenate([half, half[:, :, ::-1]], axis=2)
    latents[[1, 3]] = latents[[0, 2]]  # its mosaic is the same from left to right
    whole = final()
    original = replace(whole, tensors={**whole.tensors, "latents": latents / 2})
    (plane,) = canvas_of(original, tmp_path)
    found = tiffsd.read(saved(tmp_path, original, [(plane[::-1], {})], whole=True))
    assert found.painted == 384
    assert not any("that was undone" in note for note in found.notes)


def test_a_mosaic_that_was_painted_all_over_counts_as_it_is(tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    found = tiffsd.read(saved(tmp_path, original, [(plane / 2, {})], whole=True))
    assert found.painted == 384
    np.testing.assert_allclose(found.tensors["latents"], original.tensors["latents"] / 2 - 2, atol=1e-5)


def layer(
    height: int, width: int, *, alpha: float = 1.0, at: tuple[int, int] = (0, 0), title: str = "Layer"
) -> tuple[Array, dict[str, Any]]:
    page = np.zeros((height, width, 2), np.float32)
    page[2:5, 2:5] = (1.0, alpha)
    place = [(286, 5, 1, (at[1], 1), False), (287, 5, 1, (at[0], 1), False), (285, 2, 0, title, False)]
    return page, {"extrasamples": ["unassalpha"], "extratags": place, "resolution": (1, 1)}


@pytest.mark.parametrize("alpha", [1.0, 0.5])
def test_a_layer_is_laid_over_the_canvas_at_its_place_by_its_alpha(alpha: float, tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    path = saved(tmp_path, original, [(plane, {"resolution": (1, 1)}), layer(6, 6, alpha=alpha, at=(1, 1))], whole=True)
    below = original.tensors["latents"][0, 3:6, 3:6]
    found = tiffsd.read(path)
    assert_only_the_square_is_painted(found, original, 4 * alpha + below * (1 - alpha))
    assert "the layer 'Layer' was laid over the canvas" in found.notes


def test_a_layer_that_has_no_name_is_told_without_one(tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    page, options = layer(6, 6)
    options["extratags"] = [tag for tag in options["extratags"] if tag[0] != 285]
    found = tiffsd.read(saved(tmp_path, original, [(plane, {"resolution": (1, 1)}), (page, options)], whole=True))
    assert found.notes == ("the layer without a name was laid over the canvas",)


def test_a_layer_that_hangs_over_the_edge_counts_as_far_as_it_lies_on_the_canvas(tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    path = saved(tmp_path, original, [(plane, {"resolution": (1, 1)}), layer(6, 6, at=(13, 21))], whole=True)
    assert tiffsd.read(path).painted == 1
    path = saved(tmp_path, original, [(plane, {"resolution": (1, 1)}), layer(6, 6, at=(100, 0))], whole=True)
    assert tiffsd.read(path).painted == 0


def test_a_duplicated_layer_is_nothing_where_it_is_the_same_and_refused_where_nothing_tells_which_was_meant(tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    equal(tiffsd.repair(tiffsd.read(saved(tmp_path, original, [(plane, {}), (plane, {})])), original), original)
    for pages in ([plane, painted(plane)], [painted(plane), plane]):
        with pytest.raises(tiffsd.BadValues, match=r"has 2 layers, .* flatten the image"):
            tiffsd.read(saved(tmp_path, original, [(page, {}) for page in pages], whole=True))


def test_a_saved_selection_is_no_transparency(tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    selection = np.zeros_like(plane)
    selection[2:9] = 1
    page = np.stack([painted(plane), selection], axis=-1)
    found = tiffsd.read(saved(tmp_path, original, [(page, {"extrasamples": ["unspecified"]})], whole=True))
    assert_only_the_square_is_painted(found, original)
    assert "a saved selection" in found.notes[0]
    with pytest.raises(tiffsd.BadValues, match="flatten the image"):
        tiffsd.read(saved(tmp_path, original, [(page, {"extrasamples": ["unassalpha"]})], whole=True))


def channels(
    planes: Sequence[Array], *titles: str, at: dict[int, tuple[int, int]] | None = None
) -> list[tuple[Array, dict[str, Any]]]:
    names = titles or tuple(f"channel {k}" for k in range(len(planes)))
    found = []
    for k, (plane, title) in enumerate(zip(planes, names, strict=True)):
        down, right = (at or {}).get(k, (0, 0))
        tags = [(285, 2, 0, title, False), (286, 5, 1, (right, 1), False), (287, 5, 1, (down, 1), False)]
        found.append((plane, {"extratags": tags, "resolution": (1, 1)}))
    return found


def test_a_layer_of_pages_that_was_moved_is_refused_and_a_larger_canvas_is_not(tmp_path: Path) -> None:
    original = final(Layout.PAGES)
    planes = canvas_of(original, tmp_path)
    with pytest.raises(tiffsd.BadShape, match=r"'channel 2' that was moved by \+3 to the right and \+2 down"):
        tiffsd.read(saved(tmp_path, original, channels(planes, at={2: (2, 3)}), whole=True))
    everywhere = dict.fromkeys(range(4), (4, 4))
    equal(tiffsd.read(saved(tmp_path, original, channels(planes, at=everywhere), whole=True)), original)


def test_pages_leave_out_layers_that_say_nothing_and_refuse_the_others(tmp_path: Path) -> None:
    original = final(Layout.PAGES)
    planes = canvas_of(original, tmp_path)
    names = [f"channel {k}" for k in range(4)]
    empty = layer(8, 12, alpha=0)
    copied = channels([*planes, planes[2]], *names, "channel 2 copy")
    for pages in ([*channels(planes), empty], copied):
        equal(replace(tiffsd.read(saved(tmp_path, original, pages, whole=True)), notes=()), original)
    other_copy = channels([*planes, painted(planes[2])], *names, "channel 2 copy")
    for pages in ([*channels(planes), layer(8, 12)], other_copy):
        with pytest.raises(tiffsd.BadShape, match=r"has 5 layers, .*merge each further layer down"):
            tiffsd.read(saved(tmp_path, original, pages, whole=True))


def test_pages_that_were_reordered_are_put_back_also_where_one_was_renamed(tmp_path: Path) -> None:
    original = final(Layout.PAGES)
    planes = canvas_of(original, tmp_path)
    pages = channels([planes[0], planes[3], planes[2], planes[1]], "channel 0", "a face", "channel 2", "channel 1")
    found = tiffsd.read(saved(tmp_path, original, pages, whole=True))
    equal(replace(found, notes=()), original)
    assert found.notes == ("the layer 'a face' was taken as channel 3, which alone is missing",)


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("factor", [2, 3, 8])
def test_a_mosaic_enlarged_by_a_whole_factor_is_made_small_again(factor: int, whole: bool, tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    large = painted(plane).repeat(factor, axis=0).repeat(factor, axis=1)
    found = tiffsd.read(saved(tmp_path, original, [(large, {})], whole=whole))
    found = found if whole else tiffsd.repair(found, original)
    assert_only_the_square_is_painted(found, original)
    assert any(f"enlarged {factor} times" in note for note in found.notes)


def larger(height: int, width: int) -> Artifact:
    whole = final()
    latents = np.random.default_rng(5).standard_normal((4, height, width)).astype(np.float32).clip(-3, 3)
    return Artifact(replace(whole.header, size=(4, height, width)), {**whole.tensors, "latents": latents})


KERNELS = {Image.Resampling.BILINEAR: 2, Image.Resampling.BICUBIC: 2, Image.Resampling.LANCZOS: 3}  # how far each looks


@pytest.mark.parametrize("edge", ["constant", "edge", "symmetric", "reflect"])
@pytest.mark.parametrize("kernel", KERNELS, ids=["bilinear", "bicubic", "lanczos"])
@pytest.mark.parametrize("factor", [2, 3])
def test_an_interpolated_mosaic_is_exact_but_around_what_was_painted(
    kernel: Image.Resampling, factor: int, edge: Any, tmp_path: Path
) -> None:
    original = larger(16, 20)
    (plane,) = canvas_of(original, tmp_path)
    # Pillow leaves out what lies beyond the edge; others see there what is wrapped around it here.
    margin = 0 if edge == "constant" else 4
    image = Image.fromarray(np.pad(painted(plane), margin, mode=edge))
    resized = np.asarray(image.resize((factor * image.width, factor * image.height), kernel))
    height, width = (factor * side for side in plane.shape)
    large = resized[factor * margin :, factor * margin :][:height, :width]
    found = tiffsd.read(saved(tmp_path, original, [(large, {})], whole=True))
    changed, reach = np.argwhere(found.tensors["latents"] != original.tensors["latents"]), KERNELS[kernel]
    assert found.painted == len(changed) <= (3 + 2 * reach) ** 2
    assert {tuple(place) for place in changed} >= {(0, row, column) for row in range(3, 6) for column in range(3, 6)}
    assert changed.min(axis=0).tolist() >= [0, 3 - reach, 3 - reach]
    assert changed.max(axis=0).tolist() <= [0, 5 + reach, 5 + reach]
    np.testing.assert_allclose(found.tensors["latents"][0, 4, 4], 4, atol=0.4)
    assert f"enlarged {factor} times with interpolation" in found.notes[0]


def test_a_large_canvas_of_something_else_is_no_enlarged_mosaic(tmp_path: Path) -> None:
    original = larger(16, 20)
    canvas_of(original, tmp_path)
    other = np.random.default_rng(6).random((64, 80)).astype(np.float32)
    with pytest.raises(tiffsd.BadShape, match="cannot be cropped or resized"):
        tiffsd.read(saved(tmp_path, original, [(other, {})], whole=True))


@pytest.mark.parametrize("described", [True, False], ids=["with-description", "by-name"])
def test_the_panels_of_a_mosaic_as_pages_are_accepted(described: bool, tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    panels = painted(plane).reshape(2, 8, 2, 12).transpose(0, 2, 1, 3).reshape(4, 8, 12)
    path = tmp_path / "stack.3f9a1c2e.tiff"
    if described:
        saved(tmp_path, original, [(panel, {}) for panel in panels]).rename(path)
    else:
        tifffile.imwrite(path, panels, photometric="minisblack", metadata=None)
    assert_only_the_square_is_painted(tiffsd.repair(tiffsd.read(path), original), original)


@pytest.mark.parametrize("levels", [lambda v: np.rint(v * 32768), lambda v: np.floor(v * 32768)], ids=["rounded", "cut off"])
def test_the_16_bits_of_photoshop_are_within_a_step_of_its_32769_levels(levels: Callable[[Array], Array], tmp_path: Path) -> None:
    original = final()
    (plane,) = canvas_of(original, tmp_path)
    page = np.minimum(2 * levels(painted(plane).astype(np.float64).clip(0, 1)), 65535).astype(np.uint16)
    found = tiffsd.read(saved(tmp_path, original, [(page, {})], whole=True))
    assert_only_the_square_is_painted(found, original)
    nudged = page.astype(np.int64)
    nudged[10, 10] += 6
    assert tiffsd.read(saved(tmp_path, original, [(nudged.astype(np.uint16), {})], whole=True)).painted == 10


@pytest.mark.parametrize("offset", [(0, 40), (40, 0), (0, -7), (-40, -40)])
def test_a_layer_that_lies_beside_the_canvas_changes_nothing(offset: tuple[int, int]) -> None:
    canvas = np.full((32, 32, 1), 0.5, np.float32)
    layer = Page(np.ones((7, 33, 1) if offset[0] == 0 and offset[1] > 0 else (7, 7, 1), np.float32), offset=offset)
    (page,), _ = settled([Page(canvas), layer], latents().header, name="cat.tiff", curved=False)
    np.testing.assert_array_equal(page.pixels, canvas)
