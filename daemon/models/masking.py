"""Inpainting: what a mask leaves out stays as it was, step by step; an inpainting model sees the mask and the masked picture.

Source: the inpainting pipelines of diffusers. After each step the latents are (1 - m) * picture + m * latents, the picture with the
noise of the next timestep, and after the last step without any. So a gray mask draws the latents back to the picture by its part
at each step: the softer it is, the less is made anew.

    C latent channels   h, w latent height and width
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Self

import torch
import torch.nn.functional as F

from daemon.errors import InputError
from daemon.models.families import Family
from daemon.models.noise import Generator

MASK, MASKED, PICTURE, NOISE = "mask", "masked_image_latents", "image_latents", "noise"
HALF = 0.5


@dataclass(frozen=True)
class Inpainting:
    """What a loop with a mask needs at each step.

    `mask` is 1 where the picture is made anew, `picture` are the latents of before and `noise` is the noise of the loop, each
    (1, C, h, w) or as the loop takes latents; `seen` (1, 1 + C, h, w) is what an inpainting model sees beside the latents, and such
    a model keeps the picture by itself.
    """

    mask: torch.Tensor
    picture: torch.Tensor | None = None
    noise: torch.Tensor | None = None
    seen: torch.Tensor | None = None

    def packed(self, pack: Callable[[torch.Tensor], torch.Tensor]) -> Self:
        """Return the same as the loop of the family takes latents."""
        picture, noise = (None if part is None else pack(part) for part in (self.picture, self.noise))
        return type(self)(pack(self.mask), picture, noise, self.seen)

    def blended(self, latents: torch.Tensor, noised: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> torch.Tensor:
        """Return the latents after a step, with the picture back where the mask leaves it out; `noised` adds noise to it."""
        if self.picture is None or self.noise is None:
            return latents
        return (1 - self.mask) * noised(self.picture, self.noise) + self.mask * latents

    @property
    def share(self) -> float:
        """How much of the picture is made anew, 0..1."""
        return float(self.mask.float().mean())

    def shown(self, sample: torch.Tensor) -> torch.Tensor:
        """Return what the denoiser sees of a batch of latents (n, C, h, w)."""
        return sample if self.seen is None else torch.cat([sample, torch.cat([self.seen] * len(sample))], dim=1)

    def tensors(self) -> dict[str, torch.Tensor]:
        """Return what half-done latents carry of it, as `inpainting_of` takes it again."""
        masked = None if self.seen is None else self.seen[:, 1:]
        parts = {PICTURE: self.picture, NOISE: self.noise, MASKED: masked, MASK: self.mask[:, 0]}
        return {name: part[0].float().cpu() for name, part in parts.items() if part is not None}


def sees_masks(family: Family, denoiser: Mapping[str, Any]) -> bool:
    """Return whether a denoiser of this configuration is an inpainting model: latents, a mask and the masked picture go in.

    Raises InputError where something else goes in beside the latents."""
    channels, taken = family.channels(denoiser), family.channels_in(denoiser)
    if taken != channels and (taken != 2 * channels + 1 or family.denoiser != "unet"):
        raise InputError(
            f"the model takes {taken} channels at once, and of {family.name} only those with {channels} (latents) can be used, or "
            f"UNets with {2 * channels + 1} (latents, a mask and the masked picture); use another model"
        )
    return taken > channels


def at_latent_size(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return a mask (H, W), bool or float 0..1, as (h, w) float32. Raises InputError where nothing white is left of it."""
    small = F.interpolate(mask.float()[None, None], size=size)[0, 0]
    if not bool(small.any()):
        raise InputError("the mask is black everywhere, so nothing would be made anew; paint white what shall be")
    return small


def hardened(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    """Return a mask (H, W) as (h, w) float32 with nothing between 0 and 1: inpainting models were trained with such masks."""
    return (at_latent_size(mask, size) >= HALF).float()


def skip_masked_picture(generator: Generator, latents: torch.Tensor) -> None:
    """Pass over the random numbers with which diffusers encodes the masked picture, for every model, once the noise is drawn.

    The noise of A1111 knows nothing of that."""
    if isinstance(generator, torch.Generator):
        torch.randn(latents.shape, generator=generator)
