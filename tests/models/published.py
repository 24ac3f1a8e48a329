"""What A1111 1.10 and ComfyUI compute, schedule by schedule and sampler by sampler, in float64 and over a denoiser of one line.

Written from the papers, in the variance-exploding frame of Karras et al. (2022, arXiv:2206.00364): x = data + sigma * noise, and
dx/dsigma = (x - D(x, sigma)) / sigma. An exponential integrator in that frame is a straight line towards what the denoiser says,
`_toward`, which is why most of the samplers are one line long. Where the two programs part, or part from the paper, the docstring
says so; the programs are followed.
"""

import math
from collections.abc import Callable, Iterator, Mapping
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]
Draw = Callable[[], Array]
Denoise = Callable[[Array, float], Any]
Schedule = Callable[[int, Array, bool], Array]
FlowSchedule = Callable[[int, Array], Array]
Sampler = Callable[..., Array]

STEPS_OF_TRAINING = 1000


# ---- denoisers -------------------------------------------------------------------------------------------------------------------


def gaussian(mean: npt.ArrayLike, std: npt.ArrayLike) -> Denoise:
    """The best denoiser of data that are N(mean, std^2): the mean of the data, given x."""
    mean, var = np.asarray(mean, np.float64), np.square(np.asarray(std, np.float64))
    return lambda x, sigma: (var * x + sigma**2 * mean) / (var + sigma**2)


def mixture(means: tuple[float, float], stds: tuple[float, float], share: float = 0.5) -> Denoise:
    """The best denoiser of data of which `share` are N(means[0], stds[0]^2) and the others N(means[1], stds[1]^2)."""
    parts = [gaussian(mean, std) for mean, std in zip(means, stds, strict=True)]

    def denoise(x: Array, sigma: float) -> Array:
        fits = [-((x - m) ** 2) / (2 * (s**2 + sigma**2)) - math.log(s**2 + sigma**2) / 2 for m, s in zip(means, stds, strict=True)]
        first = 1 / (1 + (1 - share) / share * np.exp(np.clip(fits[1] - fits[0], -500, 500)))
        return np.asarray(first * parts[0](x, sigma) + (1 - first) * parts[1](x, sigma), np.float64)

    return denoise


def gaussian_flow(x: Array, start: float, end: float, mean: npt.ArrayLike, std: npt.ArrayLike) -> Array:
    """Where the ODE over `gaussian(mean, std)` takes x from the sigma `start` to the sigma `end`, exactly."""
    mean, var = np.asarray(mean, np.float64), np.square(np.asarray(std, np.float64))
    return np.asarray(mean + np.sqrt((var + end**2) / (var + start**2)) * (x - mean), np.float64)


# ---- schedules -------------------------------------------------------------------------------------------------------------------


def table() -> Array:
    """The sigmas that SD 1 was trained on: betas 0.00085 to 0.012, linear in their roots (Rombach et al. 2022)."""
    betas = np.linspace(0.00085**0.5, 0.012**0.5, STEPS_OF_TRAINING) ** 2
    return _sigma_of(np.cumprod(1 - betas))


def _sigma_of(abar: Array) -> Array:
    return np.asarray(np.sqrt((1 - abar) / abar), np.float64)


def _abar_of(sigmas: Array) -> Array:
    return np.asarray(1 / (1 + sigmas**2), np.float64)


def _ended(sigmas: npt.ArrayLike) -> Array:
    return np.append(np.asarray(sigmas, np.float64), 0.0)


def _at(sigmas: Array, times: npt.ArrayLike) -> Array:
    """The sigma at a time between two of the table, straight in log sigma (k-diffusion's and ComfyUI's t_to_sigma)."""
    return np.asarray(np.exp(np.interp(times, np.arange(len(sigmas)), np.log(sigmas))), np.float64)


def _uniform(steps: int, sigmas: Array) -> Array:
    """Evenly spaced times, both ends among them; A1111's Uniform and Normal and ComfyUI's normal are this one."""
    return _ended(_at(sigmas, np.linspace(len(sigmas) - 1, 0, steps)))


def _sgm_uniform(steps: int, sigmas: Array) -> Array:
    """Evenly spaced times of which the last, the table's first, is left out."""
    return _ended(_at(sigmas, np.linspace(len(sigmas) - 1, 0, steps + 1)[:-1]))


def _karras(steps: int, sigmas: Array) -> Array:
    """Even in sigma^(1/7) (Karras et al. 2022, equation 5)."""
    return _ended(np.linspace(sigmas[-1] ** (1 / 7), sigmas[0] ** (1 / 7), steps) ** 7)


def _exponential(steps: int, sigmas: Array) -> Array:
    """Even in log sigma; A1111's Polyexponential is this one too, as its rho is 1 unless the settings say else."""
    return _ended(np.exp(np.linspace(math.log(sigmas[-1]), math.log(sigmas[0]), steps)))


def _arctan(points: int, sigmas: Array) -> Array:
    return np.asarray(np.tan(np.linspace(math.atan(sigmas[-1]), math.atan(sigmas[0]), points)), np.float64)


def _kl_optimal(steps: int, sigmas: Array) -> Array:
    """Even in arctan sigma (Sabour et al. 2024, the Gaussian case): A1111 ends at the table's least sigma, never at 0."""
    return _arctan(steps + 1, sigmas)


def _kl_optimal_comfy(steps: int, sigmas: Array) -> Array:
    """The same of ComfyUI: one point fewer, and a 0 at the end."""
    return _ended(_arctan(steps, sigmas))


def _simple(steps: int, sigmas: Array) -> Array:
    """Every (1000 / steps)th of the table from above, rounded down."""
    return _ended([sigmas[-1 - int(i * (len(sigmas) / steps))] for i in range(steps)])


def _ddim(steps: int, sigmas: Array) -> Array:
    """Every (1000 // steps)th from the table's second: where that is no whole part there are more steps than were asked for."""
    return _ended(sigmas[1 :: max(len(sigmas) // steps, 1)][::-1])


def _beta(steps: int, sigmas: Array) -> Array:
    """A1111's reading of Lee et al. (2024): quantiles of Beta(0.6, 0.6) laid over sigma itself, down to the least one."""
    quantiles = stats.beta.ppf(np.linspace(1, 0, steps), 0.6, 0.6)
    return _ended(sigmas[0] + quantiles * (sigmas[-1] - sigmas[0]))


def _beta_comfy(steps: int, sigmas: Array) -> Array:
    """ComfyUI's reading: the quantiles are over the times, without the last, rounded, and what comes twice is there once."""
    quantiles = stats.beta.ppf(1 - np.linspace(0, 1, steps, endpoint=False), 0.6, 0.6)
    places = np.rint(quantiles * (len(sigmas) - 1)).astype(int)
    return _ended([sigmas[place] for place in dict.fromkeys(places.tolist())])


def _turbo(steps: int, sigmas: Array) -> Array:
    """Times n * 1000 / steps - 1, rounded half to even. It is Forge's, A1111 1.10 has none."""
    times = np.rint(np.arange(steps, 0, -1) * (1000 / steps) - 1).astype(int)
    return _ended(sigmas[np.clip(times, 0, 999)])


def _linear_quadratic(steps: int, sigmas: Array) -> Array:
    """Mochi's: straight from 1 to 0.975 over half of the steps, then the parabola that leaves with the same slope to 0."""
    if steps == 1:
        return np.array([sigmas[-1], 0.0])
    lines, noise = steps // 2, 0.025
    slope, rest = noise / lines, steps - lines
    bend = (1 - noise - slope * rest) / rest**2
    after = np.arange(rest)
    gone = np.concatenate([slope * np.arange(lines), noise + slope * after + bend * after**2])
    return _ended((1 - gone) * sigmas[-1])


AYS = {
    False: (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    True: (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
}


def _between(levels: tuple[float, ...], points: int) -> Array:
    if points == len(levels):
        return np.asarray(levels, np.float64)
    return _at(np.asarray(levels), np.linspace(0, len(levels) - 1, points))


def _align_your_steps(steps: int, _sigmas: Array, xl: bool = False) -> Array:
    """Sabour et al. (2024): A1111 stretches the eleven levels to one a step and adds a 0, so 11 steps are the published ones."""
    return _ended(_between(AYS[xl], steps))


def align_your_steps_comfy(steps: int, xl: bool = False) -> Array:
    """ComfyUI's node: one level more than there are steps, and the last becomes 0, so 10 steps are theirs but for the last."""
    return _ended(_between(AYS[xl], steps + 1)[:-1])


def _alike(schedule: Callable[[int, Array], Array]) -> Schedule:
    return lambda steps, sigmas, _xl=False: schedule(steps, sigmas)


SCHEDULES: Mapping[str, Schedule] = {
    "Uniform": _alike(_uniform),
    "Karras": _alike(_karras),
    "Exponential": _alike(_exponential),
    "Polyexponential": _alike(_exponential),
    "SGM Uniform": _alike(_sgm_uniform),
    "KL Optimal": _alike(_kl_optimal),
    "Align Your Steps": _align_your_steps,
    "Simple": _alike(_simple),
    "Normal": _alike(_uniform),
    "DDIM": _alike(_ddim),
    "Beta": _alike(_beta),
    "Turbo": _alike(_turbo),
}

COMFY_SCHEDULES: Mapping[str, Schedule] = {
    "normal": _alike(_uniform),
    "karras": _alike(_karras),
    "exponential": _alike(_exponential),
    "sgm_uniform": _alike(_sgm_uniform),
    "simple": _alike(_simple),
    "ddim_uniform": _alike(_ddim),
    "beta": _alike(_beta_comfy),
    "linear_quadratic": _alike(_linear_quadratic),
    "kl_optimal": _alike(_kl_optimal_comfy),
}

# A1111's table `samplers_k_diffusion`, option "scheduler"; a sampler without one has its model's own times, which is Uniform.
AUTOMATIC: Mapping[str, str] = {
    "DPM++ 2M": "Karras",
    "DPM++ SDE": "Karras",
    "DPM++ 2M SDE": "Exponential",
    "DPM++ 2M SDE Heun": "Exponential",
    "DPM++ 2S a": "Karras",
    "DPM++ 3M SDE": "Exponential",
    "Euler a": "Uniform",
    "Euler": "Uniform",
    "LMS": "Uniform",
    "Heun": "Uniform",
    "DPM2": "Karras",
    "DPM2 a": "Karras",
    "DPM fast": "Uniform",
    "DPM adaptive": "Uniform",
    "Restart": "Karras",
}

DISCARD = frozenset({"DPM2", "DPM2 a", "DPM++ 3M SDE"})
COMFY_DISCARD = frozenset({"dpm_2", "dpm_2_ancestral", "uni_pc", "uni_pc_bh2"})


def discarding(schedule: Schedule, steps: int, sigmas: Array, xl: bool = False) -> Array:
    """A schedule of one step more, without the last sigma but one, as both programs make it for the samplers of `DISCARD`."""
    return np.delete(schedule(steps + 1, sigmas, xl), -2)


def lcm_automatic(steps: int, sigmas: Array) -> Array:
    """A1111's LCM under "Automatic": evenly spaced over the fifty times 19, 39, ..., 999 that the model was distilled on."""
    return _uniform(steps, sigmas[19::20])


# ---- samplers --------------------------------------------------------------------------------------------------------------------


class Pass(NamedTuple):
    """What every sampler has at hand on its way down the sigmas."""

    sigmas: Array
    denoise: Denoise
    draw: Draw
    eta: float
    s_noise: float

    def pair(self, x: Array, sigma: float) -> tuple[Array, Array]:
        """What the denoiser says, and what it says without the prompt; the same where it gives one answer."""
        said = self.denoise(x, sigma)
        return said if isinstance(said, tuple) else (said, said)

    def data(self, x: Array, sigma: float) -> Array:
        return self.pair(x, sigma)[0]

    def slope(self, x: Array, sigma: float) -> Array:
        """dx/dsigma of the probability flow (Karras et al. 2022, equation 1)."""
        return np.asarray((x - self.data(x, sigma)) / sigma, np.float64)

    def noise(self, amount: float) -> Array | float:
        return amount * self.s_noise * self.draw() if amount > 0 else 0.0

    def steps(self) -> Iterator[tuple[float, float]]:
        return pairwise(self.sigmas.tolist())


def _toward(x: Array, data: Array, left: float) -> Array:
    """x with `left` of its way to the data left: in this frame the exact step if the data stay as they are."""
    return np.asarray(data + left * (x - data), np.float64)


def _ancestral(sigma: float, after: float, eta: float) -> tuple[float, float]:
    """How far down to step, and how much noise to add, so that `after` is left (k-diffusion, after DDPM's posterior)."""
    if eta == 0:
        return after, 0.0
    up = min(after, eta * math.sqrt(after**2 * (sigma**2 - after**2)) / sigma)
    return math.sqrt(after**2 - up**2), up


class Churn(NamedTuple):
    """The noise that Karras et al. (2022, algorithm 2) add before a step; none unless asked for."""

    s_churn: float = 0.0
    s_tmin: float = 0.0
    s_tmax: float = math.inf

    def add(self, p: Pass, x: Array, sigma: float) -> tuple[Array, float]:
        if self.s_churn == 0 or not self.s_tmin <= sigma <= self.s_tmax:
            return x, sigma
        more = sigma * (1 + min(self.s_churn / (len(p.sigmas) - 1), math.sqrt(2) - 1))
        return x + p.noise(math.sqrt(more**2 - sigma**2)), more


def _euler(p: Pass, x: Array, **churn: float) -> Array:
    for sigma, after in p.steps():
        x, hat = Churn(**churn).add(p, x, sigma)
        x = _toward(x, p.data(x, hat), after / hat)
    return x


def _heun_step(p: Pass, x: Array, sigma: float, after: float) -> Array:
    first = p.slope(x, sigma)
    ahead = x + (after - sigma) * first
    return ahead if after == 0 else x + (after - sigma) * (first + p.slope(ahead, after)) / 2


def _heun(p: Pass, x: Array, **churn: float) -> Array:
    """Karras et al. (2022), algorithm 2; the step to 0 is one of Euler."""
    for sigma, after in p.steps():
        x, hat = Churn(**churn).add(p, x, sigma)
        x = _heun_step(p, x, hat, after)
    return x


def _dpm_2_step(p: Pass, x: Array, sigma: float, after: float) -> Array:
    """DPM-Solver-2 in Karras's frame: the slope in the middle of log sigma, over the whole step."""
    if after == 0:
        return p.data(x, sigma)
    middle = math.sqrt(sigma * after)
    return x + (after - sigma) * p.slope(_toward(x, p.data(x, sigma), middle / sigma), middle)


def _dpm_2(p: Pass, x: Array, **churn: float) -> Array:
    for sigma, after in p.steps():
        x, hat = Churn(**churn).add(p, x, sigma)
        x = _dpm_2_step(p, x, hat, after)
    return x


def _dpmpp_2s_step(p: Pass, x: Array, sigma: float, after: float) -> Array:
    """DPM-Solver++(2S) (Lu et al. 2022, algorithm 1), r = 1/2: as `_dpm_2_step`, but with the data of the middle held."""
    if after == 0:
        return p.data(x, sigma)
    middle = math.sqrt(sigma * after)
    return _toward(x, p.data(_toward(x, p.data(x, sigma), middle / sigma), middle), after / sigma)


def _euler_step(p: Pass, x: Array, sigma: float, after: float) -> Array:
    return _toward(x, p.data(x, sigma), after / sigma)


def _ancestral_of(step: Callable[[Pass, Array, float, float], Array]) -> Sampler:
    """A solver that steps further down than the schedule and climbs back with fresh noise."""

    def sample(p: Pass, x: Array) -> Array:
        for sigma, after in p.steps():
            down, up = _ancestral(sigma, after, p.eta)
            x = step(p, x, sigma, down) + p.noise(up)
        return x

    return sample


def _lagrange(nodes: npt.ArrayLike, start: float, end: float) -> Array:
    """The integral from start to end of each polynomial that is 1 at one of the nodes and 0 at the others."""
    places = np.asarray(nodes, np.float64) - start
    powers = np.arange(len(places))
    moments = (end - start) ** (powers + 1) / (powers + 1)
    return np.asarray(np.linalg.solve(np.vander(places, increasing=True).T, moments), np.float64)


def _lms(p: Pass, x: Array, order: int = 4, denoises_last: bool = False) -> Array:
    """Adams-Bashforth of up to four slopes in sigma; ComfyUI takes the data in the step to 0 (`denoises_last`), A1111 does not."""
    slopes: list[Array] = []
    for i, (sigma, after) in enumerate(p.steps()):
        slopes = [p.slope(x, sigma), *slopes][:order]
        if after == 0 and denoises_last:
            return x - sigma * slopes[0]
        weights = _lagrange(p.sigmas[i - len(slopes) + 1 : i + 1][::-1], sigma, after)
        x = x + sum(weight * slope for weight, slope in zip(weights, slopes, strict=True))
    return x


def _dpmpp_2m(p: Pass, x: Array) -> Array:
    """DPM-Solver++(2M) (Lu et al. 2022, algorithm 2); its last step, to 0, is of first order."""
    old, before = None, 0.0
    for sigma, after in p.steps():
        data = p.data(x, sigma)
        mixed = data
        if old is not None and after > 0:
            mixed = data + math.log(sigma / after) / math.log(before / sigma) / 2 * (data - old)
        x = _toward(x, mixed, after / sigma)
        old, before = data, sigma
    return x


def _dpmpp_sde(p: Pass, x: Array, r: float = 0.5) -> Array:
    """k-diffusion's DPM-Solver++(SDE): both noises of a step come from one Brownian path, here from two draws of its two parts."""
    for sigma, after in p.steps():
        data = p.data(x, sigma)
        if after == 0:
            return data
        middle = sigma ** (1 - r) * after**r
        (down, up), (down_all, up_all) = _ancestral(sigma, middle, p.eta), _ancestral(sigma, after, p.eta)
        first, whole = _brownian(p, sigma, middle, after) if up_all > 0 else (0.0, 0.0)
        inside = p.data(_toward(x, data, down / sigma) + up * first, middle)
        x = _toward(x, data + (inside - data) / (2 * r), down_all / sigma) + up_all * whole
    return x


def _brownian(p: Pass, sigma: float, middle: float, after: float) -> tuple[Any, Any]:
    """The path's increments over the first part of a step and over all of it, each over the root of its length."""
    first, second = p.s_noise * p.draw(), p.s_noise * p.draw()
    whole = math.sqrt(sigma - middle) * first + math.sqrt(middle - after) * second
    return first, whole / math.sqrt(sigma - after)


def _sde_step(p: Pass, x: Array, data: Array, correction: Array | float, sigma: float, after: float) -> Array:
    left = (after / sigma) ** (1 + p.eta)
    return _toward(x, data, left) + correction + p.noise(after * math.sqrt(-math.expm1(2 * p.eta * math.log(after / sigma))))


def _dpmpp_2m_sde(p: Pass, x: Array, heun: bool = False) -> Array:
    """DPM-Solver++(2M) of the SDE (Lu et al. 2022, appendix; k-diffusion): (1 + eta) h in place of h, and noise."""
    old, before = None, 0.0
    for sigma, after in p.steps():
        data = p.data(x, sigma)
        if after == 0:
            return data
        h, correction = (1 + p.eta) * math.log(sigma / after), 0.0
        if old is not None:
            weight = 1 + math.expm1(-h) / h if heun else -math.expm1(-h) / 2
            correction = weight * math.log(sigma / after) / math.log(before / sigma) * (data - old)
        x = _sde_step(p, x, data, correction, sigma, after)
        old, before = data, sigma
    return x


def _dpmpp_3m_sde(p: Pass, x: Array) -> Array:
    """k-diffusion's third order of it: the data as a parabola in log sigma through the last three, where there are three."""
    said: list[Array] = []
    for i, (sigma, after) in enumerate(p.steps()):
        said = [p.data(x, sigma), *said][:3]
        if after == 0:
            return said[0]
        h = (1 + p.eta) * math.log(sigma / after)
        phi2 = 1 + math.expm1(-h) / h
        x = _sde_step(p, x, said[0], _history(p.sigmas[max(i - 2, 0) : i + 2], said, phi2, phi2 / h - 0.5), sigma, after)
    return x


def _history(sigmas: Array, said: list[Array], phi2: float, phi3: float) -> Array | float:
    """What the older data add to a step, by divided differences in units of the step."""
    spans = np.diff(-np.log(sigmas))[::-1]
    if len(said) == 1:
        return 0.0
    first = (said[0] - said[1]) / (spans[1] / spans[0])
    if len(said) == 2:
        return np.asarray(phi2 * first, np.float64)
    r0, r1 = spans[1] / spans[0], spans[2] / spans[0]
    bend = (first - (said[1] - said[2]) / r1) / (r0 + r1)
    return np.asarray(phi2 * (first + r0 * bend) - phi3 * bend, np.float64)


def _dpm_fast(p: Pass, x: Array) -> Array:
    """DPM-Solver-fast (Lu et al. 2022, arXiv:2206.00927): only the ends and the count matter, and it stops at the least above 0.

    A1111 hands it eta = 1 like any sampler that takes one, so its DPM fast is ancestral; ComfyUI's has eta = 0.
    """
    high, low, evaluations = p.sigmas[0], p.sigmas[p.sigmas > 0][-1], len(p.sigmas) - 1
    blocks, rest = evaluations // 3 + 1, evaluations % 3
    orders = [3] * (blocks - 1) + [rest] if rest else [3] * (blocks - 2) + [2, 1]
    levels = np.geomspace(high, low, blocks + 1).tolist()
    for order, (sigma, after) in zip(orders, pairwise(levels), strict=True):
        down = max(low, _ancestral(sigma, after, p.eta)[0])
        x = _dpm_solver(p, x, sigma, down, order) + p.noise(math.sqrt(max(after**2 - down**2, 0)))
    return x


def _dpm_solver(p: Pass, x: Array, sigma: float, after: float, order: int) -> Array:
    """DPM-Solver-1, -2 and -3 (Lu et al. 2022, algorithms 1 and 2), whose weights are of the noise, not of the data."""
    h, noise = math.log(sigma / after), p.slope(x, sigma)
    if order == 1:
        return x + (after - sigma) * noise
    part = sigma * math.exp(-h / order)
    gained = p.slope(x + (part - sigma) * noise, part) - noise
    if order == 2:
        return x + (after - sigma) * (noise + gained)
    late, r = sigma * math.exp(-2 * h / 3), 2 * h / 3
    later = x + (late - sigma) * noise - 2 * late * (math.expm1(r) / r - 1) * gained
    return x + (after - sigma) * noise - 1.5 * after * (math.expm1(h) / h - 1) * (p.slope(later, late) - noise)


def _restart(p: Pass, x: Array) -> Array:
    """Xu et al. (2023) as A1111 sets it up: Heun, and from 20 steps on a way back up to sigma 2 and down again to 0.1.

    From 20 steps on only the ends of the schedule count: its sigmas are made anew, Karras's, with the restarts' steps taken off.
    """
    last = math.inf
    for sigma, after in _restart_steps(p.sigmas):
        if last < sigma:
            x = x + p.noise(math.sqrt(sigma**2 - last**2))
        x, last = _heun_step(p, x, sigma, after), after
    return x


def _restart_steps(sigmas: Array) -> list[tuple[float, float]]:
    steps = len(sigmas) - 1
    if steps < 20:
        return list(pairwise(sigmas.tolist()))
    again, times = (steps // 4, 2) if steps >= 36 else (9, 1)
    sigmas = _karras(steps - again * times, sigmas[[-2, 0]])
    low, high = int(np.argmin(abs(sigmas - 0.1))), int(np.argmin(abs(sigmas - 2)))
    way = list(pairwise(sigmas.tolist()))
    back = list(pairwise(_karras(again + 1, sigmas[[low, high]])[:-1].tolist())) if high < low else []
    return way[:low] + back * times + way[low:]


def _er_scale(level: npt.ArrayLike) -> Any:
    level = np.asarray(level, np.float64)
    return level * (np.exp(level**0.3) + 10)


def _er_sde(p: Pass, x: Array, max_stage: int = 3, points: int = 200) -> Array:
    """ER-SDE-Solver-3 (Cui et al. 2023) with its integrals as sums of 200 points from the left, as its authors do."""
    old, old_rate = x, x
    for i, (sigma, after) in enumerate(p.steps()):
        data = p.data(x, sigma)
        if after == 0:
            return data
        scale = _er_scale(after)
        left, width = float(scale / _er_scale(sigma)), (sigma - after) / points
        places = after + np.arange(points) * width
        x = _toward(x, data, left)
        if i >= 1 and max_stage >= 2:
            rate = (data - old) / (sigma - p.sigmas[i - 1])
            x = x + (after - sigma + scale * np.sum(width / _er_scale(places))) * rate
            if i >= 2 and max_stage >= 3:
                area = np.sum((places - sigma) * width / _er_scale(places))
                x = x + ((after - sigma) ** 2 / 2 + scale * area) * (rate - old_rate) / ((sigma - p.sigmas[i - 2]) / 2)
            old_rate = rate
        x, old = x + p.noise(math.sqrt(max(after**2 - (sigma * left) ** 2, 0))), data
    return x


def _res_multistep(p: Pass, x: Array) -> Array:
    """RES (Zhang et al. 2023), second order from the last two data; the ancestral one dates the last from where it stepped down."""
    old, before, old_down = None, 0.0, 0.0
    for sigma, after in p.steps():
        down, up = _ancestral(sigma, after, p.eta)
        data = p.data(x, sigma)
        mixed = data
        if old is not None and down > 0:
            h = math.log(sigma / down)
            c2 = math.log(old_down / before) / h
            phi1 = -math.expm1(-h) / h
            phi2 = (1 - phi1) / h
            mixed = data + phi2 / (c2 * phi1) * (old - data)
        x = _toward(x, mixed, down / sigma) + p.noise(up)
        old, before, old_down = data, sigma, down
    return x


def _gradient_estimation(p: Pass, x: Array, ge_gamma: float = 2.0) -> Array:
    """Permenter and Yuan (2023): Euler with the slope led ahead by its last change."""
    old = None
    for sigma, after in p.steps():
        slope = p.slope(x, sigma)
        if after == 0:
            return x - sigma * slope
        led = slope if old is None else ge_gamma * slope + (1 - ge_gamma) * old
        x, old = x + (after - sigma) * led, slope
    return x


def _euler_ancestral_cfg_pp(p: Pass, x: Array) -> Array:
    """CFG++ (Chung et al. 2024): data with the prompt, noise without it."""
    for sigma, after in p.steps():
        data, plain = p.pair(x, sigma)
        down, up = _ancestral(sigma, after, p.eta)
        x = data + down / sigma * (x - plain) + p.noise(up)
    return x


def _euler_cfg_pp(p: Pass, x: Array) -> Array:
    return _euler_ancestral_cfg_pp(p._replace(eta=0.0), x)


def _lcm(p: Pass, x: Array) -> Array:
    """Luo et al. (2023): all the way to the data, and fresh noise up to the next sigma.

    A1111's denoiser there also rounds the time to one of fifty and adds the boundary's c_skip, at most 7e-6 of x.
    """
    for sigma, after in p.steps():
        x = p.data(x, sigma) + p.noise(after)
    return x


def _ddpm(p: Pass, x: Array) -> Array:
    """Ho et al. (2020), algorithm 2, between any two times and in the frame that keeps the variance (ComfyUI's ddpm)."""
    for sigma, after in p.steps():
        abar, abar_after = 1 / (1 + sigma**2), 1 / (1 + after**2)
        alpha = abar / abar_after
        mean = (math.sqrt(abar) * x - (1 - alpha) / math.sqrt(1 - abar) * p.slope(x, sigma)) / math.sqrt(alpha)
        spread = math.sqrt((1 - alpha) * (1 - abar_after) / (1 - abar))
        x = (mean + p.noise(spread)) / math.sqrt(abar_after)
    return x


def _heunpp2(p: Pass, x: Array) -> Array:
    """Heun++ as ComfyUI has it: up to three slopes, weighted by sigma over the very first sigma, so of first order in the end."""
    s = p.sigmas
    for i, (sigma, after) in enumerate(p.steps()):
        slopes, ahead = [p.slope(x, sigma)], x
        for j in range(i + 1, min(i + 3, len(s) - 1)):
            ahead = ahead + (s[j] - s[j - 1]) * slopes[-1]
            slopes.append(p.slope(ahead, s[j]))
        weights = s[i + 1 : i + len(slopes)] / (len(slopes) * s[0])
        mean = (1 - weights.sum()) * slopes[0] + sum(weight * slope for weight, slope in zip(weights, slopes[1:], strict=True))
        x = x + (after - sigma) * mean
    return x


ADAMS = ((1.0,), (1.5, -0.5), (23 / 12, -16 / 12, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -9 / 24))


def _multistep(weights_at: Callable[[int, int], npt.ArrayLike], max_order: int) -> Sampler:
    """Euler's step along a weighted mean of the last slopes; the step to 0 takes the data."""

    def sample(p: Pass, x: Array) -> Array:
        slopes: list[Array] = []
        for i, (sigma, after) in enumerate(p.steps()):
            slopes = [p.slope(x, sigma), *slopes][:max_order]
            if after == 0:
                return x - sigma * slopes[0]
            weights = np.asarray(weights_at(i, len(slopes)), np.float64)
            x = x + (after - sigma) * sum(weight * slope for weight, slope in zip(weights, slopes, strict=True))
        return x

    return sample


def _ipndm(p: Pass, x: Array, max_order: int = 4) -> Array:
    """Zhang and Chen (2022): Adams-Bashforth with the weights of even steps, whatever the steps are."""
    return _multistep(lambda _i, order: ADAMS[order - 1], max_order)(p, x)


def _ipndm_v_weights(h: float, *older: float) -> Array:
    """diff-sampler's weights for uneven steps (and ComfyUI's), which are Adams-Bashforth's up to the second order only.

    Its third order multiplies inside a bracket what belongs outside, and its fourth has a sign and a ratio of steps wrong: with
    even steps its weights are 57, -65, 43 and -11 of 24ths, and with uneven ones they do not sum to 1.
    """
    if not older:
        return np.ones(1)
    h1 = older[0]
    weights = np.zeros(len(older) + 1)
    weights[:2] = 1 + h / h1 / 2, -h / h1 / 2
    if len(older) == 1:
        return weights
    h2 = older[1]
    q = h1 / h2
    third = (1 - h / (3 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2
    weights[:3] += third * np.array([1, -1 - q, q])
    if len(older) == 2:
        return weights
    h3 = older[2]
    p = h1 * (h1 + h2) / (h2 * (h2 + h3))
    reach = h * (h + h1) * (h + h1 + h2) / (h1 * (h1 + h2) * (h1 + h2 + h3))
    fourth = reach * ((1 - h / (3 * (h + h1))) / 2 + (1 - h / (2 * (h + h1))) * h / (6 * (h + h1 + h2)))
    return np.asarray(weights + fourth * np.array([1, -1 - q - p, q + p * (1 + h2 / h3), -p * q]), np.float64)


def _ipndm_v(p: Pass, x: Array, max_order: int = 4) -> Array:
    spans = np.diff(p.sigmas)
    return _multistep(lambda i, order: _ipndm_v_weights(*spans[i - order + 1 : i + 1][::-1]), max_order)(p, x)


def _deis(p: Pass, x: Array, max_order: int = 3, points: int = 10000) -> Array:
    """tAB-DEIS (Zhang and Chen 2022), "tab": polynomials of the slopes in the time of a VP SDE that spans sigmas 0.002 to 80."""
    times = _vp_time(p.sigmas)

    def weights_at(i: int, order: int) -> Array:
        whole = p.sigmas[i + 1] - p.sigmas[i]
        return np.ones(1) if order == 1 else _deis_integrals(times[i - order + 1 : i + 2][::-1], points) / whole

    return _multistep(weights_at, max_order)(p, x)


def _vp_constants(least: float = 0.002, most: float = 80.0, epsilon: float = 1e-3) -> tuple[float, float]:
    """beta_d and beta_min of Song et al.'s VP SDE, whose sigma(epsilon) and sigma(1) are these (Karras et al. 2022, table 1)."""
    low, high = math.log1p(least**2), math.log1p(most**2)
    beta_d = 2 * (low / epsilon - high) / (epsilon - 1)
    return beta_d, high - beta_d / 2


def _vp_time(sigmas: Array) -> Array:
    beta_d, beta_min = _vp_constants()
    return np.asarray((np.sqrt(beta_min**2 + 2 * beta_d * np.log1p(sigmas**2)) - beta_min) / beta_d, np.float64)


def _deis_integrals(times: Array, points: int) -> Array:
    """The integral over sigma of each Lagrange polynomial in time; times[0] is where the step goes, the others where slopes are.

    The sum is the program's own: as many points as parts, both ends among them.
    """
    beta_d, beta_min = _vp_constants()
    after, nodes = times[0], times[1:]
    places = np.linspace(nodes[0], after, points)
    grown = np.expm1(beta_d * places**2 / 2 + beta_min * places)
    pace = (beta_d * places + beta_min) * (1 + grown) / (2 * np.sqrt(grown)) * (after - nodes[0]) / points
    return np.array([np.sum(pace * np.prod([(places - b) / (a - b) for b in nodes if b != a], axis=0)) for a in nodes])


def _unipc_weights(steps: Array, h: float, big: float) -> tuple[Array, Array]:
    """How much the predictor and the corrector of UniPC (Zhao et al. 2023, section 3) take of each divided difference."""
    order, phi, right = len(steps), math.expm1(-h) / -h - 1, []
    for i in range(1, order + 1):
        right.append(phi * math.factorial(i) / big)
        phi = phi / -h - 1 / math.factorial(i + 1)
    rows = np.vander(steps, increasing=True).T
    predictor = [0.5] if order == 2 else np.linalg.solve(rows[:-1, :-1], right[:-1])
    corrector = [0.5] if order == 1 else np.linalg.solve(rows, right)
    return np.asarray(predictor, np.float64), np.asarray(corrector, np.float64)


def _unipc(data: Callable[[Array, float], Array], x: Array, sigmas: Array, max_order: int, bh2: bool) -> Array:
    """UniPC of data, multistep: orders rise to `max_order` and fall to 1 at the end, where nothing is corrected.

    The programs run it in the frame that keeps the variance; divided by alpha it is this.
    """
    logs, said, last = -np.log(sigmas), [data(x, sigmas[0])], len(sigmas) - 1
    for i in range(1, last + 1):
        order = min(max_order, i, last + 1 - i)
        h = logs[i] - logs[i - 1]
        big = math.expm1(-h) if bh2 else -h
        steps = np.append((logs[i - order : i - 1][::-1] - logs[i - 1]) / h, 1.0)
        gained = [(said[-1 - j] - said[-1]) / steps[j - 1] for j in range(1, order)]
        predictor, corrector = _unipc_weights(steps, h, big)
        base = _toward(x, said[-1], sigmas[i] / sigmas[i - 1])
        x = base - big * sum(weight * gain for weight, gain in zip(predictor, gained, strict=True))
        if i < last:
            now = data(x, sigmas[i])
            gained.append(now - said[-1])
            x = base - big * sum(weight * gain for weight, gain in zip(corrector, gained, strict=True))
            said.append(now)
    return x


def _uni_pc(p: Pass, x: Array, bh2: bool = False) -> Array:
    """ComfyUI's: on the given sigmas, 0.001 for a last 0, and of third order from four steps on."""
    sigmas = np.where(p.sigmas == 0, 0.001, p.sigmas)
    return _unipc(p.data, x, sigmas, min(3, len(sigmas) - 2), bh2)


SAMPLERS: Mapping[str, Sampler] = {
    "euler": _euler,
    "euler_ancestral": _ancestral_of(_euler_step),
    "heun": _heun,
    "lms": _lms,
    "dpm_2": _dpm_2,
    "dpm_2_ancestral": _ancestral_of(_dpm_2_step),
    "dpmpp_2s_ancestral": _ancestral_of(_dpmpp_2s_step),
    "dpmpp_sde": _dpmpp_sde,
    "dpmpp_2m": _dpmpp_2m,
    "dpmpp_2m_sde": _dpmpp_2m_sde,
    "dpmpp_2m_sde_heun": lambda p, x: _dpmpp_2m_sde(p, x, heun=True),
    "dpmpp_3m_sde": _dpmpp_3m_sde,
    "dpm_fast": _dpm_fast,
    "restart": _restart,
    "er_sde": _er_sde,
    "res_multistep": lambda p, x: _res_multistep(p._replace(eta=0.0), x),
    "res_multistep_ancestral": _res_multistep,
    "gradient_estimation": _gradient_estimation,
    "euler_cfg_pp": _euler_cfg_pp,
    "euler_ancestral_cfg_pp": _euler_ancestral_cfg_pp,
    "lcm": _lcm,
    "ddpm": _ddpm,
    "heunpp2": _heunpp2,
    "ipndm": _ipndm,
    "ipndm_v": _ipndm_v,
    "deis": _deis,
    "uni_pc": _uni_pc,
    "uni_pc_bh2": lambda p, x: _uni_pc(p, x, bh2=True),
}


def run(
    sampler: str,
    sigmas: npt.ArrayLike,
    denoise: Denoise,
    noise: Array,
    draw: Draw,
    *,
    eta: float = 1.0,
    s_noise: float = 1.0,
    **options: Any,
) -> Array:
    """The whole pass: unit noise times the first sigma, as A1111 begins, and down the sigmas.

    ComfyUI begins with sqrt(1 + sigma^2) in place of sigma where the first sigma is the table's greatest. A draw is taken wherever
    noise is added and nowhere else. `eta` and `s_noise` are k-diffusion's, and what has no eta there ignores it.
    """
    levels = np.asarray(sigmas, np.float64)
    return SAMPLERS[sampler](Pass(levels, denoise, draw, eta, s_noise), np.asarray(noise, np.float64) * levels[0], **options)


# ---- A1111's samplers of timesteps -----------------------------------------------------------------------------------------------


def A1111_TIMESTEPS(steps: int) -> npt.NDArray[np.int64]:
    """Every (1000 // steps)th time and one more, ascending: more than `steps` of them where 1000 // steps is no whole part."""
    return np.clip(np.arange(0, STEPS_OF_TRAINING, STEPS_OF_TRAINING // steps) + 1, 0, 999)


class _Kept(NamedTuple):
    """The frame that keeps the variance, x = sqrt(abar) data + sqrt(1 - abar) noise, at the given times."""

    abar: Array
    denoise: Denoise

    def noise(self, x: Array, abar: float) -> Array:
        sigma = math.sqrt((1 - abar) / abar)
        return np.asarray((x / math.sqrt(abar) - self.denoise(x / math.sqrt(abar), sigma)) / sigma, np.float64)


def _moved(x: Array, noise: Array, abar: float, after: float, spread: float = 0.0) -> Array:
    """DDIM's step (Song et al. 2021, equation 12) without its fresh noise."""
    data = (x - math.sqrt(1 - abar) * noise) / math.sqrt(abar)
    return np.asarray(math.sqrt(after) * data + math.sqrt(1 - after - spread**2) * noise, np.float64)


def _a1111_ddim(kept: _Kept, x: Array, draw: Draw, eta: float) -> Array:
    """DDIM, which never evaluates its lowest time: 20 steps are 19, and the picture keeps the noise of time 1."""
    for abar, after in pairwise(kept.abar[::-1].tolist()):
        spread = eta * math.sqrt((1 - after) / (1 - abar) * (1 - abar / after))
        x = _moved(x, kept.noise(x, abar), abar, after, spread) + (spread * draw() if spread > 0 else 0.0)
    return x


def _a1111_plms(kept: _Kept, x: Array, _draw: Draw, _eta: float) -> Array:
    """PLMS (Liu et al. 2022): Heun's step first, then Adams-Bashforth's even weights on the noise; its ends are DDIM's."""
    noises: list[Array] = []
    for abar, after in pairwise(kept.abar[::-1].tolist()):
        noises = [kept.noise(x, abar), *noises][:4]
        if len(noises) == 1:
            mean = (noises[0] + kept.noise(_moved(x, noises[0], abar, after), after)) / 2
        else:
            mean = sum(weight * noise for weight, noise in zip(ADAMS[len(noises) - 1], noises, strict=True))
        x = _moved(x, mean, abar, after)
    return x


def _a1111_unipc(denoise: Denoise, x: Array, steps: int, sigmas: Array) -> Array:
    """UniPC, bh1, order 3: of the given times only the count is used, and it goes evenly from time 1000 to 1 in a thousand.

    Between two times log alpha, not log sigma, is straight, and what comes out is at the table's least sigma.
    """
    times = np.linspace(STEPS_OF_TRAINING, 1, steps + 1) - 1
    abar = np.exp(np.interp(times, np.arange(len(sigmas)), np.log(_abar_of(sigmas))))
    out = _unipc(
        lambda at, sigma: np.asarray(denoise(at, sigma)), x / math.sqrt(abar[0]), _sigma_of(abar), min(3, steps), bh2=False
    )
    return np.asarray(out * math.sqrt(abar[-1]), np.float64)


def run_timesteps(
    sampler: str,
    timesteps: npt.ArrayLike,
    denoise: Denoise,
    noise: Array,
    draw: Draw,
    *,
    eta: float = 0.0,
    sigmas: Array | None = None,
) -> Array:
    """A whole pass of A1111's "ddim", "plms" or "unipc_a1111", from unit noise and in the frame that keeps the variance.

    What it returns is in that frame too, as the program returns it; `denoise` is of the exploding frame as everywhere here.
    """
    sigmas = table() if sigmas is None else sigmas
    times = np.asarray(timesteps, np.int64)
    if sampler == "unipc_a1111":
        return _a1111_unipc(denoise, noise, len(times), sigmas)
    solver = {"ddim": _a1111_ddim, "plms": _a1111_plms}[sampler]
    return solver(_Kept(_abar_of(sigmas)[times], denoise), noise, draw, eta)


# ---- flow matching ---------------------------------------------------------------------------------------------------------------


def flow_table(shift: float, n: int = STEPS_OF_TRAINING) -> Array:
    """The sigmas of ComfyUI's ModelSamplingDiscreteFlow, ascending: of 1/n to 1, shifted (Esser et al. 2024, equation 23)."""
    return _shifted(shift, np.arange(1, n + 1) / n)


def _shifted(shift: float, times: npt.ArrayLike) -> Array:
    times = np.asarray(times, np.float64)
    return np.asarray(shift * times / (1 + (shift - 1) * times), np.float64)


def _shift_of(sigmas: Array) -> float:
    time = (len(sigmas) // 2) / len(sigmas)
    sigma = float(sigmas[len(sigmas) // 2 - 1])
    return sigma * (1 - time) / (time * (1 - sigma))


def _flow_times(points: int, sigmas: Array) -> Array:
    """Evenly spaced sigmas, shifted once more: ComfyUI takes a flow's shifted sigma for its time, and does not undo the shift."""
    return _shifted(_shift_of(sigmas), np.linspace(sigmas[-1], sigmas[0], points))


FLOW_SCHEDULES: Mapping[str, FlowSchedule] = {
    "normal": lambda steps, sigmas: _ended(_flow_times(steps, sigmas)),
    "simple": _simple,
    "sgm_uniform": lambda steps, sigmas: _ended(_flow_times(steps + 1, sigmas)[:-1]),
    "beta": _beta_comfy,
    "karras": _karras,
    "exponential": _exponential,
    "ddim_uniform": _ddim,
    "kl_optimal": _kl_optimal_comfy,
}


def flow_gaussian(mean: npt.ArrayLike, std: npt.ArrayLike) -> Denoise:
    """The best denoiser of N(mean, std^2) where x = (1 - sigma) data + sigma noise."""
    mean, var = np.asarray(mean, np.float64), np.square(np.asarray(std, np.float64))
    return lambda x, sigma: (var * (1 - sigma) * x + sigma**2 * mean) / (var * (1 - sigma) ** 2 + sigma**2)


def _flow_ancestral(p: Pass, x: Array) -> Array:
    """ComfyUI's ancestral Euler of flows: further down by eta, then data and noise are both scaled back up to the next sigma."""
    for sigma, after in p.steps():
        down = after * (1 + (after / sigma - 1) * p.eta)
        x = _toward(x, p.data(x, sigma), down / sigma)
        scale = (1 - after) / (1 - down)
        x = scale * x + p.noise(math.sqrt(max(after**2 - (scale * down) ** 2, 0)))
    return x


def _flow_lcm(p: Pass, x: Array) -> Array:
    for sigma, after in p.steps():
        x = (1 - after) * p.data(x, sigma) + p.noise(after)
    return x


def _flow_log_snr(sigma: float) -> float:
    return math.inf if sigma == 0 else -math.inf if sigma == 1 else math.log((1 - sigma) / sigma)


def _flow_dpmpp_2m(p: Pass, x: Array) -> Array:
    """DPM-Solver++(2M) over half the log SNR of a flow, log((1 - sigma) / sigma), as diffusers does with use_flow_sigmas.

    ComfyUI's dpmpp_2m takes -log sigma for it on flows too, which is `run("dpmpp_2m", ...)` on the flow's sigmas.
    """
    old, before = None, 0.0
    for sigma, after in p.steps():
        data = p.data(x, sigma)
        mixed = data
        if old is not None and after > 0:
            ahead = _flow_log_snr(after) - _flow_log_snr(sigma)
            mixed = data + ahead / (_flow_log_snr(sigma) - _flow_log_snr(before)) / 2 * (data - old)
        x = after / sigma * x + (1 - after - (1 - sigma) * after / sigma) * mixed
        old, before = data, sigma
    return x


FLOW_SAMPLERS: Mapping[str, Sampler] = {
    "euler": _euler,
    "heun": _heun,
    "lcm": _flow_lcm,
    "euler_ancestral": _flow_ancestral,
    "dpmpp_2m": _flow_dpmpp_2m,
}


def run_flow(
    sampler: str, sigmas: npt.ArrayLike, denoise: Denoise, noise: Array, draw: Draw, *, eta: float = 1.0, s_noise: float = 1.0
) -> Array:
    """The whole pass of a flow, from unit noise times the first sigma; `denoise` gives the data here too, not the velocity."""
    levels = np.asarray(sigmas, np.float64)
    return FLOW_SAMPLERS[sampler](Pass(levels, denoise, draw, eta, s_noise), np.asarray(noise, np.float64) * levels[0])
