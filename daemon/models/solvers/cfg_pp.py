"""Solvers of CFG++, which go by the prediction without the prompt, too: they hear what the denoiser says before it is guided."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch

from daemon.models.solvers.solver import Draw, SigmaSolver, Tensor, ancestral, denoised_by, noisy


class EulerCFGpp(SigmaSolver):
    """Euler whose noise is that of the prediction without the prompt (Chung et al. 2024, CFG++).

    `heard` is what the denoiser said last, of (2n, C, h, w) the first half without the prompt; without guidance it says n."""

    heard: Tensor | None = None

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        heard, self.heard = self.heard, None
        other = denoised
        if heard is not None and len(heard) == 2 * len(x):
            other = denoised_by(self.config.prediction_type, heard[: len(x)].float(), x, sigma)
        down, up = ancestral(sigma, following, self.eta or 0.0)
        return noisy(denoised + (down / sigma) * (x - other), up, draw)


@contextmanager
def heard_by(scheduler: Any, denoiser: torch.nn.Module) -> Iterator[None]:
    """Let a solver of CFG++ hear what the denoiser says while a loop runs; others need not."""
    if not hasattr(scheduler, "heard"):
        yield
        return
    solver = scheduler.solver

    def hear(_module: torch.nn.Module, _given: Any, said: Any) -> None:
        solver.heard = said[0]

    hook = denoiser.register_forward_hook(hear)
    try:
        yield
    finally:
        hook.remove()


class EulerAncestralCFGpp(EulerCFGpp):
    """The same with ancestral noise."""

    eta = 1.0
