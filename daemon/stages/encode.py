"""Encode: a picture becomes latents, the start of image-to-image.

Source: `prepare_latents` of diffusers' image-to-image pipeline. The VAE gives a distribution; the generator of the seed
draws from it, and its state goes on with the latents, because the noise that the diffuse stage adds must come from the
same generator."""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.autoencoder import from_vae, precise
from daemon.models.registry import Model, Models
from daemon.models.strips import Room, encode


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], progress: Progress
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Encode a picture (H, W, 3), 0..1, with the `seed` into latents (C, h, w), scaled as the denoiser sees them.

    Also gives generator_state (n,) uint8 as it is after the draw. Raises InputError for a size that is off the model's
    grid."""
    model, notes = Model.of(settings), list[str]()
    picture = _checked(tensors["picture"], models.grid(model))
    pixels = picture.permute(2, 0, 1)[None].float() * 2 - 1  # (1, 3, H, W)

    def moments(vae: Any) -> torch.Tensor:
        made: torch.Tensor = encode(vae, pixels.to(vae.device, vae.dtype), Room.of(settings), progress).parameters
        return made

    distribution = DiagonalGaussianDistribution(precise(models, model, moments, notes))
    generator = torch.Generator("cpu").manual_seed(settings["seed"])
    drawn = distribution.sample(generator)
    latents = from_vae(drawn, models.vae(model).config)  # (1, C, h, w)
    return {"latents": latents[0].float().cpu(), "generator_state": generator.get_state()}, {"notes": notes}


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
