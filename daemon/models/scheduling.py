"""Schedulers, and a segment of a schedule: the proxy that gives start, stop, exact resume and image-to-image to any pipeline.

A diffusers pipeline runs whatever `scheduler.timesteps` says. A Segment holds the real scheduler with its whole schedule, shows the
pipeline a slice of it, and puts the solver's saved memory in its place. So there is no denoising loop of our own."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import diffusers
import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.families import Family
from daemon.models.history import changed, memory
from daemon.stages.schedulers import RECIPES, canonical


def _silent(step: int, steps: int) -> None:
    del step, steps


def build(name: str | None, config: Mapping[str, Any], family: Family, *, lean: float | None = None) -> Any:
    """Build a scheduler by our name on the model's own scheduler configuration; None is the model's own scheduler.

    `lean` is that of `Family.lean`. Raises InputError for an unknown name, and for a scheduler of flow matching on a model of noise
    prediction or the reverse."""
    class_name, options = str(config["_class_name"]), dict[str, Any]()
    if name is not None:
        recipe = RECIPES[canonical(name)]
        if recipe.flow != family.flow:
            wanted = "those of flow matching: flow_euler, ..." if family.flow else "those of noise prediction: ddim, euler, ..."
            raise InputError(
                f"the scheduler {name!r} does not fit this model; {family.name} takes {wanted}: give another one in the file, or "
                "under the model's `defaults` in config.yaml"
            )
        class_name, options = recipe.class_name, dict(recipe.options)
    cls = getattr(diffusers, class_name)
    expected = cls._get_init_keys(cls)
    if family.flow and "flow_shift" in expected:
        options["flow_shift"] = config.get("shift", 1.0) if lean is None else math.exp(lean)
    elif "shift" in expected and "use_dynamic_shifting" not in expected and lean is not None:
        options["shift"] = math.exp(lean)
    known = {key: value for key, value in {**config, **family.forced}.items() if key in expected}
    return cls.from_config({**known, **options})


def scheduled(
    name: str | None,
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
    lean = family.lean(config, denoiser, size)
    scheduler = build(name, config, family, lean=lean)
    options: dict[str, Any] = {}
    if isinstance(scheduler, diffusers.FlowMatchEulerDiscreteScheduler):
        options = {"mu": lean, "sigmas": family.sigmas(steps)}
    try:
        scheduler.set_timesteps(steps, device=device, **options)
    except ValueError as error:
        raise InputError(f"the scheduler {name} cannot run {steps} steps: {error}") from error
    if not family.flow and scheduler.timesteps.max() > scheduler.config.num_train_timesteps - 1:
        # The offset of one step of Stable Diffusion's schedulers leaves the table when every timestep is wanted.
        raise InputError(f"the scheduler {name} cannot run {steps} steps with this model; give fewer steps")
    return scheduler


class Segment:
    """A scheduler with its schedule, of which only the timesteps first..last are shown to a pipeline.

    `first` and `last` are indices into the whole schedule (`index_of` makes them from steps). `flow` says that the model is trained
    by flow matching. `history` is what `history()` gave where the segment before ended; without it a multistep solver starts again
    at first order, and with `warm_up` PNDM also takes its first step twice, as it does at the head of a schedule. With `finish` the
    last timestep gives the estimate of the finished latents instead of one step. `report(step, steps)` is called after each
    step."""

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
        history: Mapping[str, Any] | None = None,
        warm_up: bool = False,
        finish: bool = False,
        report: Progress = _silent,
    ) -> None:
        self._inner, self._steps, self._index = scheduler, steps, first
        self._first, self._last = first, last
        self._warm_up, self._finish, self._report = warm_up, finish, report
        self._flow = flow
        self._fresh = memory(vars(scheduler))
        # The pipelines inspect its signature, and whether there is a set_begin_index.
        self.step = _alike(self._step, scheduler.step)
        if hasattr(scheduler, "set_begin_index"):
            self.set_begin_index = self._set_begin_index
            if first > 0:
                scheduler.set_begin_index(first)
        vars(scheduler).update(memory(history or {}))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def timesteps(self) -> torch.Tensor:
        """The timesteps that the pipeline is to run."""
        whole: torch.Tensor = self._inner.timesteps
        if not (self._warm_up and self._first > 0 and hasattr(self._inner, "plms_timesteps")):
            return whole[self._first : self._last]
        # Timesteps 1 and 2 of PNDM are the same one: its doubled start. A start in the middle doubles the second timestep likewise.
        rest = whole[max(self._first, 2) : self._last]
        return torch.cat([rest[:2], rest[1:]])

    @property
    def sigma_scaled(self) -> bool:
        """Whether noisy latents have the variance sigma^2 + 1 instead of 1, as with Euler, Heun, LMS and their like."""
        return float(getattr(self._inner, "init_noise_sigma", 1.0)) != 1.0

    def sigma(self) -> float | None:
        """Return the noise level where the segment ended; None unless the scheduler is sigma-scaled."""
        return self._sigma(self._inner.step_index) if self.sigma_scaled else None

    def scaled(self, noise: torch.Tensor) -> torch.Tensor:
        """Return unit noise with the variance that latents have where the segment begins."""
        if self._first == 0:
            factor: Any = getattr(self._inner, "init_noise_sigma", 1.0)
        elif self._flow:
            factor = math.hypot(self._sigma(self._first), 1 - self._sigma(self._first))
        else:
            factor = math.hypot(self._sigma(self._first), 1) if self.sigma_scaled else 1.0
        scaled: torch.Tensor = noise * factor
        return scaled

    def noised(self, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return finished latents with the noise of the segment's first timestep added (image-to-image)."""
        add_noise = getattr(self._inner, "scale_noise", None)
        noisy: torch.Tensor = (
            add_noise(latents, self.timesteps[:1], noise)
            if add_noise
            else self._inner.add_noise(latents, noise, self.timesteps[:1])
        )
        return noisy

    def history(self) -> dict[str, Any]:
        """Return what the solver remembers of the steps so far, by attribute name."""
        return changed(memory(vars(self._inner)), self._fresh)

    def set_timesteps(self, num_inference_steps: int | None = None, device: Any = None, sigmas: Any = None, mu: Any = None) -> None:
        """Do nothing: the schedule is there already, and a pipeline would start it anew."""
        del num_inference_steps, device, sigmas, mu

    def _set_begin_index(self, begin_index: int = 0) -> None:
        # SDXL and Flux set 0 themselves; in the middle of a schedule the index is already right.
        if self._first == 0:
            self._inner.set_begin_index(begin_index)

    def _step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, **kwargs: Any) -> Any:
        if self._finish and self._index + 1 == self._last:
            self._advance()
            return (self._denoised(model_output, timestep, sample),)
        if hasattr(self._inner, "derivatives"):
            # LMS takes its order from the step, not from the derivatives it has, which is wrong after a start in the middle.
            kwargs["order"] = min(4, len(self._inner.derivatives) + 1)
        stepped = self._inner.step(model_output, timestep, sample, **kwargs)
        self._advance()
        return stepped

    def _advance(self) -> None:
        self._index += 1
        whole = len(self._inner.timesteps)
        step = self._steps if self._index >= whole else self._index // self._inner.order
        self._report(min(step, self._steps), self._steps)

    def _denoised(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor) -> torch.Tensor:
        """Return the estimate of the finished latents, x0, from one prediction (Salimans and Ho 2022, appendix D)."""
        if self._flow:
            estimate: torch.Tensor = sample - self._sigma(self._index) * model_output
            return estimate
        if hasattr(self._inner, "sigmas"):
            sigma = self._sigma(self._index)
            alpha = 1 / math.sqrt(sigma**2 + 1)
        else:
            alpha = math.sqrt(float(self._inner.alphas_cumprod[int(timestep)]))
        x = sample * alpha if self.sigma_scaled else sample
        s = math.sqrt(1 - alpha**2)
        prediction = self._inner.config.prediction_type
        if prediction == "epsilon":
            return (x - s * model_output) / alpha
        return alpha * x - s * model_output if prediction == "v_prediction" else model_output

    def _sigma(self, index: int) -> float:
        return float(self._inner.sigmas[index])


def _alike(method: Callable[..., Any], original: Any) -> Any:
    # A bound method takes no attributes, a partial does.
    return functools.update_wrapper(functools.partial(method), original)


def index_of(step: int, steps: int, scheduler: Any) -> int:
    """Return the index into `scheduler.timesteps` where `step` of `steps` begins; order 2 has two timesteps a step."""
    return len(scheduler.timesteps) if step >= steps else step * int(scheduler.order)
