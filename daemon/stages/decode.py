"""Decode: denoised latents become a picture.

Source: the last lines of diffusers' pipeline, without its clamping, so that nothing above white or below black is lost.
"""

from collections.abc import Mapping
from typing import Any

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.registry import Model, Models


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], progress: Progress
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Decode latents (C, h, w), scaled as the UNet sees them, into a picture (H, W, 3), float32, 0..1, unclamped.

    Raises InputError where the latents are not of this model's VAE, or where the picture is not finite.
    """
    model = Model.of(settings)
    latents = tensors["latents"]
    vae = models.component(model, "vae")
    if latents.ndim != 3 or latents.shape[0] != vae.config.latent_channels:
        raise InputError(
            f"the latents are {tuple(latents.shape)}, and the VAE of the model {model.name!r} decodes "
            f"{vae.config.latent_channels} channels; decode them with the model they were made with"
        )
    scaled = latents[None].to(vae.device, vae.dtype) / vae.config.scaling_factor  # (1, C, h, w)
    picture = vae.decode(scaled, return_dict=False)[0] / 2 + 0.5  # (1, 3, H, W)
    progress(1, 1)
    return {"picture": model.finite(picture[0].permute(1, 2, 0).float().cpu())}, {"notes": []}
