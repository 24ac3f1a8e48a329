"""What all solvers of ours have in common: their place among diffusers' schedulers, the levels they go through, and the noise.

x  latents of variance sigma^2 + 1   D  the denoiser's estimate of the finished ones
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler

from daemon.models.noise import randn
from daemon.models.schedules import NoiseLevels

Draw = Callable[[], torch.Tensor]
Tensor = torch.Tensor


class SigmaSolver(EulerDiscreteScheduler):  # type: ignore[misc]
    """One step of a solver is `_advance`; the rest is that of Euler.

    `eta` is how much of the noise of a step is drawn anew, 1 as k-diffusion has it; None where a solver draws none."""

    eta: Any = None
    _step_index: Any

    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None, **options: Any) -> None:
        """Take the levels that Euler would take, or those that `options` name."""
        super().set_timesteps(num_inference_steps, device, **options)
        self.impose(self.sigmas.double().numpy(), device)

    def impose(self, levels: Any, device: Any) -> None:
        """Take these noise levels (n + 1,), from the highest down."""
        self.levels = [float(np.float32(level)) for level in levels]
        shown = self._shown()
        self.sigmas = torch.tensor([*shown, self.levels[-1]], dtype=torch.float32)
        self.timesteps = torch.tensor(self._trained().timesteps_of(np.array(shown)), dtype=torch.float32, device=device)
        self.num_inference_steps = len(self.levels) - 1
        self._step_index = self._begin_index = None

    def _trained(self) -> NoiseLevels:
        return NoiseLevels(trained_levels(self.alphas_cumprod))

    def _shown(self) -> list[float]:
        """The levels at which the denoiser is evaluated."""
        return self.levels[:-1]

    def step(
        self, model_output: Tensor, timestep: Any, sample: Tensor, generator: Any = None, *, return_dict: bool = True
    ) -> tuple[Tensor]:
        """Return the latents after an evaluation, as a tuple."""
        del return_dict
        if self._step_index is None:
            self._init_step_index(timestep)
        x = sample.float()
        sigma = float(self.sigmas[self._step_index])
        denoised = denoised_by(self.config.prediction_type, model_output.float(), x, sigma)

        def draw() -> Tensor:
            return drawn_like(x, generator)

        x = self._evaluated(x, denoised, draw)
        self._step_index += 1
        return (x.to(model_output.dtype),)

    def _evaluated(self, x: Tensor, denoised: Tensor, draw: Draw) -> Tensor:
        i = self._step_index
        return self._advance(x, denoised, self.levels[i], self.levels[i + 1], draw)

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        raise NotImplementedError


def trained_levels(alphas_cumprod: Tensor) -> Any:
    """Return the noise levels (T,) of a model of noise prediction, from the lowest up."""
    alphas = alphas_cumprod.double().numpy()
    # With zero terminal signal the last one would be infinite.
    return np.sqrt((1 - alphas) / np.maximum(alphas, 2**-24))


def denoised_by(prediction: str, model_output: Tensor, x: Tensor, sigma: float) -> Tensor:
    """Return the estimate of the finished latents from a prediction at x of variance sigma^2 + 1."""
    if prediction == "epsilon":
        return x - sigma * model_output
    if prediction == "v_prediction":
        return x / (sigma**2 + 1) - model_output * sigma / math.sqrt(sigma**2 + 1)
    return model_output


def drawn_like(x: Tensor, generator: Any) -> Tensor:
    """Return unit noise of the shape of x, drawn in float32."""
    return randn(tuple(x.shape), generator, device=x.device)


def ancestral(sigma: float, following: float, eta: float) -> tuple[float, float]:
    """Return how far down a step goes, and the noise that it adds to be at `following` again (Karras et al. 2022, k-diffusion)."""
    up = min(following, eta * math.sqrt(max(following**2 * (sigma**2 - following**2) / sigma**2, 0.0)))
    return math.sqrt(following**2 - up**2), up


def towards(x: Tensor, denoised: Tensor, ratio: float) -> Tensor:
    """Return x moved straight to the estimate until `ratio` of its noise is left."""
    return denoised + ratio * (x - denoised)


def noisy(x: Tensor, amount: float, draw: Draw) -> Tensor:
    """Return x with so much noise added; where it is none, nothing is drawn."""
    return x + amount * draw() if amount else x
