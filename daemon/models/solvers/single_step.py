"""Solvers that evaluate the denoiser once a step and look back no further than to its beginning."""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from daemon.models.solvers.solver import Draw, SigmaSolver, Tensor, ancestral, noisy, towards


class EulerAncestral(SigmaSolver):
    """Euler with ancestral noise; in these latents it is DDIM too, with its eta."""

    eta = 1.0

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        down, up = ancestral(sigma, following, self.eta)
        return noisy(towards(x, denoised, down / sigma), up, draw)


class DDIM(EulerAncestral):
    """DDIM over given levels (Song et al. 2021, equation 12); where it ends above no noise, with the variance of the model."""

    eta = 0.0

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        x = super()._advance(x, denoised, sigma, following, draw)
        return x / math.hypot(following, 1) if self._step_index + 2 == len(self.levels) else x


class LCM(SigmaSolver):
    """Each step takes the estimate and noises it again (Luo et al. 2023), as ComfyUI does it."""

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        del x, sigma
        return noisy(denoised, following, draw)


class DDPM(SigmaSolver):
    """Ho et al. 2020, algorithm 2, from one of the given levels to the next."""

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        before, after = 1 / (sigma**2 + 1), 1 / (following**2 + 1)
        alpha = before / after
        mean = (x * math.sqrt(before) - (1 - alpha) / math.sqrt(1 - before) * (x - denoised) / sigma) / math.sqrt(alpha)
        x = noisy(mean, math.sqrt((1 - alpha) * (1 - after) / (1 - before)), draw)
        return x / math.sqrt(after) if following else x


class GradientEstimation(SigmaSolver):
    """Euler that reaches beyond the change of the gradient since the step before (Permenter and Yuan 2024), with gamma 2."""

    def impose(self, levels: Any, device: Any) -> None:
        """Take these noise levels, and forget the gradient."""
        super().impose(levels, device)
        self.gradient: Tensor | None = None

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        del draw
        gradient = (x - denoised) / sigma
        before, self.gradient = self.gradient, gradient
        if following == 0:
            return denoised
        return x + (gradient if before is None else 2 * gradient - before) * (following - sigma)


class DPMFast(SigmaSolver):
    """DPM-Solver-fast (Lu et al. 2022) with ancestral noise: over even steps of log(sigma) solvers of third order, at the end of
    lower ones, so that there are as many evaluations as levels. Of a schedule only its ends count.

    `stages` says of each evaluation the order of its solver, which of its evaluations it is, where its solver leads from and to,
    and the noise that is added behind it. Between them a solver remembers where it began, and the slopes it found."""

    eta = 1.0

    def impose(self, levels: Any, device: Any) -> None:
        """Take the ends of these noise levels, and begin at the head of a solver."""
        count, lowest = len(levels) - 1, float(levels[-1] or levels[-2])
        bounds = np.geomspace(float(levels[0]), lowest, count // 3 + 2).tolist()
        full = count // 3 - (count % 3 == 0)
        orders = [*[3] * full, *([2, 1] if count % 3 == 0 else [count % 3])]
        self.stages: list[tuple[int, int, float, float, float]] = []
        shown = []
        for order, (sigma, following) in zip(orders, pairwise(bounds), strict=True):
            down = max(ancestral(sigma, following, self.eta)[0], lowest)
            up = math.sqrt(max(following**2 - down**2, 0.0))
            self.stages += [(order, stage, sigma, down, up) for stage in range(order)]
            shown += [sigma * (down / sigma) ** (stage / order) for stage in range(order)]
        super().impose([*shown, lowest], device)
        self.start: Tensor | None = None
        self.slopes: list[Tensor] = []

    def _evaluated(self, x: Tensor, denoised: Tensor, draw: Draw) -> Tensor:
        order, stage, sigma, down, up = self.stages[self._step_index]
        if stage and self.start is None:
            # Begun within a solver whose first slopes nobody knows (image-to-image): on in first order to its end.
            last, (now, following) = stage + 1 == order, self.levels[self._step_index : self._step_index + 2]
            return noisy(towards(x, denoised, (down if last else following) / now), up if last else 0.0, draw)
        start = x if self.start is None else self.start
        slopes = [*self.slopes, (x - denoised) / self.levels[self._step_index]]
        h = math.log(sigma / down)
        if stage + 1 < order:
            self.start, self.slopes = start, slopes
            return self._within(start, slopes, sigma, h * (stage + 1) / order)
        self.start, self.slopes = None, []
        x = start - down * math.expm1(h) * slopes[0]
        if order == 2:
            x = x - down * math.expm1(h) * (slopes[1] - slopes[0])
        elif order == 3:
            x = x - 1.5 * down * (math.expm1(h) / h - 1) * (slopes[2] - slopes[0])
        return noisy(x, up, draw)

    @staticmethod
    def _within(start: Tensor, slopes: list[Tensor], sigma: float, reach: float) -> Tensor:
        """Where the next slope of a solver is found, `reach` down from its beginning."""
        there = sigma * math.exp(-reach)
        x = start - there * math.expm1(reach) * slopes[0]
        if len(slopes) == 1:
            return x
        return x - 2 * there * (math.expm1(reach) / reach - 1) * (slopes[1] - slopes[0])
