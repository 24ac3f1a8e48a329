"""Latents enlarged for a second pass over a picture (hires fix).

Bilinear, as A1111's upscaler "Latent": its recipes mean this one. Enlarged latents decode blurred; the second pass must run at a
strength of about one half or more to make details of its own.
"""

import torch
import torch.nn.functional as F


def enlarged(latents: torch.Tensor, factor: float | None, *, patch: int) -> torch.Tensor:
    """Return latents (1, C, h, w) with sides `factor` times as long, to the nearest multiple of `patch`; None leaves them alone."""
    if factor is None:
        return latents
    size = [max(1, round(side * factor / patch)) * patch for side in latents.shape[2:]]
    return F.interpolate(latents.float(), size=size, mode="bilinear").to(latents.dtype)
