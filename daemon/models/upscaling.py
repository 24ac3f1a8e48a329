"""Latents in another size, for a second pass over a picture (hires fix).

Bilinear, as A1111's upscaler "Latent": its recipes mean this one. Enlarged latents decode blurred; the second pass must run at a
strength of about one half or more to make details of its own.
"""

from collections.abc import Sequence

import torch
import torch.nn.functional as F


def resized(latents: torch.Tensor, size: Sequence[int] | None) -> torch.Tensor:
    """Return latents (1, C, h, w) in the given size (h, w); as they are where none is given."""
    if size is None or tuple(size) == latents.shape[2:]:
        return latents
    return F.interpolate(latents.float(), size=tuple(size), mode="bilinear").to(latents.dtype)
