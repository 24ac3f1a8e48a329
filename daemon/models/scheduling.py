"""Schedulers, and a part of a schedule: the proxy that gives start, stop, exact resume and image-to-image to any pipeline.

A diffusers pipeline runs whatever `scheduler.timesteps` says. A PartialSchedule holds the real scheduler with its whole schedule,
shows the pipeline a slice of it, and puts the saved state of the solver in its place. So there is no denoising loop of our own."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import diffusers
import numpy as np
import numpy.typing as npt
import torch

from daemon.errors import InputError
from daemon.models import Progress, solvers
from daemon.models.families import Family
from daemon.models.masking import Inpainting
from daemon.models.noise import stepped
from daemon.models.schedulers import RECIPES, canonical, fitting, paired
from daemon.models.schedules import OWN, SCHEDULES, NoiseLevels, noise_levels, shifted
from daemon.models.solver_state import changed, copied
from daemon.models.stage_settings import StageSettings

Watch = Callable[[int, torch.Tensor], None]
"""Called with (step, latents) after each whole step of a loop; the latents are as the loop takes them."""


def _silent(step: int, steps: int, estimate: torch.Tensor | None = None, /) -> None:
    del step, steps, estimate


@dataclass(frozen=True)
class Chosen:
    """Which scheduler is to be built: our name, None for that of the model itself; a schedule of its own; an eta that was said."""

    name: str | None
    schedule: str | None = None
    eta: float | None = None

    @property
    def imposed(self) -> str | None:
        """The schedule that is laid upon the scheduler, if it is not its own."""
        return None if self.schedule in (None, OWN) or self.name is None else self.schedule


def chosen_for(family: Family, settings: StageSettings) -> Chosen:
    """Return the scheduler that settings mean for a family of models.

    Raises InputError for an unknown one, and for one of flow matching on a model of noise prediction or the reverse."""
    said = settings.get("scheduler")
    if said is None:
        return Chosen(None, None, settings.get("eta"))
    named = paired(said, settings.get("schedule"))
    name = fitting(named.scheduler, flow=family.flow, family=family.name, default=family.default_scheduler)
    if name is None or named.schedule in (None, OWN):
        return Chosen(name, None, settings.get("eta"))
    fitted = paired(name, named.schedule)
    return Chosen(fitted.scheduler, fitted.schedule, settings.get("eta"))


def build(
    name: str | None, config: Mapping[str, Any], family: Family, *, mu: float | None = None, imposed: str | None = None
) -> Any:
    """Build a scheduler by our name on the model's own scheduler configuration; None is the model's own scheduler.

    `mu` is that of `Family.mu`; `imposed` is the schedule that is going to be laid upon it. Raises InputError for an unknown name,
    and for a scheduler of flow matching on a model of noise prediction or the reverse."""
    cls, options = _class_and_options(name, config, family, mu, imposed=imposed)
    # What from_config does beside this is to ask all the other classes what they would take.
    return cls(**options)


def alike(name: str | None, one: Mapping[str, Any], other: Mapping[str, Any], family: Family) -> bool:
    """Return whether two scheduler configurations build the same scheduler by our name, what they leave out included."""
    return _all_options(name, one, family) == _all_options(name, other, family)


def _all_options(name: str | None, config: Mapping[str, Any], family: Family) -> tuple[type, dict[str, Any]]:
    cls, options = _class_and_options(name, config, family, None)
    return cls, {**{key: parameter.default for key, parameter in inspect.signature(cls).parameters.items()}, **options}


def _class_and_options(
    name: str | None, config: Mapping[str, Any], family: Family, mu: float | None, *, imposed: str | None = None
) -> tuple[Any, dict[str, Any]]:
    class_name, options = str(config["_class_name"]), dict[str, Any]()
    if name is not None:
        recipe = RECIPES[canonical(name)]
        fitting(recipe.name, flow=family.flow, family=family.name, default=family.default_scheduler)
        class_name, options = recipe.class_name, dict(recipe.options)
        if imposed and recipe.scheduled not in (None, class_name):
            class_name, options = str(recipe.scheduled), {}
    cls = getattr(solvers, class_name, None) or getattr(diffusers, class_name)
    expected = _parameters(cls)
    if imposed:
        # With "linspace" latents begin as noise times the highest level, and with "leading" with the variance of the model.
        spacing = "leading" if SCHEDULES[imposed].by_timesteps else "linspace"
        laid = {"timestep_spacing": spacing, **dict.fromkeys(_SPACED, False)}
        options |= {key: value for key, value in laid.items() if key in expected}
        if class_name == "UniPCMultistepScheduler":
            # The order that A1111 and ComfyUI give it.
            options["solver_order"] = 3
    if family.flow and "flow_shift" in expected:
        options["flow_shift"] = config.get("shift", 1.0) if mu is None else math.exp(mu)
    elif "shift" in expected and "use_dynamic_shifting" not in expected and mu is not None:
        options["shift"] = math.exp(mu)
    known = {key: value for key, value in {**config, **family.forced}.items() if key in expected}
    return cls, {**known, **options}


_SPACED = ("use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


@functools.cache
def _parameters(called: Callable[..., Any]) -> frozenset[str]:
    return frozenset(inspect.signature(called).parameters)


def scheduler_with_timesteps(
    chosen: Chosen,
    config: Mapping[str, Any],
    steps: int,
    *,
    family: Family,
    denoiser: Mapping[str, Any],
    size: tuple[int, int],
    device: str,
) -> Any:
    """Build a scheduler as `build` does, with its schedule of `steps` for latents of `size` (h, w).

    Raises InputError where it cannot run so many steps."""
    mu = family.mu(config, denoiser, size)
    scheduler = build(chosen.name, config, family, mu=mu, imposed=chosen.imposed)
    if chosen.eta is not None and takes_eta(scheduler):
        scheduler.eta = chosen.eta
    options: dict[str, Any] = {}
    if isinstance(scheduler, diffusers.FlowMatchEulerDiscreteScheduler | diffusers.FlowMatchLCMScheduler):
        options = {"mu": mu, "sigmas": family.sigmas(steps)}
    try:
        scheduler.set_timesteps(steps, device=device, **options)
        if chosen.imposed is not None:
            levels = _levels(chosen, config, steps, family, scheduler, mu)
            if len(levels) < 2 or (np.diff(levels) >= 0).any():
                way_out = "more" if len(levels) < 2 else "fewer"
                raise InputError(f"the schedule {chosen.imposed} cannot be of {steps} steps with this model; give {way_out}")
            _impose(scheduler, levels, family, device)
            _begin(scheduler, chosen.imposed, family)
    except ValueError as error:
        raise InputError(f"the scheduler {chosen.name} cannot run {steps} steps: {error}") from error
    if not family.flow and scheduler.timesteps.max() > scheduler.config.num_train_timesteps - 1:
        # The offset of one step of Stable Diffusion's schedulers leaves the table when every timestep is wanted.
        raise InputError(f"the scheduler {chosen.name} cannot run {steps} steps with this model; give fewer steps")
    return scheduler


def takes_eta(scheduler: Any) -> bool:
    """Return whether a scheduler is one of those whose eta is set when they are built, and not given with each step."""
    return getattr(scheduler, "eta", None) is not None


def _levels(
    chosen: Chosen, config: Mapping[str, Any], steps: int, family: Family, scheduler: Any, mu: float | None
) -> npt.NDArray[np.float64]:
    """The noise levels of the schedule that was chosen, from the highest down."""
    assert chosen.name is not None
    assert chosen.imposed is not None
    if family.flow:
        shift = float(config.get("shift", 1.0)) if mu is None else math.exp(mu)
        count = int(config.get("num_train_timesteps", 1000))
        model = NoiseLevels(shifted(np.arange(1, count + 1) / count, shift), shift=shift)
    else:
        model = NoiseLevels(solvers.trained_levels(scheduler.alphas_cumprod), xl="XL" in family.pipeline)
    return noise_levels(chosen.imposed, steps, model, discard=RECIPES[chosen.name].discards)


# A solver that goes by the logarithm of the signal cannot begin where there is none.
_ALMOST_NOISE = 0.9999
# Nor can UniPC's first kind end where there is no noise; this is ComfyUI's end.
_ALMOST_NOTHING = 0.001


def _impose(scheduler: Any, levels: npt.NDArray[np.float64], family: Family, device: str) -> None:
    """Lay the noise levels (n + 1,) upon a scheduler in place of its own."""
    if isinstance(scheduler, solvers.SigmaSolver):
        return scheduler.impose(levels, device)
    if family.flow and "flow_shift" in scheduler.config:
        levels = levels.clip(max=_ALMOST_NOISE)
    model = NoiseLevels(levels, shift=1.0) if family.flow else NoiseLevels(solvers.trained_levels(scheduler.alphas_cumprod))
    if isinstance(scheduler, diffusers.UniPCMultistepScheduler):
        levels = levels.clip(min=_ALMOST_NOTHING)
    elif levels[-1] > 0 and "final_sigmas_type" in scheduler.config:
        # Otherwise the last step is of first order, as it must be towards no noise at all.
        scheduler.register_to_config(final_sigmas_type="sigma_min", lower_order_final=False)
    shown = levels[:-1]
    if scheduler.order == 2:
        shown = np.concatenate([shown[:1], np.repeat(shown[1:], 2)])
    scheduler.sigmas = torch.tensor([*shown, levels[-1]], dtype=torch.float32)
    scheduler.timesteps = torch.tensor(model.timesteps_of(shown), dtype=torch.float32, device=device)
    scheduler.num_inference_steps = len(levels) - 1


def _begin(scheduler: Any, imposed: str, family: Family) -> None:
    """Let latents of unit variance begin as A1111's do, which are noise times the highest level but for what goes by timesteps."""
    if family.flow or SCHEDULES[imposed].by_timesteps or float(scheduler.init_noise_sigma) != 1.0:
        return
    highest = float(scheduler.sigmas[0])
    scheduler.init_noise_sigma = highest / math.hypot(highest, 1)


class PartialSchedule:
    """A scheduler with its schedule, of which only the timesteps first..last are shown to a pipeline.

    `first` and `last` are indices into the whole schedule (`index_of` makes them from steps). `flow` says that the model is trained
    by flow matching. `solver_state` is what `solver_state()` gave where the part before ended; without it a multistep solver starts
    again at first order, and with `warm_up` PNDM also takes its first step twice, as it does at the head of a schedule. With
    `finish` the last timestep gives the estimate of the finished latents instead of one step. `report(step, steps)` is called after
    each step, and each of the `watchers`, which are set before the pipeline runs, after each whole one; `generator`, set likewise,
    is that of the noise within the steps."""

    # The latents come scaled already.
    init_noise_sigma = 1.0

    def __init__(
        self,
        scheduler: Any,
        steps: int,
        *,
        flow: bool = False,
        first: int = 0,
        last: int | None = None,
        solver_state: Mapping[str, Any] | None = None,
        warm_up: bool = False,
        finish: bool = False,
        report: Progress = _silent,
    ) -> None:
        self._inner, self._steps = scheduler, steps
        self._first, self._last, self._done = first, last, 0
        self._finish, self._report = finish, report
        self.watchers: list[Watch] = []
        self.generator: Any = None
        self._flow = flow
        self._warms_up = warm_up and first > 0 and hasattr(scheduler, "plms_timesteps")
        self._inpainting: Inpainting | None = None
        self._predicted: tuple[torch.Tensor, Any, torch.Tensor, int] | None = None
        self._fresh = copied(vars(scheduler))
        # The pipelines inspect its signature, and whether there is a set_begin_index.
        self.step = _alike(self._step, scheduler.step)
        if hasattr(scheduler, "set_begin_index"):
            self.set_begin_index = self._set_begin_index
            if first > 0:
                scheduler.set_begin_index(first)
        vars(scheduler).update(copied(solver_state or {}))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def timesteps(self) -> torch.Tensor:
        """The timesteps that the pipeline is to run."""
        whole: torch.Tensor = self._inner.timesteps
        if not self._warms_up:
            return whole[self._first : self._last]
        # Timesteps 1 and 2 of PNDM are the same one: its doubled start. A start in the middle doubles the second timestep likewise.
        rest = whole[max(self._first, 2) : self._last]
        return torch.cat([rest[:2], rest[1:]])

    @property
    def solver(self) -> Any:
        """The scheduler itself."""
        return self._inner

    @property
    def sigma_scaled(self) -> bool:
        """Whether noisy latents have the variance sigma^2 + 1 instead of 1, as with Euler, Heun, LMS and their like."""
        return float(getattr(self._inner, "init_noise_sigma", 1.0)) > 1.0

    def sigma(self) -> float | None:
        """Return the noise level where this part ended; None unless the scheduler is sigma-scaled."""
        return self._sigma(self._inner.step_index) if self.sigma_scaled else None

    def scaled(self, noise: torch.Tensor) -> torch.Tensor:
        """Return unit noise with the variance that latents have where this part begins."""
        if self._first == 0:
            factor: Any = getattr(self._inner, "init_noise_sigma", 1.0)
        elif self._flow:
            factor = math.hypot(self._sigma(self._first), 1 - self._sigma(self._first))
        else:
            factor = math.hypot(self._sigma(self._first), 1) if self.sigma_scaled else 1.0
        scaled: torch.Tensor = noise * factor
        return scaled

    def noised(self, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return finished latents with the noise of the first timestep shown added (image-to-image)."""
        return self._noised(latents, noise, self.timesteps[:1])

    def inpaint(self, inpainting: Inpainting) -> None:
        """Let what the mask leaves out be kept after every step."""
        self._inpainting = inpainting
        if hasattr(self._inner, "set_begin_index"):
            # Those that go by an index could otherwise not tell which of two equal timesteps the noise is of.
            self._inner.set_begin_index(self._first)

    def estimate(self) -> torch.Tensor:
        """Return how the last step saw the finished latents, x0, as the loop takes latents; there must have been a step."""
        assert self._predicted is not None, "there was no step yet"
        denoised = self._denoised(*self._predicted)
        return denoised if self._inpainting is None else self._inpainting.blended(denoised, lambda picture, _noise: picture)

    def solver_state(self) -> dict[str, Any]:
        """Return what the solver remembers of the steps so far, by attribute name."""
        return changed(copied(vars(self._inner)), self._fresh)

    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None, sigmas: Any = None, mu: Any = None) -> None:
        """Do nothing: the schedule is there already, and a pipeline would start it anew."""
        del num_inference_steps, device, sigmas, mu

    def scale_model_input(self, sample: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
        """Return what the denoiser sees of a batch of latents."""
        scaled: torch.Tensor = self._inner.scale_model_input(sample, *args, **kwargs)
        return scaled if self._inpainting is None else self._inpainting.shown(scaled)

    def _set_begin_index(self, begin_index: int = 0) -> None:
        # SDXL and Flux set 0 themselves; in the middle of a schedule the index is already right.
        if self._first == 0:
            self._inner.set_begin_index(begin_index)

    def _step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, **kwargs: Any) -> Any:
        self._predicted = (model_output, timestep, sample, self._index)
        if self._finish and self._done + 1 == len(self.timesteps):
            return self._advanced((self._denoised(*self._predicted),))
        if hasattr(self._inner, "derivatives"):
            # LMS takes its order from the step, not from the derivatives it has, which is wrong after a start in the middle.
            kwargs["order"] = min(4, len(self._inner.derivatives) + 1)
        if self.generator is not None and "generator" in _parameters(type(self._inner).step):
            # The pipelines of flow matching do not hand theirs on.
            kwargs["generator"] = self.generator
        return self._advanced(stepped(self._inner.step, model_output, timestep, sample, **kwargs))

    def _advanced(self, stepped: Any) -> Any:
        """Return the result of a step, held to the mask, and tell of it."""
        self._done += 1
        if self._inpainting is not None:
            stepped = (self._inpainting.blended(stepped[0], self._noised_for_next),)
        whole, order = len(self._inner.timesteps), self._inner.order
        step = min(self._steps if self._index >= whole else self._index // order, self._steps)
        if self._index >= whole or (self._index % order == 0 and not (self._warms_up and self._done == 1)):
            for watch in self.watchers:
                watch(step, stepped[0])
        self._report(step, self._steps)
        return stepped

    @property
    def _index(self) -> int:
        """The index of the next timestep in the whole schedule."""
        return self._first + self._done - (self._warms_up and self._done > 1)

    def _noised_for_next(self, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Finished latents with the noise of the timestep that comes next; as they are after the last."""
        shown = self.timesteps[self._done :]
        following = shown if len(shown) or self._finish or self._last is None else self._inner.timesteps[self._last :]
        return self._noised(latents, noise, following[:1]) if len(following) else latents

    def _noised(self, latents: torch.Tensor, noise: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        scale_noise = getattr(self._inner, "scale_noise", None)
        noisy: torch.Tensor = (
            scale_noise(latents, timestep, noise) if scale_noise else self._inner.add_noise(latents, noise, timestep)
        )
        return noisy

    def _denoised(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, index: int) -> torch.Tensor:
        """Return the estimate of the finished latents, x0, from one prediction (Salimans and Ho 2022, appendix D)."""
        if self._flow:
            estimate: torch.Tensor = sample - self._sigma(index) * model_output
            return estimate
        if hasattr(self._inner, "sigmas"):
            sigma = self._sigma_seen(index)
            alpha = 1 / math.sqrt(sigma**2 + 1)
        else:
            alpha = math.sqrt(float(self._inner.alphas_cumprod[int(timestep)]))
        x = sample * alpha if self.sigma_scaled else sample
        s = math.sqrt(1 - alpha**2)
        prediction = self._inner.config.prediction_type
        if prediction == "epsilon":
            return (x - s * model_output) / alpha
        return alpha * x - s * model_output if prediction == "v_prediction" else model_output

    def _sigma_seen(self, index: int) -> float:
        """The noise level of what the denoiser saw: in the second half of a step of DPM2 it lies between two of the schedule."""
        if not hasattr(self._inner, "sigmas_interpol") or index % 2 == 0:
            return self._sigma(index)
        # The ancestral one counts them from the first half on.
        return float(self._inner.sigmas_interpol[index - hasattr(self._inner, "sigmas_up")])

    def _sigma(self, index: int) -> float:
        return float(self._inner.sigmas[index])


def _alike(method: Callable[..., Any], original: Any) -> Any:
    # A bound method takes no attributes, a partial does.
    return functools.update_wrapper(functools.partial(method), original)


def index_of(step: int, steps: int, scheduler: Any) -> int:
    """Return the index into `scheduler.timesteps` where `step` of `steps` begins; order 2 has two timesteps a step."""
    return len(scheduler.timesteps) if step >= steps else step * int(scheduler.order)
