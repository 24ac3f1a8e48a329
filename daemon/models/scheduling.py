"""A segment of a schedule: the scheduler proxy that gives start, stop, exact resume and image-to-image to any pipeline.

A diffusers pipeline runs whatever `scheduler.timesteps` says. A Segment holds the real scheduler with its whole
schedule, shows the pipeline a slice of it, and installs the solver's saved history after `set_timesteps`. So there is
no denoising loop of our own.

The history of a solver is what differs in `vars(scheduler)` from right after `set_timesteps`: a few numbers, and up to
five tensors of the size of the latents. `pack` makes named tensors of it ("scheduler.*"), `unpack` reads them."""

import functools
import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import diffusers
import numpy as np
import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.stages.schedulers import RECIPES, canonical

PREFIX = "scheduler."
_RECORD = PREFIX + "record"


def _silent(step: int, steps: int) -> None:
    del step, steps


def build(name: str | None, config: Mapping[str, Any]) -> Any:
    """Build a scheduler by our name on the model's own scheduler configuration; None is the model's own scheduler.

    Raises InputError for an unknown name, and for a scheduler of flow matching on a model of noise prediction or the
    reverse."""
    class_name, options = str(config["_class_name"]), {}
    if name is not None:
        recipe = RECIPES[canonical(name)]
        if recipe.class_name.startswith("FlowMatch") != class_name.startswith("FlowMatch"):
            raise InputError(f"the scheduler {name!r} does not fit this model, which is made for a {class_name}")
        class_name, options = recipe.class_name, dict(recipe.options)
    cls = getattr(diffusers, class_name)
    expected = cls._get_init_keys(cls)
    known = {key: value for key, value in config.items() if key in expected}
    return cls.from_config({**known, **_corrections(expected), **options})


def _corrections(expected: set[str]) -> dict[str, Any]:
    # The pipelines of Stable Diffusion force these two upon their scheduler when they are built, but could not reach
    # through a Segment.
    forced = {"steps_offset": 1, "clip_sample": False}
    return {key: value for key, value in forced.items() if key in expected}


class Segment:
    """A scheduler, of whose schedule only the timesteps first..last are shown to a pipeline.

    `first` and `last` are indices into the whole schedule (`index_of` makes them from steps). `history` is what
    `history()` gave where the segment before ended; without it a multistep solver starts again at first order, and with
    `warm_up` PNDM also takes its first step twice, as it does at the head of a schedule. `unit_noise` says that the
    latents are unit noise, yet to be scaled. With `finish` the last timestep gives the estimate of the finished latents
    instead of one step. `report(step, steps)` is called after each step."""

    def __init__(
        self,
        scheduler: Any,
        steps: int,
        *,
        first: int = 0,
        last: int | None = None,
        history: Mapping[str, Any] | None = None,
        unit_noise: bool = True,
        warm_up: bool = False,
        finish: bool = False,
        report: Progress = _silent,
    ) -> None:
        self._inner, self._steps = scheduler, steps
        self._first, self._last, self._history = first, last, dict(history or {})
        self._unit_noise, self._warm_up, self._finish = unit_noise, warm_up, finish
        self._report = report
        self._index = first
        # The pipelines inspect the signatures of these two.
        self.set_timesteps = _alike(self._set_timesteps, scheduler.set_timesteps)
        self.step = _alike(self._step, scheduler.step)
        if hasattr(scheduler, "set_begin_index"):
            self.set_begin_index = self._set_begin_index

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    @property
    def timesteps(self) -> torch.Tensor:
        """The timesteps that the pipeline is to run."""
        whole: torch.Tensor = self._inner.timesteps
        if not (self._warm_up and self._first > 0 and hasattr(self._inner, "plms_timesteps")):
            return whole[self._first : self._last]
        # Timesteps 1 and 2 of PNDM are the same one: its doubled start. A start in the middle doubles the second
        # timestep likewise.
        rest = whole[max(self._first, 2) : self._last]
        return torch.cat([rest[:2], rest[1:]])

    @property
    def init_noise_sigma(self) -> Any:
        """The factor that the pipeline applies to the latents it is given."""
        if not self._unit_noise:
            return 1.0
        if self._first == 0:
            return self._inner.init_noise_sigma
        return math.sqrt(self._sigma(self._first) ** 2 + 1) if self.sigma_scaled else 1.0

    @property
    def sigma_scaled(self) -> bool:
        """Whether noisy latents have the variance sigma^2 + 1 instead of 1, as with Euler, Heun, LMS and their like."""
        return float(self._inner.init_noise_sigma) != 1.0

    def sigma(self) -> float | None:
        """Return the noise level where the segment ended; None unless the scheduler is sigma-scaled."""
        return self._sigma(self._inner.step_index) if self.sigma_scaled else None

    def noised(self, latents: torch.Tensor, noise: torch.Tensor) -> torch.Tensor:
        """Return finished latents with the noise of the segment's first timestep added (image-to-image)."""
        self.set_timesteps(self._steps, device=latents.device)
        noisy: torch.Tensor = self._inner.add_noise(latents, noise, self.timesteps[:1])
        return noisy

    def history(self) -> dict[str, Any]:
        """Return what the solver remembers of the steps so far, by attribute name."""
        now = _memory(self._inner)
        return {key: value for key, value in now.items() if key not in self._fresh or not _same(value, self._fresh[key])}

    def _set_timesteps(self, *args: Any, **kwargs: Any) -> None:
        self._inner.set_timesteps(*args, **kwargs)
        self._fresh = _memory(self._inner)
        if self._first > 0 and hasattr(self._inner, "set_begin_index"):
            self._inner.set_begin_index(self._first)
        vars(self._inner).update(_memory_of(self._history))

    def _set_begin_index(self, begin_index: int = 0) -> None:
        # SDXL and Flux set 0 themselves; in the middle of a schedule the index is already right.
        if self._first == 0 and not self._history:
            self._inner.set_begin_index(begin_index)

    def _step(self, model_output: torch.Tensor, timestep: Any, sample: torch.Tensor, **kwargs: Any) -> Any:
        if self._finish and self._index + 1 == self._last:
            self._advance()
            return (self._denoised(model_output, timestep, sample),)
        if hasattr(self._inner, "derivatives"):
            # LMS takes its order from the step, not from the derivatives it has, which is wrong after a start in the
            # middle.
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


def pack(name: str | None, steps: int, history: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    """Return a solver's history as named tensors on the CPU, with a record of the scheduler and steps it belongs to."""
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, Any] = {}
    lengths: dict[str, int] = {}
    for key, value in history.items():
        if isinstance(value, list):
            lengths[key] = len(value)
            tensors |= {f"{key}.{i}": item for i, item in enumerate(value) if item is not None}
        elif isinstance(value, torch.Tensor):
            tensors[key] = value
        elif value is not None:
            numbers[key] = value
    # numpy has no bfloat16, and float32 holds it exactly.
    half = [key for key, tensor in tensors.items() if tensor.dtype is torch.bfloat16]
    record = {"scheduler": name, "steps": steps, "numbers": numbers, "lengths": lengths, "bfloat16": half}
    stored = {key: tensor.float() if key in half else tensor for key, tensor in tensors.items()}
    line = torch.tensor(list(json.dumps(record).encode()), dtype=torch.uint8)
    return {_RECORD: line} | {PREFIX + key: tensor.detach().cpu().contiguous() for key, tensor in stored.items()}


def unpack(tensors: Mapping[str, torch.Tensor], name: str | None, steps: int, *, device: str) -> dict[str, Any] | None:
    """Return the history that `pack` stored among these tensors; None where there is none.

    Raises InputError where it belongs to another scheduler or number of steps, or is damaged.
    """
    if _RECORD not in tensors:
        return None
    record = _record(tensors[_RECORD])
    if (record["scheduler"], record["steps"]) != (name, steps):
        raise InputError(
            f"these half-done latents were made by {record['scheduler'] or 'the scheduler of the model'} in "
            f"{record['steps']} steps and cannot go on with {name or 'the scheduler of the model'} in {steps}; "
            "set scheduler and steps as they were"
        )
    try:
        return _history(tensors, record, device)
    except KeyError as missing:
        raise InputError(f"the scheduler history of these half-done latents lacks {missing}; use an undamaged copy") from missing


def _record(line: torch.Tensor) -> dict[str, Any]:
    try:
        record = json.loads(bytes(line.tolist()))
        return {key: record[key] for key in ("scheduler", "steps", "numbers", "lengths", "bfloat16")}
    except (ValueError, KeyError, TypeError) as error:
        raise InputError("the scheduler history of these half-done latents is not readable; use an undamaged copy") from error


def _history(tensors: Mapping[str, torch.Tensor], record: Mapping[str, Any], device: str) -> dict[str, Any]:
    def restored(key: str) -> torch.Tensor:
        tensor = tensors[PREFIX + key]
        # Single numbers stay on the CPU, where the schedulers keep their sigmas.
        tensor = tensor.to(device) if tensor.ndim else tensor
        return tensor.bfloat16() if key in record["bfloat16"] else tensor

    lists = {
        key: [restored(f"{key}.{i}") if f"{PREFIX}{key}.{i}" in tensors else None for i in range(length)]
        for key, length in record["lengths"].items()
    }
    names = {key.removeprefix(PREFIX) for key in tensors if key.startswith(PREFIX) and key != _RECORD}
    alone = {name: restored(name) for name in names if name.rpartition(".")[0] not in lists}
    return {**record["numbers"], **lists, **alone}


def _memory(scheduler: Any) -> dict[str, Any]:
    return _memory_of(vars(scheduler))


def _memory_of(attributes: Mapping[str, Any]) -> dict[str, Any]:
    # The solvers change their lists in place.
    return {key: list(value) if isinstance(value, list) else value for key, value in attributes.items()}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        return a.shape == b.shape and torch.allclose(a, b, rtol=0, atol=0, equal_nan=True)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return type(a) is type(b) and bool(a == b)
