"""The schedules by the names people know: how the noise levels of a loop lie between the most and the least that a model was
trained at.

Each is a function of the number of steps and of the model's `NoiseLevels`, and gives the levels from the highest down with the one
that the last step ends at, as k-diffusion, A1111 and ComfyUI compute them. Where the two programs differ, the plain name is
A1111's. Torch-free, because the front process checks names against this table (law 4).

Sources: k-diffusion (Karras et al. 2022, equation 5) for karras, exponential and polyexponential; Sabour et al. 2024 (Align Your
Steps); Lee et al. 2024 (Beta Sampling is All You Need)."""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

Levels = npt.NDArray[np.float64]

OWN = "own"
"""The name of the schedule that the model and the scheduler have by themselves."""


@dataclass(frozen=True)
class NoiseLevels:
    """The noise levels (T,) that a model was trained at, from the lowest up.

    `shift` is that of a model of flow matching, whose levels are within 0..1; None for one of noise prediction. `xl` says that it
    is of the family of Stable Diffusion XL."""

    table: Levels
    shift: float | None = None
    xl: bool = False

    @property
    def lowest(self) -> float:
        """The lowest noise level."""
        return float(self.table[0])

    @property
    def highest(self) -> float:
        """The highest noise level."""
        return float(self.table[-1])

    def at(self, timesteps: Levels) -> Levels:
        """Return the levels at fractional timesteps (n,): log-linear between those of the table, as k-diffusion does."""
        if self.shift is not None:
            return shifted(timesteps / len(self.table), self.shift)
        found: Levels = np.exp(np.interp(timesteps, np.arange(len(self.table)), np.log(self.table)))
        return found

    def timesteps_of(self, levels: Levels) -> Levels:
        """Return the fractional timesteps that a denoiser is shown for these levels (n,)."""
        if self.shift is not None:
            return levels * 1000
        return np.interp(np.log(levels), np.log(self.table), np.arange(len(self.table), dtype=np.float64))

    def ends(self) -> tuple[float, float]:
        """Return the timesteps of the highest and of the lowest level."""
        if self.shift is not None:
            # ComfyUI takes a level for its own timestep there, and so shifts the lowest one twice.
            return self.highest * len(self.table), self.lowest * len(self.table)
        return float(len(self.table) - 1), 0.0


def shifted(levels: Levels, shift: float) -> Levels:
    """Return the levels (n,), 0..1, of flow matching with more steps at high noise, as Stable Diffusion 3 shifts them."""
    return shift * levels / (1 + (shift - 1) * levels)


def _normal(steps: int, model: NoiseLevels) -> Levels:
    return _ending_in_zero(model.at(np.linspace(*model.ends(), steps)))


def _sgm_uniform(steps: int, model: NoiseLevels) -> Levels:
    return _ending_in_zero(model.at(np.linspace(*model.ends(), steps + 1)[:-1]))


def _karras(steps: int, model: NoiseLevels, rho: float = 7.0) -> Levels:
    return _ending_in_zero(np.linspace(model.highest ** (1 / rho), model.lowest ** (1 / rho), steps) ** rho)


def _exponential(steps: int, model: NoiseLevels) -> Levels:
    return _ending_in_zero(np.geomspace(model.highest, model.lowest, steps))


def _simple(steps: int, model: NoiseLevels) -> Levels:
    stride = len(model.table) / steps
    return _ending_in_zero(model.table[[-(1 + int(step * stride)) for step in range(steps)]])


def _ddim_uniform(steps: int, model: NoiseLevels) -> Levels:
    # Where the stride does not come out even, there are more steps than were asked for, as in both programs.
    return _ending_in_zero(model.table[1 :: max(len(model.table) // steps, 1)][::-1])


def _ddim_timesteps(steps: int, model: NoiseLevels) -> Levels:
    # A1111's own samplers go to the second timestep of the table and no further; what lies beyond its end counts as its end.
    count = len(model.table)
    timesteps = np.arange(0, count, max(count // steps, 1)) + 1
    found: Levels = model.table[np.unique(timesteps.clip(max=count - 1))][::-1]
    return found


def _lcm_timesteps(steps: int, model: NoiseLevels) -> Levels:
    """Evenly over the fifty timesteps that the models of Luo et al. 2023 were distilled for."""
    return _normal(steps, NoiseLevels(model.table[19::20]))


def _time_uniform(steps: int, model: NoiseLevels) -> Levels:
    return model.at(np.linspace(*model.ends(), steps + 1))


def _beta(steps: int, model: NoiseLevels) -> Levels:
    shares = _beta_quantiles(1 - np.linspace(0, 1, steps))
    return _ending_in_zero(model.lowest + shares * (model.highest - model.lowest))


def _comfyui_beta(steps: int, model: NoiseLevels) -> Levels:
    quantiles = _beta_quantiles(1 - np.linspace(0, 1, steps, endpoint=False))
    # A timestep that comes twice counts once, so there may be fewer steps than were asked for.
    timesteps = dict.fromkeys(np.rint(quantiles * (len(model.table) - 1)).astype(int).tolist())
    return _ending_in_zero(model.table[list(timesteps)])


def _beta_quantiles(shares: Levels) -> Levels:
    from scipy.stats import beta

    found: Levels = np.asarray(beta.ppf(shares, 0.6, 0.6), dtype=np.float64)
    return found


# Of ten steps, as they were published.
_ALIGNED = {
    False: (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029),
    True: (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029),
}


def _align_your_steps(steps: int, model: NoiseLevels) -> Levels:
    published = np.log(_ALIGNED[model.xl])
    places = np.linspace(0, 1, len(published))
    return _ending_in_zero(np.exp(np.interp(np.linspace(0, 1, steps), places, published)))


def _kl_optimal(steps: int, model: NoiseLevels) -> Levels:
    # A1111's ends at the lowest level and not at zero.
    return np.tan(np.linspace(math.atan(model.highest), math.atan(model.lowest), steps + 1))


def _comfyui_kl_optimal(steps: int, model: NoiseLevels) -> Levels:
    return _ending_in_zero(np.tan(np.linspace(math.atan(model.highest), math.atan(model.lowest), steps)))


def _turbo(steps: int, model: NoiseLevels) -> Levels:
    count = len(model.table)
    timesteps = np.rint(np.arange(steps, 0, -1) * (count / steps) - 1).astype(int)
    return _ending_in_zero(model.table[timesteps.clip(0, count - 1)])


def _linear_quadratic(steps: int, model: NoiseLevels, threshold: float = 0.025) -> Levels:
    """The first half of the steps evenly down to 1 - `threshold`, the rest on a parabola that goes on with their slope."""
    if steps == 1:
        return np.array([model.highest, 0.0])
    half = steps // 2
    rest, slope = steps - half, threshold / half
    linear = np.arange(half) * slope
    beyond = np.arange(rest + 1)
    quadratic = threshold + slope * beyond + (1 - threshold - slope * rest) * (beyond / rest) ** 2
    return model.highest * (1 - np.concatenate([linear, quadratic]))


def _ending_in_zero(levels: Levels) -> Levels:
    return np.append(levels, 0.0)


@dataclass(frozen=True)
class Schedule:
    """One way to space the noise levels: `levels(steps, model)` gives (n + 1,) of them, where n is `steps` but for a few.

    `label` is A1111's "Schedule type", None where it has none; `spellings` are further names. `flow` says that it makes sense for
    models of flow matching too, `by_timesteps` that it is of a sampler of A1111
    that goes by timesteps: none of its levels is discarded, and latents begin with the variance that the model was trained at."""

    levels: Callable[[int, NoiseLevels], Levels]
    label: str | None = None
    spellings: tuple[str, ...] = field(default=())
    flow: bool = True
    by_timesteps: bool = False


SCHEDULES: Mapping[str, Schedule] = {
    "normal": Schedule(_normal, "Uniform", ("Normal",)),
    "karras": Schedule(_karras, "Karras"),
    "exponential": Schedule(_exponential, "Exponential"),
    # With the rho of 1 that A1111 gives it.
    "polyexponential": Schedule(_exponential, "Polyexponential"),
    "sgm_uniform": Schedule(_sgm_uniform, "SGM Uniform"),
    "simple": Schedule(_simple, "Simple"),
    "ddim_uniform": Schedule(_ddim_uniform, "DDIM"),
    "beta": Schedule(_beta, "Beta"),
    "comfyui_beta": Schedule(_comfyui_beta),
    "align_your_steps": Schedule(_align_your_steps, "Align Your Steps", ("ays",), flow=False),
    "kl_optimal": Schedule(_kl_optimal, "KL Optimal"),
    "comfyui_kl_optimal": Schedule(_comfyui_kl_optimal),
    "turbo": Schedule(_turbo, "Turbo"),
    "linear_quadratic": Schedule(_linear_quadratic),
    # Those of A1111's samplers that have one of their own: LCM, DDIM and UniPC.
    "lcm_timesteps": Schedule(_lcm_timesteps, flow=False),
    "ddim_timesteps": Schedule(_ddim_timesteps, flow=False, by_timesteps=True),
    "time_uniform": Schedule(_time_uniform, flow=False, by_timesteps=True),
}


def noise_levels(name: str, steps: int, model: NoiseLevels, *, discard: bool = False) -> Levels:
    """Return the levels of a schedule by its name, from the highest down; with `discard` without the last but one, as A1111 and
    ComfyUI do it for solvers that are bad at it."""
    if not discard or SCHEDULES[name].by_timesteps:
        return SCHEDULES[name].levels(steps, model)
    levels = SCHEDULES[name].levels(steps + 1, model)
    return np.delete(levels, -2)
