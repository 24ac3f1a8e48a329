"""Latents in the units of their VAE, as ComfyUI has them: each stage takes them for what the denoiser would have seen."""

from pathlib import Path

import numpy as np
import pytest
import torch

from daemon.errors import InputError
from daemon.models.autoencoder import to_vae
from daemon.models.registry import Models, ModelSpec
from daemon.models.vae_units import scaling_of
from daemon.stages import decode
from daemon.stages.conditions import latents_for
from tests import tiny
from tests.parts import quiet, settings
from tiffsd.latent_file import SCALINGS

MAKERS = {
    "sd1": tiny.stable_diffusion,
    "sdxl": tiny.stable_diffusion_xl,
    "sd3": tiny.stable_diffusion_3,
    "flux": tiny.flux,
}

pytestmark = pytest.mark.usefixtures("fixed_threads")


@pytest.mark.parametrize("family", MAKERS)
def test_latents_of_the_vae_are_decoded_and_denoised_as_those_that_the_denoiser_sees(
    family: str, models: Models, folders: dict[str, Path]
) -> None:
    chosen = settings(folders[family], state="final")
    model = ModelSpec.of(chosen)
    channels = 4 if family.startswith("sd") and family != "sd3" else 16
    seen = torch.randn((channels, 8, 8), generator=torch.Generator().manual_seed(3))
    scaling = SCALINGS[family]
    of_vae = torch.from_numpy(scaling.to_vae(seen.numpy()))
    assert torch.allclose(of_vae[None], to_vae(seen[None], models.vae(model).config), atol=1e-5)
    taken = latents_for(models, model, {"latents": of_vae}, {**chosen, "of_vae": True})
    assert torch.allclose(taken, latents_for(models, model, {"latents": seen}, chosen), atol=1e-5)
    pictures = [
        decode.run(models, {"latents": tensor}, {**chosen, "of_vae": raw}, quiet)[0]["picture"]
        for tensor, raw in ((of_vae, True), (seen, False))
    ]
    assert np.allclose(pictures[0], pictures[1], atol=1e-4)


def test_latents_of_another_vae_are_refused(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], state="final")
    with pytest.raises(InputError, match=r"the latents are \(16, 8, 8\), and the VAE of the model .* has 4 channels"):
        decode.run(models, {"latents": torch.zeros((16, 8, 8))}, {**chosen, "of_vae": True}, quiet)


@pytest.mark.parametrize("family", MAKERS)
def test_the_scaling_is_told_from_the_folder_of_a_model(family: str, folders: dict[str, Path]) -> None:
    scaling = SCALINGS[family]
    assert scaling_of(str(folders[family]), None) == (scaling.factor, scaling.shift)
    assert scaling_of(str(folders[family]), {"vae": "/elsewhere"}) is None


def test_of_what_is_not_there_no_scaling_is_told(tmp_path: Path) -> None:
    assert scaling_of(str(tmp_path), None) is None
    assert scaling_of("somebody/model", None) is None
