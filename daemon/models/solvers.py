"""Solvers of k-diffusion, A1111 and ComfyUI that diffusers lacks, as schedulers of diffusers.

A step evaluates the denoiser once or twice.

They work on latents x of variance sigma^2 + 1 and on the denoiser's estimate D of the finished ones. All that a solver remembers
is in its attributes, so that it stops and goes on exactly (`solver_state.py`). Where A1111 and ComfyUI draw the noise of their SDE
solvers from a Brownian tree, here each step draws its own, of the same law.

    lambda = -log(sigma), h = the difference of two of them
"""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from diffusers import EulerDiscreteScheduler

from daemon.models.noise import randn
from daemon.models.schedules import SCHEDULES, NoiseLevels

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


class DPMpp2MSDE(Multistep):
    """DPM-Solver++ of second order over two steps, stochastic (Lu et al. 2022), by the midpoint."""

    eta = 1.0

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        if following == 0:
            return denoised
        h = math.log(sigma / following)
        reach = h * (1 + self.eta)
        x = (following / sigma) * math.exp(-h * self.eta) * x - math.expm1(-reach) * denoised
        if self.estimates:
            r = math.log(self._before(1) / sigma) / h
            x = x + self._correction(reach) / r * (denoised - self.estimates[-1])
        return noisy(x, following * math.sqrt(-math.expm1(-2 * h * self.eta)), draw)

    def _correction(self, reach: float) -> float:
        return -math.expm1(-reach) / 2


class DPMpp2MSDEHeun(DPMpp2MSDE):
    """The same by Heun's rule."""

    def _correction(self, reach: float) -> float:
        return 1 + math.expm1(-reach) / reach


class DPMpp3MSDE(Multistep):
    """DPM-Solver++ of third order over three steps, stochastic, as k-diffusion has it."""

    eta, kept = 1.0, 2

    def _advance(self, x: Tensor, denoised: Tensor, sigma: float, following: float, draw: Draw) -> Tensor:
        if following == 0:
            return denoised
        h = math.log(sigma / following)
        reach = h * (1 + self.eta)
        x = (following / sigma) * math.exp(-h * self.eta) * x - math.expm1(-reach) * denoised
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
        return noisy(x, following * math.sqrt(-math.expm1(-2 * h * self.eta)), draw)


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


def noisy(x: Tensor, amount: float, draw: Draw) -> Tensor:
    """Return x with so much noise added; where it is none, nothing is drawn."""
    return x + amount * draw() if amount else x
