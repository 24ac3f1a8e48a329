"""OpenEXR files that people drop: decoded in the child, in the colours of sRGB, refused with a sentence."""

import struct
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tiffsd
from daemon.errors import InputError
from daemon.pictures.decoding import read_artifact, read_words
from daemon.pictures.photos import read_photo
from tests.artifacts import latents, picture
from tests.opening import opening
from tests.tiffsd.test_exchange import exr_of, exr_with, save_latent
from tiffsd.light import to_srgb

LIMIT = 512 * 512
LIGHT = np.linspace(0, 1.5, 64 * 80, dtype=np.float32).reshape(64, 80)


def dropped(path: Path, data: bytes) -> Path:
    path.write_bytes(data)
    return path


def photo(path: Path, **how: Any) -> Any:
    return opening(read_photo, path, path.name, **{"size": (None, None), "limit": LIMIT, **how})


def test_light_becomes_srgb_and_what_is_brighter_than_white_is_told(tmp_path: Path) -> None:
    found = photo(dropped(tmp_path / "a.exr", exr_with(dict.fromkeys("RGB", LIGHT))))
    assert np.array_equal(found.pixels[..., 1], to_srgb(LIGHT))
    assert any("its values go from 0 to" in note for note in found.notes)


def test_transparency_is_a_mask_where_one_is_asked_for(tmp_path: Path) -> None:
    alpha = np.ones((64, 80), np.float32)
    alpha[:32] = 0
    path = dropped(tmp_path / "a.exr", exr_with({**dict.fromkeys("RGB", LIGHT * alpha), "A": alpha}))
    found = photo(path, alpha=True)
    assert found.mask is not None
    assert np.array_equal(found.mask, 1 - alpha)
    assert np.array_equal(found.pixels[:32], np.ones((32, 80, 3), np.float32))


def test_one_that_is_too_large_is_made_smaller_and_one_off_the_grid_trimmed(tmp_path: Path) -> None:
    path = dropped(tmp_path / "a.exr", exr_with(dict.fromkeys("RGB", np.tile(LIGHT, (3, 3))[:190, :237])))
    assert photo(path).size == (232, 184)
    assert photo(path, size=(64, 64)).size == (64, 64)
    smaller = photo(path, limit=128 * 128)
    assert smaller.size[0] * smaller.size[1] <= 128 * 128


def test_a_picture_among_a_hundred_layers_is_read(tmp_path: Path) -> None:
    large = np.tile(LIGHT, (12, 9))[:760, :704]
    layers = {f"ViewLayer.Pass{k}.{c}": large for k in range(33) for c in "XYZ"}
    path = dropped(tmp_path / "a.exr", exr_with({**layers, **{f"ViewLayer.Combined.{c}": large for c in "RGB"}}))
    found = photo(path, limit=1024 * 1024)
    assert found.size == (704, 760)
    assert "of its layers 'ViewLayer.Combined' was taken" in found.notes


def test_the_recipe_of_a_picture_that_was_written_here_is_known_without_its_pixels(tmp_path: Path) -> None:
    made = picture(64, 64)
    path = dropped(tmp_path / "a.exr", exr_of(made))
    assert opening(tiffsd.inspect, path, name="a.exr").recipe == made.header.recipe


def test_latents_and_large_exact_tensors_are_decoded_in_the_child(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = latents(channels=16, height=320, width=320)
    path = dropped(tmp_path / "a.exr", exr_of(made, tiffsd.Layout.PAGES))
    monkeypatch.setitem(sys.modules, "OpenEXR", None)
    found = opening(read_artifact, path, name="a.exr")
    assert path.stat().st_size > 8 * 2**20
    assert found.header == replace(made.header, layout=tiffsd.Layout.PAGES)
    assert all(np.array_equal(found.tensors[name], made.tensors[name]) for name in made.tensors)


def test_latents_of_another_file_are_sent_to_where_they_belong(tmp_path: Path) -> None:
    path = dropped(tmp_path / "a.exr", exr_of(latents(), tiffsd.Layout.PAGES))
    with pytest.raises(tiffsd.WrongKind, match="holds latents, and this place takes a picture"):
        photo(path)


@pytest.mark.parametrize("share", [0.05, 0.5, 0.99])
def test_one_that_is_cut_off_costs_the_file_and_nothing_else(share: float, tmp_path: Path) -> None:
    data = exr_with(dict.fromkeys("RGB", LIGHT))
    with pytest.raises((tiffsd.TiffsdError, InputError), match=r"^a\.exr "):
        photo(dropped(tmp_path / "a.exr", data[: int(share * len(data))]))


def test_pixels_that_are_damaged_are_named_by_their_file(tmp_path: Path) -> None:
    data = bytearray(exr_with(dict.fromkeys("RGB", LIGHT)))
    data[-300:-200] = bytes(100)
    path = dropped(tmp_path / "a.exr", bytes(data))
    with pytest.raises(tiffsd.Truncated, match=r"^a\.exr is damaged or incomplete"):
        photo(path)
    planes = {f"channel {k}.Y": LIGHT for k in range(4)}
    coded = bytearray(exr_with(planes))
    coded[-300:-200] = bytes(100)
    with pytest.raises(tiffsd.Truncated, match=r"^b\.exr is damaged or incomplete"):
        opening(read_artifact, dropped(tmp_path / "b.exr", bytes(coded)), name="b.exr")


def test_a_window_of_two_thousand_million_pixels_is_refused_in_no_time(tmp_path: Path) -> None:
    data = exr_with(dict.fromkeys("RGB", LIGHT))
    for name in (b"dataWindow", b"displayWindow"):
        place = data.index(name + b"\0box2i\0") + len(name) + 11
        wide = data[:place] + struct.pack("<4i", 0, 0, 2**31 - 2, 0) + data[place + 16 :]
        with pytest.raises(tiffsd.TooLarge, match="2147483647x1"):
            photo(dropped(tmp_path / "a.exr", wide))


def test_a_child_that_the_library_ends_costs_the_file_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "OpenEXR.py").write_text("import ctypes\ndef __getattr__(name):\n    ctypes.string_at(0)")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = dropped(tmp_path / "a.exr", exr_with(dict.fromkeys("RGB", LIGHT)))
    with pytest.raises(InputError, match=r"a\.exr: what decodes its pixels was killed by signal 11"):
        photo(path)


def test_without_the_library_a_sentence_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "OpenEXR.py").write_text("raise ImportError('not installed')")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    path = dropped(tmp_path / "a.exr", exr_with(dict.fromkeys("RGB", LIGHT)))
    with pytest.raises(tiffsd.NotTiffsd, match=r"a\.exr: OpenEXR files need the package OpenEXR \(pip install OpenEXR\)"):
        photo(path)


def test_random_changes_end_in_a_sentence_or_in_a_picture(tmp_path: Path) -> None:
    rng, data = np.random.default_rng(3), exr_with(dict.fromkeys("RGB", LIGHT))
    ends = []
    for _ in range(25):
        changed = bytearray(data)
        for place in rng.integers(0, len(changed), 4):
            changed[place] = rng.integers(0, 256)
        try:
            ends.append(photo(dropped(tmp_path / "a.exr", bytes(changed))).size)
        except (tiffsd.TiffsdError, InputError) as error:
            ends.append(str(error))
    assert all("a.exr" in end for end in ends if isinstance(end, str))
    assert any(isinstance(end, str) for end in ends)


def test_the_graph_in_latents_of_comfyui_is_read_in_the_child(tmp_path: Path) -> None:
    graph = (
        '{"3": {"class_type": "KSampler", "inputs": {"seed": 5, "steps": 8, "cfg": 4, "sampler_name": "euler", '
        '"scheduler": "normal", "denoise": 1, "model": ["4", 0], "positive": ["6", 0], "negative": ["7", 0], '
        '"latent_image": ["5", 0]}}, '
        '"4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5.safetensors"}}, '
        '"5": {"class_type": "EmptyLatentImage", "inputs": {"width": 128, "height": 128, "batch_size": 1}}, '
        '"6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a red house", "clip": ["4", 1]}}, '
        '"7": {"class_type": "CLIPTextEncode", "inputs": {"text": "rain", "clip": ["4", 1]}}, '
        '"8": {"class_type": "SaveLatent", "inputs": {"samples": ["3", 0]}}}'
    )
    path = dropped(tmp_path / "a.latent", save_latent(np.ones((1, 4, 16, 16), np.float32), prompt=graph))
    words = opening(read_words, path, name="a.latent", characters=1000)
    assert words.foreign is not None
    assert (words.foreign["said"]["prompt"], words.foreign["said"]["seed"]) == ("a red house", 5)
    assert words.notes == () or "SaveLatent" not in " ".join(words.notes)
    assert not any("SaveLatent" in note for note in words.foreign["notes"])
    broken = dropped(tmp_path / "b.latent", b"nothing")
    with pytest.raises(tiffsd.Truncated, match=r"b\.latent is no safetensors file"):
        opening(read_words, broken, name="b.latent", characters=1000)
