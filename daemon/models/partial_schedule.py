"""A part of a schedule: the proxy that gives start, stop, exact resume and image-to-image to any pipeline.

A diffusers pipeline runs whatever `scheduler.timesteps` says. A PartialSchedule holds the real scheduler with its whole schedule,
shows the pipeline a slice of it, and puts the saved state of the solver in its place. So there is no denoising loop of our own."""

import functools
import inspect
import math
from collections.abc import Callable, Mapping
from typing import Any

import torch

from daemon.models import Progress
from daemon.models.masking import Inpainting
from daemon.models.noise import stepped
from daemon.models.solver_state import changed, copied

Watch = Callable[[int, torch.Tensor], None]
"""Called with (step, latents) after each whole step of a loop; the latents are as the loop takes them."""

THE_END = 1.0


def _silent(step: int, steps: int, estimate: torch.Tensor | None = None, /) -> None:
    del step, steps, estimate


class PartialSchedule:
    """A scheduler with its schedule, of which only the timesteps first..last are shown to a pipeline.

    `first` and `last` are indices into the whole schedule (`index_of` makes them from steps). `flow` says that the model is trained
    by flow matching. `solver_state` is what `solver_state()` gave where the part before ended; without it a multistep solver starts
    again at first order, and with `warm_up` PNDM also takes its first step twice, as it does at the head of a schedule. With
    `finish` the last timestep gives the estimate of the finished latents instead of one step. `report(step, steps)` is called after
    each step, and each of the `watchers`, which are set before the pipeline runs, after each whole one; `generator`, set likewise,
    is that of the noise within the steps. `held_step` is the last step after which paint was held (`hold`), None where none was."""

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
        self._held: Inpainting | None = None
        self._until = 0.0
        self.held_step: int | None = None
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
        """Return the noise level where this part ended, or where it begins; None unless the scheduler is sigma-scaled."""
        return self._sigma(self._inner.step_index if self._done else self._first) if self.sigma_scaled else None

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
        self._go_by_index()

    def factors(self) -> tuple[float, float]:
        """Return a and s, where latents at the first timestep shown are a x0 + s n of finished latents x0 and unit noise n."""
        self._go_by_index()
        return _factors(self.noised)

    def clean_share(self) -> float:
        """Return the factor of the finished latents at the first timestep shown, 0..1, with all in units of variance 1."""
        self._go_by_index()
        return self._share_of(*self.factors())

    def hold(self, painted: Inpainting, until: float) -> None:
        """Let what somebody painted outlive the loop: what the mask leaves out is kept after each step until little noise is left.

        `until` is the share of the finished latents, 0..1, from which on it is left alone: 0 keeps nothing, 1 keeps it to the end,
        where it looks pasted."""
        self._go_by_index()
        self._held, self._until = painted, until

    @property
    def holds(self) -> bool:
        """Whether paint is held still where this part ended."""
        return self._held is not None and self._holding

    def estimate(self) -> torch.Tensor:
        """Return how the last step saw the finished latents, x0, as the loop takes latents; there must have been a step.

        Under a mask, and where paint is held, it is what the loop keeps there, which the denoiser does not see yet."""
        assert self._predicted is not None, "there was no step yet"
        denoised = self._denoised(*self._predicted)
        for kept in (self._inpainting, self._held if self.holds else None):
            denoised = denoised if kept is None else kept.blended(denoised, lambda picture, _noise: picture)
        return denoised

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
        if self.generator is not None and "generator" in inspect.signature(self._inner.step).parameters:
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
        if self._held is not None and self._holding:
            stepped = (self._held.blended(stepped[0], self._noised_for_next),)
            self.held_step = step
        if self._index >= whole or (self._index % order == 0 and not (self._warms_up and self._done == 1)):
            for watch in self.watchers:
                watch(step, stepped[0])
        self._report(step, self._steps)
        return stepped

    @property
    def _index(self) -> int:
        """The index of the next timestep in the whole schedule."""
        return self._first + self._done - (self._warms_up and self._done > 1)

    def _go_by_index(self) -> None:
        if hasattr(self._inner, "set_begin_index"):
            # Those that go by an index could otherwise not tell which of two equal timesteps the noise is of.
            self._inner.set_begin_index(self._first)

    @property
    def _holding(self) -> bool:
        return self._until >= THE_END or self._share_of(*_factors(self._noised_for_next)) < self._until

    def _share_of(self, a: float, s: float) -> float:
        """The factor of the finished latents, 0..1, with all in units of variance 1."""
        return a if self._flow else a / math.hypot(a, s)

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


def _factors(noised: Callable[[torch.Tensor, torch.Tensor], torch.Tensor]) -> tuple[float, float]:
    one, none = torch.ones(1, 1, 1, 1), torch.zeros(1, 1, 1, 1)
    return float(noised(one, none)), float(noised(none, one))


def _alike(method: Callable[..., Any], original: Any) -> Any:
    # A bound method takes no attributes, a partial does.
    return functools.update_wrapper(functools.partial(method), original)


def index_of(step: int, steps: int, scheduler: Any) -> int:
    """Return the index into `scheduler.timesteps` where `step` of `steps` begins; order 2 has two timesteps a step."""
    return len(scheduler.timesteps) if step >= steps else step * int(scheduler.order)
