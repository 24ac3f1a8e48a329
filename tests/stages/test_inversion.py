"""Inversion: latents and a prompt -> the noise that makes them, and forward again to the picture."""

import json
from pathlib import Path

import pytest
import torch

from daemon.errors import InputError
from daemon.models.registry import Models
from daemon.settings.resources import resource
from daemon.stages import decode, diffuse, encode, invert
from tests import released, tiny
from tests.parts import embeddings, quiet, settings, start

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]


@pytest.mark.parametrize("guidance", [1.0, 4.0])
def test_noise_to_picture_to_noise_to_picture_with_the_embedded_model(models: Models, guidance: float) -> None:
    demo = {"width": 128, "height": 128, "prompt": "a red house in a meadow at sunset", "negative_prompt": ""}
    chosen = settings(resource("models/demo"), scheduler="ddim", steps=20, guidance_scale=guidance, **demo)
    begun = start(models, chosen)
    made, _ = diffuse.run(models, begun, chosen, quiet)
    found, facts = invert.run(models, made | embeddings(begun), {**chosen, "state": "final"}, quiet)
    again, _ = diffuse.run(models, found | embeddings(begun), chosen, quiet)
    first, second = (decode.run(models, latents, chosen, quiet)[0]["picture"].clamp(0, 1) for latents in (made, again))
    assert facts["residual"] < 1e-4
    assert facts["notes"][0].startswith("this noise was found by inversion for ddim in 20 steps, to a residual of ")
    assert float((first - second).abs().mean()) < 0.001 / 255


def stable_diffusion_xl(path: Path) -> Path:
    """With the line of the real one that keeps ddim from clipping."""
    config = tiny.stable_diffusion_xl(path) / "scheduler" / "scheduler_config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "clip_sample": False}))
    return path


MAKERS = {
    "sd1": tiny.stable_diffusion,
    "sd2": lambda path: tiny.stable_diffusion(path, version=2),
    "sd2-zero-snr": lambda path: tiny.stable_diffusion(path, version=2, zero_snr=True),
    "sdxl": stable_diffusion_xl,
    "sd3": tiny.stable_diffusion_3,
    "flux": tiny.flux,
}


@pytest.mark.parametrize("family", MAKERS)
def test_each_family_comes_back_to_the_latents_that_were_inverted(models: Models, folders: dict[str, Path], family: str) -> None:
    chosen = settings(folders[family], scheduler="flow_euler" if family in ("sd3", "flux") else "ddim", steps=12)
    begun = start(models, chosen)
    made, _ = diffuse.run(models, begun, chosen, quiet)
    found, facts = invert.run(models, made | embeddings(begun), {**chosen, "scheduler": "euler_a", "state": "final"}, quiet)
    assert (facts["state"], facts["scheduler"]) == ("noise", chosen["scheduler"])
    again, _ = diffuse.run(models, found | embeddings(begun), chosen, quiet)
    assert float((again["latents"] - made["latents"]).abs().max()) < 1e-3


def test_a_photo_becomes_noise_that_makes_it(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd2"], scheduler="ddim", steps=12, guidance_scale=1.0)
    encoded, _ = encode.run(models, {"picture": torch.rand((64, 64, 3), generator=torch.Generator().manual_seed(1))}, chosen, quiet)
    found, _ = invert.run(models, encoded | embeddings(start(models, chosen)), {**chosen, "state": "final"}, quiet)
    again, _ = diffuse.run(models, found | embeddings(start(models, chosen)), chosen, quiet)
    assert float((again["latents"] - encoded["latents"]).abs().max()) < 1e-4


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_inverts_to_its_own_rounding(models: Models, folders: dict[str, Path], dtype: str) -> None:
    chosen = settings(folders["sd2"], scheduler="ddim", steps=8, guidance_scale=2.0)
    chosen["model"] = {**chosen["model"], "dtype": dtype}
    begun = start(models, chosen)
    made, _ = diffuse.run(models, begun, chosen, quiet)
    found, _ = invert.run(models, made | embeddings(begun), {**chosen, "state": "final"}, quiet)
    again, _ = diffuse.run(models, found | embeddings(begun), chosen, quiet)
    assert float((again["latents"] - made["latents"]).abs().mean()) < 0.1


def test_a_residual_that_can_be_seen_is_said(models: Models, folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.models.inversion.ITERATIONS", 1)
    chosen = settings(folders["sd2"], scheduler="ddim", steps=5)
    begun = start(models, chosen)
    _, facts = invert.run(models, begun, {**chosen, "state": "final"}, quiet)
    assert "which is too much for the same picture: take more steps, or less guidance" in facts["notes"][0]


def test_models_that_do_not_invert_are_refused(models: Models, tmp_path: Path) -> None:
    inpainting, clipping = (
        tiny.stable_diffusion(tmp_path / "inpainting", inpainting=True),
        released.configured(tiny.stable_diffusion_xl(tmp_path / "xl"), "stable-diffusion-xl", clip_sample=True),
    )
    for folder, sentence in (
        (inpainting, "'tiny' is an inpainting model, which sees a mask at each step"),
        (clipping, "the scheduler of the model 'tiny' clips the estimate of each step"),
    ):
        chosen = settings(folder, state="final")
        with pytest.raises(InputError, match=sentence):
            invert.run(models, start(models, chosen), chosen, quiet)
