"""One run of a family's own pipeline with only the denoiser in it, over what the scheduler shows it.

C latent channels   h, w latent height and width
"""

from collections.abc import Mapping
from typing import Any

import torch

from daemon.models.families import Family
from daemon.models.noise import Generator
from daemon.models.stage_settings import StageSettings


def denoised(
    pipe: Any,
    family: Family,
    latents: torch.Tensor,
    embeddings: Mapping[str, torch.Tensor],
    settings: StageSettings,
    *,
    generator: Generator | list[Generator] | None = None,
) -> torch.Tensor:
    """Return what the loop of the pipeline makes of latents (N, C, h, w), in the same shape, with a generator for each of N."""
    height, width = latents.shape[-2:]
    size = {"height": height * pipe.vae_scale_factor, "width": width * pipe.vae_scale_factor}
    made: torch.Tensor = pipe(
        **embeddings,
        **family.loop_arguments(settings, latents, size),
        latents=family.packed(pipe, latents),
        num_inference_steps=settings["steps"],
        guidance_scale=settings["guidance_scale"],
        generator=generator,
        output_type="latent",
        return_dict=False,
    )[0]
    return family.unpacked(pipe, made, (height, width))
