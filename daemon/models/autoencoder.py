"""Running a VAE: its units, which are not those of the denoiser, and its precision, which half the numbers do not always have.

Each VAE has a scaling factor, some a shift, or a mean and deviation of each channel.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import torch

from daemon.models.registry import Models, ModelSpec


def precise(models: Models, model: ModelSpec, work: Callable[[Any], torch.Tensor], notes: list[str]) -> torch.Tensor:
    """Return what `work` makes of the model's VAE; where float16 overflows, of the same VAE in float32, and a note says so.

    Raises InputError where the result is not finite in float32 either."""
    vae = models.vae(model)
    result = work(vae)
    if weight(vae).dtype is torch.float16 and not bool(torch.isfinite(result).all()):
        notes.append("the VAE overflowed in float16 and was run in float32")
        model = replace(model, dtype="float32", fast=False)
        result = work(models.component(model, "vae"))
    return model.finite(result)


def weight(vae: Any) -> torch.Tensor:
    """One weight of a VAE, whose device and dtype are those of all: to ask the VAE itself takes milliseconds."""
    one: torch.Tensor = next(vae.parameters())
    return one


def to_vae(latents: torch.Tensor, config: Any) -> torch.Tensor:
    """Latents (1, C, h, w) of the denoiser -> of the VAE with this configuration."""
    statistics = _statistics(latents, config)
    if statistics:
        return latents * statistics[1] / float(config.scaling_factor) + statistics[0]
    scaled = latents / float(config.scaling_factor)
    return scaled if config.get("shift_factor") is None else scaled + float(config.shift_factor)


def from_vae(latents: torch.Tensor, config: Any) -> torch.Tensor:
    """The inverse of `to_vae`."""
    statistics = _statistics(latents, config)
    if statistics:
        return (latents - statistics[0]) * float(config.scaling_factor) / statistics[1]
    shifted = latents if config.get("shift_factor") is None else latents - float(config.shift_factor)
    return shifted * float(config.scaling_factor)


def _statistics(latents: torch.Tensor, config: Any) -> tuple[torch.Tensor, torch.Tensor] | None:
    """Mean and deviation of each channel, where the configuration has both."""
    values: list[Sequence[float] | None] = [config.get("latents_mean"), config.get("latents_std")]
    if values[0] is None or values[1] is None:
        return None
    mean, deviation = (torch.tensor(value).view(1, -1, 1, 1).to(latents.device, latents.dtype) for value in values)
    return mean, deviation
