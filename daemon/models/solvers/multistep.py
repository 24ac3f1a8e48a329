"""Solvers that go by the estimates of the steps before.

lambda = -log(sigma)   h the difference of two of them   r that of two others in h
"""

import math
from typing import Any

import numpy as np

from daemon.models.solvers.solver import Draw, SigmaSolver, Tensor, ancestral, noisy, towards


class Multistep(SigmaSolver):
    """A solver that goes by the estimates of the steps before: `estimates`, the latest last, at most `kept` of them."""

    kept = 1

    def impose(self, levels: Any, device: Any) -> None:
        """Take these noise levels, and forget the estimates."""
        super().impose(levels, device)
        self.estimates: list[Tensor] = []

    def _evaluated(self, x: Tensor, denoised: Tensor, draw: Draw) -> Tensor:
        x = super()._evaluated(x, denoised, draw)
        self.estimates = [*self.estimates, denoised][-self.kept :]
        return x

    def _before(self, steps: int) -> float:
        """The level so many steps ago."""
        return self.levels[int(self._step_index) - steps]


class DPMppSDEMultistep(Multistep):
    """What the stochastic DPM-Solver++ of every order begin with, and the noise that they end with (Lu et al. 2022)."""

    eta = 1.0

    def _first_order(self, x: Tensor, denoised: Tensor, h: float) -> Tensor:
        return math.exp(-h * (1 + self.eta)) * x - math.expm1(-h * (1 + self.eta)) * denoised

    def _noised(self, x: Tensor, following: float, h: float, draw: Draw) -> Tensor:
        return noisy(x, following * math.sqrt(-math.expm1(-2 * h * self.eta)), draw)


class DPMpp2MSDE(DPMppSDEMultistep):
    """DPM-Solver++ of second order over two steps, stochastic, by the midpoint."""

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        if following == 0:
            return denoised
        h = math.log(sigma / following)
        reach = h * (1 + self.eta)
        x = self._first_order(x, denoised, h)
        if self.estimates:
            r = math.log(self._before(1) / sigma) / h
            x = x + self._correction(reach) / r * (denoised - self.estimates[-1])
        return self._noised(x, following, h, draw)

    def _correction(self, reach: float) -> float:
        return -math.expm1(-reach) / 2


class DPMpp2MSDEHeun(DPMpp2MSDE):
    """The same by Heun's rule."""

    def _correction(self, reach: float) -> float:
        return 1 + math.expm1(-reach) / reach


class DPMpp3MSDE(DPMppSDEMultistep):
    """DPM-Solver++ of third order over three steps, stochastic, as k-diffusion has it."""

    kept = 2

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        if following == 0:
            return denoised
        h = math.log(sigma / following)
        reach = h * (1 + self.eta)
        x = self._first_order(x, denoised, h)
        phi_2 = 1 + math.expm1(-reach) / reach
        if self.estimates:
            r0 = math.log(self._before(1) / sigma) / h
            slope = (denoised - self.estimates[-1]) / r0
            curve = None
            if len(self.estimates) > 1:
                r1 = math.log(self._before(2) / self._before(1)) / h
                curve = (slope - (self.estimates[-1] - self.estimates[-2]) / r1) / (r0 + r1)
                slope = slope + curve * r0
            x = x + phi_2 * slope - (0 if curve is None else (phi_2 / reach - 0.5) * curve)
        return self._noised(x, following, h, draw)


class RESMultistep(Multistep):
    """The refined exponential solver of second order over two steps (Zhang et al. 2023)."""

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        down, up = ancestral(sigma, following, self.eta or 0.0)
        if down == 0 or not self.estimates:
            return noisy(towards(x, denoised, down / sigma), up, draw)
        h = math.log(sigma / down)
        reached, _ = ancestral(self._before(1), sigma, self.eta or 0.0)
        c = math.log(reached / self._before(1)) / h
        phi_1 = -math.expm1(-h) / h
        phi_2 = (1 - phi_1) / h
        estimate = (phi_1 - phi_2 / c) * denoised + phi_2 / c * self.estimates[-1]
        return noisy((down / sigma) * x + h * estimate, up, draw)


class RESMultistepAncestral(RESMultistep):
    """The same with ancestral noise."""

    eta = 1.0


class ERSDE(Multistep):
    """The extended reverse-time SDE solver of third order (Cui et al. 2023, VE), with the noise scale that they recommend."""

    kept = 2
    _POINTS = np.arange(200.0)

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        if following == 0:
            return denoised
        r = self._scale(following) / self._scale(sigma)
        x = towards(x, denoised, r)
        step = (following - sigma) / len(self._POINTS)
        places = following - self._POINTS * step
        weights = -step / self._scale(places)
        change = following - sigma
        if self.estimates:
            slope = (denoised - self.estimates[-1]) / (sigma - self._before(1))
            x = x + (change + float(weights.sum()) * self._scale(following)) * slope
            if len(self.estimates) > 1:
                earlier = (self.estimates[-1] - self.estimates[-2]) / (self._before(1) - self._before(2))
                curve = (slope - earlier) * 2 / (sigma - self._before(2))
                integral = float((weights * (places - sigma)).sum())
                x = x + (change**2 / 2 + integral * self._scale(following)) * curve
        return noisy(x, math.sqrt(max(following**2 - (sigma * r) ** 2, 0.0)), draw)

    @staticmethod
    def _scale(sigma: Any) -> Any:
        return sigma * (np.exp(sigma**0.3) + 10)
