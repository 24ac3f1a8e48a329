"""Solvers that evaluate the denoiser twice a step."""

import math
from itertools import pairwise
from typing import Any

import numpy as np

from daemon.models.schedules import SCHEDULES, NoiseLevels
from daemon.models.solvers.solver import Draw, SigmaSolver, Tensor, ancestral, noisy, towards


class TwoStage(SigmaSolver):
    """A solver that evaluates the denoiser twice a step, but once where the last one ends in no noise.

    `steps` are the levels that each step leads from and to. Between its evaluations a step remembers where it began."""

    order = 2

    def impose(self, levels: Any, device: Any) -> None:
        """Take these noise levels, and begin at the head of a step."""
        self.steps = self._steps_over([float(np.float32(level)) for level in levels])
        super().impose(levels, device)
        self.start: Tensor | None = None
        self.first: Tensor | None = None

    def _steps_over(self, levels: list[float]) -> list[tuple[float, float]]:
        return list(pairwise(levels))

    def _shown(self) -> list[float]:
        *steps, (last, end) = self.steps
        shown = [level for sigma, following in steps for level in (sigma, self._through(sigma, following))]
        return [*shown, last, self._through(last, end)] if end else [*shown, last]

    def _through(self, sigma: float, following: float) -> float:
        """The level of the second evaluation; a step that ends in no noise before the last one wastes its own."""
        return self._middle(sigma, following) if following else sigma

    def _middle(self, sigma: float, following: float) -> float:
        raise NotImplementedError

    def _evaluated(self, x: Tensor, denoised: Tensor, draw: Draw) -> Tensor:
        step, second = divmod(self._step_index, 2)
        sigma, following = self.steps[step]
        if following == 0 and step + 1 == len(self.steps):
            return denoised
        middle = self._through(sigma, following)
        if not second:
            self.start, self.first = x, denoised
            return self._half(x, denoised, sigma, middle, draw)
        start, first = self.start, self.first
        assert start is not None
        assert first is not None
        self.start = self.first = None
        return self._whole(start, first, x, denoised, (sigma, middle, following), draw)

    def _half(self, x: Tensor, denoised: Tensor, sigma: float, middle: float, draw: Draw) -> Tensor:
        del draw
        return towards(x, denoised, middle / sigma)

    def _whole(
        self, start: Tensor, first: Tensor, x: Tensor, second: Tensor, levels: tuple[float, float, float], draw: Draw
    ) -> Tensor:
        """Where the step from `start` with the estimate `first` ends, with the estimate `second` of what `x` is at the middle."""
        raise NotImplementedError


class Heun(TwoStage):
    """Karras et al. 2022, algorithm 1 without churn."""

    def _middle(self, sigma: float, following: float) -> float:
        del sigma
        return following

    def _whole(
        self, start: Tensor, first: Tensor, x: Tensor, second: Tensor, levels: tuple[float, float, float], draw: Draw
    ) -> Tensor:
        del draw
        sigma, _, following = levels
        return start + ((start - first) / sigma + (x - second) / following) / 2 * (following - sigma)


class Restart(Heun):
    """Heun that goes back up to a noise of 2 near the end, once or twice (Xu et al. 2023, with A1111's numbers)."""

    _FROM, _UP_TO = 0.1, 2.0

    def _steps_over(self, levels: list[float]) -> list[tuple[float, float]]:
        count = len(levels) - 1
        if count < 20:
            return super()._steps_over(levels)
        long, times = (count // 4, 2) if count >= 36 else (9, 1)
        karras = SCHEDULES["karras"].levels
        down = karras(count - long * times, NoiseLevels(np.array([levels[-2], levels[0]])))
        low, high = (int(np.abs(down - level).argmin()) for level in (self._FROM, self._UP_TO))
        again = karras(long + 1, NoiseLevels(np.array([down[low], down[high]])))[:-1] if high < low else down[:0]
        parts = [down[: low + 1], *[again] * times, down[low:]]
        return [(float(a), float(b)) for part in parts for a, b in pairwise(part)]

    def _whole(
        self, start: Tensor, first: Tensor, x: Tensor, second: Tensor, levels: tuple[float, float, float], draw: Draw
    ) -> Tensor:
        following = levels[-1]
        x = super()._whole(start, first, x, second, levels, draw) if following else first
        beyond = max((sigma for sigma, _ in self.steps[self._step_index // 2 + 1 :][:1]), default=following)
        return noisy(x, math.sqrt(beyond**2 - following**2), draw)


class DPM2(TwoStage):
    """The second order of DPM-Solver by the midpoint, as k-diffusion has it."""

    def _middle(self, sigma: float, following: float) -> float:
        return math.sqrt(sigma * ancestral(sigma, following, self.eta or 0.0)[0])

    def _whole(
        self, start: Tensor, first: Tensor, x: Tensor, second: Tensor, levels: tuple[float, float, float], draw: Draw
    ) -> Tensor:
        del first
        sigma, middle, following = levels
        down, up = ancestral(sigma, following, self.eta or 0.0)
        return noisy(start + (x - second) / middle * (down - sigma), up, draw)


class DPM2Ancestral(DPM2):
    """The same with ancestral noise."""

    eta = 1.0


class DPMpp2SAncestral(DPM2Ancestral):
    """DPM-Solver++ of second order within one step, with ancestral noise."""

    def _whole(
        self, start: Tensor, first: Tensor, x: Tensor, second: Tensor, levels: tuple[float, float, float], draw: Draw
    ) -> Tensor:
        del first, x
        sigma, _, following = levels
        down, up = ancestral(sigma, following, self.eta)
        return noisy(towards(start, second, down / sigma), up, draw)


class DPMppSDE(TwoStage):
    """DPM-Solver++ of second order within one step, stochastic, as k-diffusion has it."""

    eta = 1.0

    def impose(self, levels: Any, device: Any) -> None:
        """Take these noise levels, and begin at the head of a step."""
        super().impose(levels, device)
        self.drawn: Tensor | None = None

    def _middle(self, sigma: float, following: float) -> float:
        return math.sqrt(sigma * following)

    def _half(self, x: Tensor, denoised: Tensor, sigma: float, middle: float, draw: Draw) -> Tensor:
        down, up = ancestral(sigma, middle, self.eta)
        x = towards(x, denoised, down / sigma)
        if not up:
            return x
        self.drawn = draw()
        return x + up * self.drawn

    def _whole(
        self, start: Tensor, first: Tensor, x: Tensor, second: Tensor, levels: tuple[float, float, float], draw: Draw
    ) -> Tensor:
        del first, x
        sigma, middle, following = levels
        down, up = ancestral(sigma, following, self.eta)
        begun, self.drawn = self.drawn, None
        x = towards(start, second, down / sigma)
        if begun is None:
            return x
        # Of a Brownian motion over sigma, the way through the middle.
        share = (sigma - middle) / (sigma - following)
        return x + up * (math.sqrt(share) * begun + math.sqrt(1 - share) * draw())
