"""Building a scheduler: which class, on the configuration of which model, over which noise levels.

A name alone is a class of diffusers with the schedule of the model; a schedule of its own (`schedules.py`) is laid upon it, or upon
the solver of ours that takes its place (`solvers`)."""

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
from daemon.models import solvers
from daemon.models.families import Family
from daemon.models.schedulers import RECIPES, canonical, fitting, paired
from daemon.models.schedules import OWN, SCHEDULES, NoiseLevels, noise_levels, shifted
from daemon.models.stage_settings import StageSettings


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
    trained = int(config.get("num_train_timesteps", 1000))
    if not family.flow and steps > trained:
        raise InputError(f"the model was trained at {trained} timesteps and cannot run {steps} steps; give fewer steps")
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
