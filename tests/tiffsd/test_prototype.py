"""Files without metadata: the prototype's of 2023 (real ones, where they lie beside the repository), and bare pixels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

import tiffsd
from tests.house import REPOSITORY
from tiffsd import Artifact, Kind, Layout, State
from tiffsd.prototype import embedding, ending, kind_by_ending

REAL = REPOSITORY.parent / "shared" / "seed-artifacts"
real_files = pytest.mark.skipif(not REAL.is_dir(), reason="the prototype's files are not there")
Array = np.ndarray[Any, Any]


def normal(*shape: int, seed: int = 3) -> Array:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def smooth(channels: int, height: int, width: int) -> Array:
    """What finished latents are like: unit variance, and neighbours that are alike."""
    y, x = np.mgrid[:height, :width]
    waves = np.stack([np.sin(x / (5 + k) + k) + np.cos(y / (7 - k)) for k in range(channels)])
    return (waves / waves.std()).astype(np.float32)


def raw_planes(path: Path, latents: Array, dtype: type = np.float16) -> Path:
    """As the prototype wrote them: planar, four channels, tifffile's own description."""
    tifffile.imwrite(path, latents.astype(dtype), photometric="rgb", planarconfig="separate")
    return path


# Real files


@real_files
def test_the_real_noise_becomes_unit_noise() -> None:
    found = tiffsd.read(REAL / "deer3_state1.tiff", expect=Kind.LATENTS)
    raw = tifffile.imread(REAL / "deer3_state1.tiff").astype(np.float64)
    np.testing.assert_array_equal(found.tensors["latents"], (raw / 14.6146).astype(np.float32))
    assert found.tensors["latents"].std() == pytest.approx(1, abs=0.01)
    assert (found.header.state, found.header.size, found.header.layout) == (State.NOISE, (4, 64, 96), Layout.RGBA)
    assert "divided by the initial sigma 14.6146" in found.notes[0]


@real_files
def test_the_real_result_becomes_what_a_denoiser_sees() -> None:
    found = tiffsd.read(REAL / "Deer3_state2.tiff", expect=Kind.LATENTS)
    raw = tifffile.imread(REAL / "Deer3_state2.tiff").astype(np.float64)
    np.testing.assert_array_equal(found.tensors["latents"], (raw * 0.18215).astype(np.float32))
    assert found.header.state is State.FINAL
    assert "multiplied by 0.18215" in found.notes[0]


@real_files
def test_the_real_embedding_has_its_negative_first() -> None:
    found = tiffsd.read(REAL / "deer3_textstate1.tiff", expect=Kind.EMBEDDING)
    raw = tifffile.imread(REAL / "deer3_textstate1.tiff")
    np.testing.assert_array_equal(found.tensors["negative_prompt_embeds"], raw[0])
    np.testing.assert_array_equal(found.tensors["prompt_embeds"], raw[1])
    assert found.header.size == (77, 77, 768)


@real_files
@pytest.mark.parametrize("name", ["deer3_state1.tiff", "Deer3_state2.tiff", "deer3_textstate1.tiff"])
def test_the_real_files_are_recognised_without_their_names(name: str) -> None:
    by_name, by_content = tiffsd.read(REAL / name), tiffsd.read(REAL / name, name="deer.tiff")
    assert (by_content.header.kind, by_content.header.state) == (by_name.header.kind, by_name.header.state)
    for key, tensor in by_name.tensors.items():
        np.testing.assert_array_equal(by_content.tensors[key], tensor)


@real_files
@pytest.mark.parametrize("name", ["deer3_state1.tiff", "Deer3_state2.tiff", "deer3_textstate1.tiff"])
def test_the_real_files_can_be_written_as_tiffsd(name: str, tmp_path: Path) -> None:
    found = tiffsd.read(REAL / name)
    for layout in (Layout.MOSAIC, Layout.PAGES, Layout.RGBA) if found.header.kind is Kind.LATENTS else (Layout.STRIP,):
        tiffsd.write(tmp_path / "new.tiff", found, layout=layout)
        again = tiffsd.read(tmp_path / "new.tiff", expect=found.header.kind)
        assert again.header == replace(found.header, layout=layout)
        for key, tensor in found.tensors.items():
            np.testing.assert_array_equal(again.tensors[key], tensor)


@real_files
def test_a_real_file_that_was_painted_is_compared_with_its_original(tmp_path: Path) -> None:
    original = tiffsd.read(REAL / "deer3_state1.tiff")
    pixels = tifffile.imread(REAL / "deer3_state1.tiff")
    pixels[1, 10:20, 30:40] = 0
    edited = tiffsd.read(raw_planes(tmp_path / "deer3_state1.tiff", pixels))
    repaired = tiffsd.repair(edited, original)
    changed = repaired.tensors["latents"] != original.tensors["latents"]
    assert repaired.painted == changed.sum() == np.count_nonzero(original.tensors["latents"][1, 10:20, 30:40])
    assert not repaired.tensors["latents"][1, 10:20, 30:40].any()


# The same without them


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("deer_state1.tiff", Kind.LATENTS),
        ("deer_latent.3f9a1c2e.TIF", Kind.LATENTS),
        ("deer_unet.tif", Kind.LATENTS),
        ("deer_textstate1.tiff", Kind.EMBEDDING),
        ("deer_prompt.tiff", Kind.EMBEDDING),
        ("deer.tiff", None),
        ("prompt.tiff", None),
    ],
)
def test_the_endings_of_the_prototype(name: str, kind: Kind | None) -> None:
    assert kind_by_ending(name) is kind


def test_the_prototypes_embedding_has_its_negative_first() -> None:
    pages = np.stack([np.zeros((77, 768), np.float32), np.ones((77, 768), np.float32)])
    found = embedding(pages)
    assert found["negative_prompt_embeds"].max() == 0
    assert found["prompt_embeds"].min() == 1


def test_textstate1_is_not_taken_for_state1() -> None:
    assert ending("deer_textstate1.tiff") == "_textstate1"


@pytest.mark.parametrize("sigma", [14.6146, 11.0706, 5.2])
def test_noise_is_divided_by_what_gives_unit_noise(sigma: float, tmp_path: Path) -> None:
    found = tiffsd.read(raw_planes(tmp_path / "a_latent.tiff", sigma * normal(4, 32, 32)))
    assert found.header.state is State.NOISE
    assert found.tensors["latents"].std() == pytest.approx(1, abs=0.03)
    assert ("fits no scheduler" in found.notes[0]) == (sigma == 5.2)


def test_an_ending_does_not_rescale_what_is_in_the_denoisers_units_already(tmp_path: Path) -> None:
    found = tiffsd.read(raw_planes(tmp_path / "a_unet.tiff", smooth(4, 32, 32), np.float32))
    np.testing.assert_array_equal(found.tensors["latents"], smooth(4, 32, 32))
    assert found.header.state is State.FINAL


@pytest.mark.parametrize(("latents", "state"), [(normal(4, 32, 32), State.NOISE), (smooth(4, 32, 32), State.FINAL)])
@pytest.mark.parametrize("layout", [Layout.MOSAIC, Layout.PAGES, Layout.RGBA])
def test_bare_latents_are_read_and_what_is_assumed_is_said(layout: Layout, latents: Array, state: State, tmp_path: Path) -> None:
    pixels = latents if layout is Layout.RGBA else (0.5 + latents / 8).astype(np.float32)
    if layout is Layout.MOSAIC:
        pixels = np.block([[pixels[0], pixels[1]], [pixels[2], pixels[3]]])
    options = {"photometric": "rgb", "planarconfig": "separate"} if layout is Layout.RGBA else {"photometric": "minisblack"}
    tifffile.imwrite(tmp_path / "cat.3f9a1c2e.tiff", pixels, metadata=None, **options)
    found = tiffsd.read(tmp_path / "cat.3f9a1c2e.tiff", expect=Kind.LATENTS)
    assert (found.header.id, found.header.layout, found.header.state) == ("3f9a1c2e", layout, state)
    np.testing.assert_allclose(found.tensors["latents"], latents, atol=1e-6)
    assert any(f"taken as {state}" in note for note in found.notes)
    tiffsd.write(tmp_path / "again.tiff", found)


def test_bare_gray_pages_in_plain_values_are_recognised(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cat.tiff", normal(16, 32, 32), photometric="minisblack", metadata=None)
    found = tiffsd.read(tmp_path / "cat.tiff", expect=Kind.LATENTS)
    np.testing.assert_array_equal(found.tensors["latents"], normal(16, 32, 32))
    assert "not mapped to 0..1" in found.notes[0]
    repaired = tiffsd.repair(found, Artifact(replace(found.header, recipe={"seed": 1}), found.tensors))
    assert (repaired.painted, repaired.header.recipe) == (0, {"seed": 1})


@pytest.mark.parametrize(("rows", "size"), [(77, (77, 0, 300)), (154, (77, 77, 300)), (308, (154, 154, 300))])
def test_a_bare_strip_is_an_embedding_with_the_prompt_above(rows: int, size: tuple[int, ...], tmp_path: Path) -> None:
    values = normal(rows, 300)
    tifffile.imwrite(tmp_path / "cat.tiff", (0.5 + values / 8).astype(np.float32), metadata=None)
    found = tiffsd.read(tmp_path / "cat.tiff")
    assert (found.header.kind, found.header.size) == (Kind.EMBEDDING, size)
    np.testing.assert_allclose(found.tensors["prompt_embeds"], values[: size[0]], atol=1e-6)
    assert ("negative_prompt_embeds" in found.tensors) == (size[1] > 0)


def test_an_embedding_is_not_taken_for_latents(tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cat.tiff", normal(2, 77, 768), photometric="minisblack")
    with pytest.raises(tiffsd.WrongKind, match=r"^cat\.tiff holds an embedding, and this place takes latents"):
        tiffsd.read(tmp_path / "cat.tiff", expect=Kind.LATENTS)


@pytest.mark.parametrize(
    ("pixels", "kind"),
    [
        (np.zeros((16, 16, 3), np.uint8), Kind.PICTURE),
        (np.zeros((16, 16), np.uint16), Kind.PICTURE),
        (np.zeros((16, 16, 3), np.float32), Kind.PICTURE),
        (np.zeros((16, 16), np.float32), Kind.LATENTS),
    ],
)
def test_bare_pixels_are_taken_for_what_they_look_like(pixels: Array, kind: Kind, tmp_path: Path) -> None:
    tifffile.imwrite(tmp_path / "cat.tiff", pixels, photometric="rgb" if pixels.ndim == 3 else "minisblack", metadata=None)
    assert tiffsd.inspect(tmp_path / "cat.tiff").kind is kind
    assert tiffsd.read(tmp_path / "cat.tiff").header.kind is kind


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32])
def test_whole_numbers_in_the_raw_layout_are_refused(dtype: type, tmp_path: Path) -> None:
    pixels = np.random.default_rng(1).integers(0, 100, (4, 16, 16)).astype(dtype)
    path = raw_planes(tmp_path / "deer_state1.tiff", pixels, dtype)
    with pytest.raises(tiffsd.BadValues, match=r"^deer_state1\.tiff has .*whole numbers.* raw layout.*save it as 32-bit float"):
        tiffsd.read(path, expect=Kind.LATENTS)


def test_a_bare_sixteen_bit_mosaic_can_be_repaired(tmp_path: Path) -> None:
    latents = normal(4, 8, 8)
    header = tiffsd.Header(Kind.LATENTS, "3f9a1c2e", Layout.MOSAIC, (4, 8, 8), state=State.NOISE, recipe={"seed": 7})
    original = Artifact(header, {"latents": latents})
    mosaic = 0.5 + np.block([[latents[0], latents[1]], [latents[2], latents[3]]]) / 8
    pixels = np.rint(mosaic.clip(0, 1) * 65535).astype(np.uint16)
    pixels[0:2, 0:3] = 65535
    tifffile.imwrite(tmp_path / "cat.3f9a1c2e.tiff", pixels, metadata=None)
    found = tiffsd.repair(tiffsd.read(tmp_path / "cat.3f9a1c2e.tiff", expect=Kind.LATENTS), original)
    assert found.painted == 6
    assert (found.tensors["latents"][0, 0:2, 0:3] == 4).all()
    np.testing.assert_array_equal(found.tensors["latents"][1:], latents[1:])


def test_bare_rgba_with_the_spread_of_a_raw_result_is_repaired_as_it_is_and_not_rescaled(tmp_path: Path) -> None:
    latents = 3 * smooth(4, 16, 24)
    header = tiffsd.Header(Kind.LATENTS, "3f9a1c2e", Layout.RGBA, (4, 16, 24), state=State.FINAL, recipe={"seed": 7})
    original = Artifact(header, {"latents": latents})
    pixels = np.moveaxis(latents, 0, -1).copy()
    pixels[0:2, 0:3] = 0.25
    tifffile.imwrite(tmp_path / "cat.3f9a1c2e.tiff", pixels, photometric="rgb", extrasamples=["unassalpha"], metadata=None)
    found = tiffsd.repair(tiffsd.read(tmp_path / "cat.3f9a1c2e.tiff", expect=Kind.LATENTS), original)
    assert found.painted == 24
    assert (found.tensors["latents"][:, 0:2, 0:3] == 0.25).all()
    np.testing.assert_array_equal(found.tensors["latents"][:, 2:], latents[:, 2:])


def test_little_noise_is_divided_by_the_sigma_it_was_multiplied_by(tmp_path: Path) -> None:
    noise = normal(4, 8, 8)
    noise *= np.float32(1.08) / noise.std()
    found = tiffsd.read(raw_planes(tmp_path / "cat_latent.tiff", 14.6146 * noise))
    np.testing.assert_allclose(found.tensors["latents"], noise, rtol=2**-10)
    assert "the initial sigma 14.6146" in found.notes[0]


@pytest.mark.parametrize(("deviation", "name", "rescaled"), [(0.295, "flat_unet.tiff", True), (0.295, "flat.tiff", False)])
def test_a_flat_result_is_known_by_its_name(deviation: float, name: str, rescaled: bool, tmp_path: Path) -> None:
    flat = deviation * smooth(4, 16, 24)
    found = tiffsd.read(raw_planes(tmp_path / name, flat / 0.18215), expect=Kind.LATENTS)
    np.testing.assert_allclose(found.tensors["latents"], flat if rescaled else flat / 0.18215, rtol=2**-9, atol=1e-4)


def test_latents_that_happen_to_be_called_a_result_keep_their_units(tmp_path: Path) -> None:
    found = tiffsd.read(raw_planes(tmp_path / "cat_unet.tiff", smooth(4, 16, 24), np.float32), expect=Kind.LATENTS)
    np.testing.assert_array_equal(found.tensors["latents"], smooth(4, 16, 24))


@pytest.mark.parametrize("name", ["deer_5_unet.tiff", "deer_12_UNET.3f9a1c2e.tif", "deer_5_state2.tiff"])
def test_what_the_loop_put_out_on_its_way_is_refused_by_its_step_and_a_result_is_not(name: str, tmp_path: Path) -> None:
    noisy = smooth(4, 32, 32) + 9 * normal(4, 32, 32)
    with pytest.raises(tiffsd.BadValues, match=r"put out at step (5|12), with noise left in it \(standard deviation 9"):
        tiffsd.read(raw_planes(tmp_path / name, noisy), expect=Kind.LATENTS)
    result = tiffsd.read(raw_planes(tmp_path / name, smooth(4, 32, 32) / 0.18215), expect=Kind.LATENTS)
    assert result.header.state is State.FINAL
    np.testing.assert_allclose(result.tensors["latents"], smooth(4, 32, 32), rtol=2**-9, atol=1e-4)


def test_the_embedding_beside_a_result_is_one_and_a_result_of_that_name_is_latents(tmp_path: Path) -> None:
    pages = np.stack([normal(77, 768), normal(77, 768, seed=4)])
    tifffile.imwrite(tmp_path / "deer_prompt_unet.tiff", pages, photometric="minisblack")
    found = tiffsd.read(tmp_path / "deer_prompt_unet.tiff")
    assert found.header.kind is Kind.EMBEDDING
    np.testing.assert_array_equal(found.tensors["prompt_embeds"], pages[1])
    latents = tiffsd.read(raw_planes(tmp_path / "deer_prompt_unet.tiff", smooth(4, 32, 32) / 0.18215))
    assert (latents.header.kind, latents.header.state) == (Kind.LATENTS, State.FINAL)
