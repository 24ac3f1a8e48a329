"""Other families through the real daemon: their own defaults, the refiner as a second diffuse stage, precision by stage."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch

import tiffsd
from tests import originals, tiny
from tests.parts import PROMPT, SEED, SIZE, STEPS, generator, one_piece, unpacked
from tests.running_daemon import RunningDaemon

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]

SQUARE = {"width": SIZE, "height": SIZE}


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("models")
    base, refiner = tiny.stable_diffusion_xl(root / "base"), tiny.stable_diffusion_xl(root / "refiner", refiner=True)
    return {
        "base": base,
        "refiner": refiner,
        "flux": tiny.flux(root / "flux"),
        "sd2": tiny.stable_diffusion(root / "sd2", version=2),
        "single": originals.write(originals.weights(originals.folder(root / "sd1", "sd1"), "sd1"), root / "sd1.ckpt", "zip"),
    }


@pytest.fixture(scope="module")
def daemon(models: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    configured: dict[str, object] = {name: {"path": str(path), "defaults": dict(SQUARE)} for name, path in models.items()}
    configured["flux"] = {"path": str(models["flux"]), "defaults": {**SQUARE, "scheduler": "flow_euler", "steps": STEPS}}
    configured["sd2"] = {"path": str(models["sd2"]), "defaults": dict(SQUARE), "prediction_type": "epsilon"}
    configured["single"] = {
        "path": str(models["single"]),
        "parts": str(models["single"].with_name("sd1")),
        "defaults": dict(SQUARE),
    }
    stages = {"decode": {"dtype": "bfloat16"}}
    running = RunningDaemon(tmp_path_factory.mktemp("daemon"), models=configured, defaults={"model": "base"}, stages=stages)
    running.start()
    yield running
    running.close()


def prompt(**settings: object) -> str:
    return "".join(["---\n", *(f"{key}: {value}\n" for key, value in {"seed": SEED, **settings}.items()), "---\n", PROMPT])


def approve(daemon: RunningDaemon, path: Path) -> None:
    path.rename(daemon.spool / "inbox/2-diffuse" / path.name)


def notes_of(artifact: tiffsd.Artifact) -> list[str]:
    return [note for entry in artifact.header.history for note in entry.get("notes", [])]


def in_one_piece(folder: Path, name: str) -> np.ndarray:
    pipe = one_piece(folder, name)
    latents = pipe(PROMPT, **SQUARE, num_inference_steps=STEPS, guidance_scale=4.0, generator=generator(), output_type="latent")
    result: np.ndarray = unpacked(latents.images).numpy()
    return result


def test_flux_stopped_in_the_middle_goes_on_from_its_file_to_the_bits_of_one_piece(
    daemon: RunningDaemon, models: dict[str, Path]
) -> None:
    daemon.drop("inbox/1-text", "flux.txt", prompt(model="flux", guidance_scale=4.0, stop_at=3, hold="decode"))
    (half,) = daemon.found("hold/2-diffuse/flux.*.tiff")
    assert tiffsd.read(half).tensors["latents"].shape == (16, 8, 8)
    approve(daemon, half)
    (done,) = daemon.found("hold/3-decode/flux.*.tiff")
    np.testing.assert_array_equal(tiffsd.read(done).tensors["latents"], in_one_piece(models["flux"], "flow_euler"))


def test_a_ckpt_gives_the_bits_of_the_folder_it_came_from(daemon: RunningDaemon, models: dict[str, Path]) -> None:
    daemon.drop("inbox/1-text", "file.txt", prompt(model="single", steps=STEPS, scheduler="ddim", hold="decode"))
    (held,) = daemon.found("hold/3-decode/file.*.tiff")
    folder = models["single"].with_name("sd1")
    np.testing.assert_array_equal(tiffsd.read(held).tensors["latents"], in_one_piece(folder, "ddim"))


def test_the_refiner_takes_over_what_the_base_model_began(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "cat.txt", prompt(steps=STEPS, scheduler="euler", stop_at=5))
    (half,) = daemon.found("hold/2-diffuse/cat.*.tiff")
    assert tiffsd.read(half).tensors["pooled_prompt_embeds"].shape == (24,)
    (daemon.spool / "inbox/2-diffuse" / f"{half.stem}.yaml").write_text("model: refiner\nhold: decode\n")
    approve(daemon, half)
    (held,) = daemon.found("hold/3-decode/cat.*.tiff")
    refined = tiffsd.read(held)
    assert refined.header.recipe["model"] == "refiner"
    assert refined.tensors["prompt_embeds"].shape == (77, 32)
    assert any("the steps so far were made with 'base'" in note for note in notes_of(refined))
    assert any("the latents go on with another model than 'base'" in note for note in notes_of(refined))


def test_the_configuration_says_what_a_model_predicts_and_in_which_precision_a_stage_runs(
    daemon: RunningDaemon, models: dict[str, Path]
) -> None:
    daemon.drop("inbox/1-text", "dog.txt", prompt(model="sd2", steps=STEPS, scheduler="ddim", hold="decode"))
    (held,) = daemon.found("hold/3-decode/dog.*.tiff")
    latents = tiffsd.read(held).tensors["latents"]
    assert not np.array_equal(latents, in_one_piece(models["sd2"], "ddim"))
    held.rename(daemon.spool / "inbox/3-decode" / held.name)
    (picture,) = daemon.found("pictures/dog.*.tiff")
    values = torch.from_numpy(tiffsd.read(picture).tensors["picture"])
    assert torch.equal(values, values.bfloat16().float())
