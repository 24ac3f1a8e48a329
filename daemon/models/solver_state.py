"""The state of a solver after the steps so far, and how it travels in a file with half-done latents.

The state is what differs in `vars(scheduler)` from right after `set_timesteps`: a few numbers, and up to five tensors of the size
of the latents. `pack` makes named tensors of it ("scheduler.*"), `unpack` reads them."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import torch

from daemon.errors import InputError

PREFIX = "scheduler."
_RECORD = PREFIX + "record"


@dataclass(frozen=True)
class SolverRecord:
    """Whose state it is: of this scheduler (None: the model's own) over this schedule (None: its own) in so many steps with this
    model; and how to put it together.

    `names` are those of all tensors, `bfloat16` of those that were of that type; `lengths` says which attributes are lists."""

    scheduler: str | None
    steps: int
    numbers: Mapping[str, Any]
    lengths: Mapping[str, int]
    bfloat16: tuple[str, ...]
    model: str | None = None
    names: tuple[str, ...] = ()
    schedule: str | None = None


def copied(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a copy of the attributes of a scheduler that its next steps do not change."""
    return {key: list(value) if isinstance(value, list) else value for key, value in attributes.items()}


def changed(now: Mapping[str, Any], fresh: Mapping[str, Any]) -> dict[str, Any]:
    """Return what of a state is new or differs from a fresh one."""
    return {key: value for key, value in now.items() if key not in fresh or not _same(value, fresh[key])}


def pack(
    state: Mapping[str, Any], *, scheduler: str | None, steps: int, model: str, schedule: str | None = None
) -> dict[str, torch.Tensor]:
    """Return a solver's state as named tensors on the CPU, with a record of the scheduler, schedule, steps and model of it."""
    tensors: dict[str, torch.Tensor] = {}
    numbers: dict[str, Any] = {}
    lengths: dict[str, int] = {}
    for key, value in state.items():
        if isinstance(value, list) and all(item is None or isinstance(item, torch.Tensor) for item in value):
            lengths[key] = len(value)
            tensors |= {f"{key}.{i}": item for i, item in enumerate(value) if item is not None}
        elif isinstance(value, torch.Tensor):
            tensors[key] = value
        elif value is not None:
            numbers[key] = value
    # numpy has no bfloat16, and float32 holds it exactly.
    half = tuple(key for key, tensor in tensors.items() if tensor.dtype is torch.bfloat16)
    line = json.dumps(asdict(SolverRecord(scheduler, steps, numbers, lengths, half, model, tuple(tensors), schedule)))
    stored = {key: tensor.float() if key in half else tensor for key, tensor in tensors.items()}
    written = {_RECORD: torch.tensor(list(line.encode()), dtype=torch.uint8)}
    return written | {PREFIX + key: tensor.detach().cpu().contiguous() for key, tensor in stored.items()}


def recorded(tensors: Mapping[str, torch.Tensor]) -> SolverRecord | None:
    """Return the record that `pack` stored among these tensors; None where there is none. Raises InputError where it is damaged."""
    if _RECORD not in tensors:
        return None
    try:
        return SolverRecord(**json.loads(bytes(tensors[_RECORD].tolist())))
    except (ValueError, TypeError) as error:
        raise InputError("the scheduler history of these half-done latents is not readable; use an undamaged copy") from error


def unpack(tensors: Mapping[str, torch.Tensor], record: SolverRecord, *, device: str) -> dict[str, Any]:
    """Return the state that `pack` stored among these tensors. Raises InputError where parts of it are missing."""
    missing = [name for name in record.names if PREFIX + name not in tensors]
    if missing:
        raise InputError(f"the scheduler history of these half-done latents lacks {', '.join(missing)}; use an undamaged copy")

    def restored(key: str) -> torch.Tensor:
        tensor = tensors[PREFIX + key]
        # Single numbers stay on the CPU, where the schedulers keep their sigmas.
        tensor = tensor.to(device) if tensor.ndim else tensor
        return tensor.bfloat16() if key in record.bfloat16 else tensor

    lists = {
        key: [restored(f"{key}.{i}") if f"{PREFIX}{key}.{i}" in tensors else None for i in range(length)]
        for key, length in record.lengths.items()
    }
    names = {key.removeprefix(PREFIX) for key in tensors if key.startswith(PREFIX) and key != _RECORD}
    alone = {name: restored(name) for name in names if name.rpartition(".")[0] not in lists}
    return {**record.numbers, **lists, **alone}


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, list) and isinstance(b, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, torch.Tensor) and isinstance(b, torch.Tensor):
        # To add noise diffusers takes its table of the schedule to the device of the latents, and leaves it there.
        return a.shape == b.shape and torch.allclose(a, b.to(a.device), rtol=0, atol=0, equal_nan=True)
    if isinstance(a, np.ndarray) and isinstance(b, np.ndarray):
        return np.array_equal(a, b)
    return type(a) is type(b) and bool(a == b)
