"""Encode: a picture becomes latents, the start of image-to-image.

Source: `prepare_latents` of diffusers' image-to-image pipeline. The VAE gives a distribution; the generator of the seed
draws from it, and its state goes on with the latents, because the noise that the diffuse stage adds must come from the
same generator."""

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
    """Encode a picture (H, W, 3), 0..1, with the `seed` into latents (C, h, w), scaled as the UNet sees them.

    Also gives generator_state (n,) uint8 as it is after the draw. Raises InputError for a size that is off the model's
    grid."""
    model = Model.of(settings)
    picture = _checked(tensors["picture"], models.scale_factor(model))
    vae = models.component(model, "vae")
    generator = torch.Generator("cpu").manual_seed(settings["seed"])
    pixels = picture.permute(2, 0, 1)[None].float() * 2 - 1  # (1, 3, H, W)
    distribution = vae.encode(pixels.to(vae.device, vae.dtype)).latent_dist
    latents = vae.config.scaling_factor * distribution.sample(generator)  # (1, C, h, w)
    progress(1, 1)
    out = {"latents": model.finite(latents[0].float().cpu()), "generator_state": generator.get_state()}
    return out, {"notes": []}


def _checked(picture: torch.Tensor, factor: int) -> torch.Tensor:
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise InputError(f"a picture of the shape {tuple(picture.shape)} cannot be encoded; it must be (height, width, 3)")
    height, width, _ = picture.shape
    if height % factor or width % factor or not height or not width:
        raise InputError(
            f"a picture of {width} x {height} pixels cannot be encoded; width and height must be multiples of "
            f"{factor}: crop it to {max(width // factor, 1) * factor} x {max(height // factor, 1) * factor}"
        )
    return picture
