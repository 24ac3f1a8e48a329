"""`tiffsd convert` to the forms of other programs and back: names, ids, units, and what is asked for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import click
import numpy as np
import pytest
import torch

import daemon.cli
import daemon.commands.files
import tiffsd
import tiffsd.commands
from tests.artifacts import latents, picture
from tests.tiffsd.test_commands import said, written_by
from tests.tiffsd.test_exchange import load_latent, save_latent

Convert = Callable[..., str]
SAMPLES = np.random.default_rng(2).standard_normal((1, 4, 8, 8)).astype(np.float32) * 4
BOTH = pytest.mark.parametrize("app", [daemon.cli.app, tiffsd.commands.app], ids=["tiffsd", "python -m tiffsd"])


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tiffsd.Artifact:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(daemon.commands.files, "usual_configs", list)
    cat = latents(state=tiffsd.State.FINAL)
    tiffsd.write("cat.tiff", cat)
    tiffsd.write("picture.tiff", picture(64, 64))
    Path("comfy.latent").write_bytes(save_latent(SAMPLES))
    return cat


@BOTH
@pytest.mark.parametrize("form", ["exr", "latent"])
def test_there_and_back_it_is_the_same_artifact_with_the_same_id(form: str, app: click.Group, desk: tiffsd.Artifact) -> None:
    model = ["--model", "sd1"] if form == "latent" else []
    assert said("convert", "cat.tiff", "--form", form, *model, app=app) == f"wrote cat.{desk.header.id}.{form}\n"
    assert said("convert", f"cat.{desk.header.id}.{form}", app=app) == f"wrote cat.{desk.header.id}.tiff\n"
    back = tiffsd.read(f"cat.{desk.header.id}.tiff")
    assert (back.header.history, back.header.layout) == (desk.header.history, tiffsd.Layout.MOSAIC)
    assert (back.header.id, back.header.recipe, back.notes) == (desk.header.id, desk.header.recipe, ())
    assert all(np.array_equal(back.tensors[name], desk.tensors[name]) for name in desk.tensors)


@pytest.mark.usefixtures("desk")
def test_the_ending_of_the_name_says_the_form_and_another_one_is_refused() -> None:
    assert said("convert", "cat.tiff", "-o", "a.exr") == "wrote a.exr\n"
    assert Path("a.exr").read_bytes().startswith(b"v/1\1")
    assert said("convert", "cat.tiff", "--form", "exr", "-o", "b") == "wrote b.exr\n"
    assert "what is written is OpenEXR; let it end in .exr" in said("convert", "cat.tiff", "--form", "exr", "-o", "c.tiff", code=2)
    assert "what is written is a TIFF file" in said("crop", "cat.tiff", "64x64", "-o", "c.exr", code=2)


@pytest.mark.usefixtures("desk")
def test_latents_are_named_channels_unless_a_mosaic_is_asked_for() -> None:
    said("convert", "cat.tiff", "-o", "pages.exr")
    said("convert", "cat.tiff", "--layout", "mosaic", "-o", "mosaic.exr")
    assert [tiffsd.inspect(name).layout for name in ("pages.exr", "mosaic.exr")] == [tiffsd.Layout.PAGES, tiffsd.Layout.MOSAIC]


@pytest.mark.usefixtures("desk")
def test_a_picture_goes_to_openexr_in_either_precision() -> None:
    for dtype, most in (("float32", 2**-23), ("float16", 2**-10)):
        said("convert", "picture.tiff", "--dtype", dtype, "-o", "a.exr")
        back = written_by("convert", "a.exr", "-o", f"{dtype}.tiff")
        assert np.abs(back.tensors["picture"] - tiffsd.read("picture.tiff").tensors["picture"]).max() <= most


@BOTH
@pytest.mark.usefixtures("desk")
def test_whose_units_latents_of_comfyui_have_must_be_said(app: click.Group) -> None:
    for words in (["comfy.latent", "-o", "a.tiff"], ["comfy.latent", "-o", "a.tiff", "--model", "nothing"]):
        told = " ".join(said("convert", *words, app=app, code=2).split())
        assert "give --model (sd1, sd2, sdxl, sd3, flux, or one of config.yaml) or --scaling-factor" in told
    assert not Path("a.tiff").exists()
    for words, factor, shift in (
        (["--model", "sdxl"], 0.13025, 0.0),
        (["--scaling-factor", "0.5"], 0.5, 0.0),
        (["--scaling-factor", "0.5", "--shift-factor", "0.25"], 0.5, 0.25),
    ):
        said("convert", "comfy.latent", "-o", "a.tiff", *words, app=app)
        found = tiffsd.read("a.tiff")
        assert np.allclose(found.tensors["latents"], (SAMPLES[0] - shift) * factor, rtol=1e-6)
        assert "brought to those of the denoiser" in str(found.header.history)


@pytest.mark.usefixtures("desk")
def test_the_model_of_the_recipe_or_of_the_configuration_says_the_units() -> None:
    said("convert", "cat.tiff", "-o", "demo.latent")
    loaded = load_latent(Path("demo.latent").read_bytes())
    assert torch.equal(loaded[0], torch.from_numpy(tiffsd.read("cat.tiff").tensors["latents"]))  # the demo's factor is 1
    said("convert", "comfy.latent", "--model", "demo", "-o", "a.tiff")
    assert np.array_equal(tiffsd.read("a.tiff").tensors["latents"], SAMPLES[0])


@pytest.mark.usefixtures("desk")
def test_what_would_not_be_used_is_not_said_in_vain() -> None:
    told = said("convert", "cat.tiff", "-o", "a.exr", "--model", "sd1", code=2)
    assert "only latents of ComfyUI are in other units" in " ".join(told.split())
    for words in (["--shift-factor", "1"], ["--model", "sd1", "--scaling-factor", "1"]):
        told = said("convert", "comfy.latent", "-o", "a.tiff", *words, code=2)
        assert "say --model, or --scaling-factor" in " ".join(told.split())
    with pytest.raises(tiffsd.WrongKind, match=r"holds picture, and a \.latent file latents"):
        said("convert", "picture.tiff", "-o", "a.latent", "--model", "sd1")
    assert not Path("a.latent").exists()


def test_of_latents_that_are_not_finished_it_is_told_that_comfyui_takes_them_as_such(desk: tiffsd.Artifact) -> None:
    tiffsd.write("noise.tiff", replace(desk, header=replace(desk.header, state=tiffsd.State.NOISE)))
    told = said("convert", "noise.tiff", "-o", "noise.latent", "--model", "sd1")
    assert "ComfyUI takes latents as finished ones, and these are noise" in told


@pytest.mark.usefixtures("desk")
def test_show_check_and_preview_take_both_forms() -> None:
    said("convert", "cat.tiff", "-o", "cat.exr")
    assert "units of their VAE, not of the denoiser" in said("show", "comfy.latent")
    assert 'prompt: "a red house"' in said("show", "cat.exr")
    for name in ("cat.exr", "comfy.latent"):
        assert "inbox/3-decode: decoded to a picture" in said("check", name)
        assert said("preview", name, "-o", "p.png") == "wrote p.png\n"
    assert said("diff", "cat.exr", "cat.tiff").endswith("no difference\n")


@pytest.mark.usefixtures("desk")
def test_other_commands_take_them_and_write_tiffs() -> None:
    said("convert", "cat.tiff", "-o", "cat.exr")
    assert written_by("crop", "cat.exr", "64x64").header.size == (4, 8, 8)
    for words in (["scale", "comfy.latent", "--latents", "2"], ["paste", "comfy.latent", "cat.tiff", "--at", "+0+0"]):
        with pytest.raises(tiffsd.BadValues, match="in the units of their VAE"):
            said(*words)
    assert not list(Path().glob("comfy.*.tiff"))
