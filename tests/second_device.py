"""A second device that is not there: tensors "on cuda:0" that compute on the CPU, and refuse what CUDA's refuse.

They do not mix with tensors of the CPU, but for single numbers in what works value by value, and for indices of theirs that lie on
the CPU; numpy does not read them; random numbers for them need a generator of theirs. What they compute is what the CPU computes.
The code of the program sees a machine with one GPU, on which copies and computations run one after the other.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_map_only, tree_unflatten

CUDA, CPU = torch.device("cuda", 0), torch.device("cpu")
FREE_BYTES = 8 << 30

LATE: list[tuple[torch.Tensor, torch.Tensor]] = []

aten = torch.ops.aten
COPIES = {aten._to_copy.default, aten.copy_.default}
# They take indices from the CPU, and the last a single number from there too.
INDEXED = {aten.index.Tensor, aten.index_put_.default, aten.index_put.default, aten._index_put_impl_.default}
TAKES_NUMBERS = {*INDEXED, aten.fill_.Tensor, aten.masked_fill.Tensor, aten.masked_fill_.Tensor}


class Tensor(torch.Tensor):
    """A tensor on the second device, around the one on the CPU that has its values.

    Within torch it is on "meta", because before some operations torch would make a CUDA device the current one.
    """

    held: torch.Tensor
    device = property(lambda _: CUDA)
    __torch_function__ = torch._C._disabled_torch_function_impl

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> "Tensor":
        layout = {"strides": held.stride(), "storage_offset": held.storage_offset(), "dtype": held.dtype, "layout": held.layout}
        made: Tensor = torch.Tensor._make_wrapper_subclass(cls, held.size(), device="meta", **layout)
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del cls, types
        return computed(func, args, kwargs or {})

    def __getitem__(self, index: Any) -> Any:
        return super().__getitem__(_without_lists(index))

    def __setitem__(self, index: Any, value: Any) -> None:
        number = not isinstance(value, torch.Tensor)
        super().__setitem__(_without_lists(index), Tensor(torch.tensor(value, dtype=self.dtype)) if number else value)

    def tolist(self) -> Any:
        return self.held.tolist()

    def __repr__(self) -> str:  # type: ignore[override]
        return f"second_device.Tensor({self.held!r})"


def _without_lists(index: Any) -> Any:
    """An index of which torch makes no tensor, which would be one on "meta" and lose its values."""
    if isinstance(index, tuple):
        return tuple(map(_without_lists, index))
    return torch.as_tensor(index) if isinstance(index, list | np.ndarray) else index


class _Everything(TorchDispatchMode):
    """What makes tensors on the device has none among its arguments, so that all operations must be looked at."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        return computed(func, args, kwargs or {})


class _Seen(TorchFunctionMode):
    """What torch decides by the device of a tensor before it comes to operations, where that is "meta"."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        if func is F.scaled_dot_product_attention:
            return computed(func, args, kwargs or {})
        if func in (torch.Tensor.to, torch.Tensor.type_as) and len(args) > 1 and isinstance(args[1], Tensor):
            func, args = torch.Tensor.to, (args[0], CUDA, args[1].dtype, *args[2:])
        if func is torch.where:
            args = tuple(torch.tensor(one) if isinstance(one, int | float) else one for one in args)
        return func(*args, **(kwargs or {}))


class Stream:
    """A queue of the device, and an event in it. Copies to the CPU that nobody waits for are made when somebody does."""

    def __init__(self, device: Any = None) -> None:
        del device

    def wait_stream(self, other: Any) -> None: ...

    def wait_event(self, event: Any) -> None: ...

    def record_event(self) -> "Stream":
        return self

    def synchronize(self) -> None:
        for target, values in LATE:
            target.copy_(values)
        LATE.clear()


def computed(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Do one operation of torch, on the device that the arguments are on or that they name. Raises RuntimeError as CUDA does."""
    kwargs = {key: value for key, value in kwargs.items() if key != "pin_memory"}
    flat, form = tree_flatten((args, kwargs))
    ours = [value for value in flat if isinstance(value, Tensor)]
    said: torch.device | None = kwargs.get("device")
    there = bool(ours) if said is None or (ours and said.type == "meta") else said.type == CUDA.type
    if not ours and not there:
        return args[0].clone() if func is aten._pin_memory.default else func(*args, **kwargs)
    if func not in COPIES:
        _check(func, flat, args)
    outer = {id(value.held): value for value in ours}
    args, kwargs = tree_unflatten([value.held if isinstance(value, Tensor) else value for value in flat], form)
    if said is not None:
        kwargs["device"] = CPU
    if func is aten.copy_.default and id(args[0]) not in outer and len(args) > 2 and args[2]:
        LATE.append((args[0], args[1].clone()))
        return args[0].fill_(float("nan"))
    # A single number that comes or goes is no tensor; and copy_ to the CPU gives what is there.
    made = _computed_here(func, args, kwargs)
    if not there or (func is aten.copy_.default and id(args[0]) not in outer):
        return made
    _check_shapes(func, ours)
    return tree_map_only(torch.Tensor, lambda value: outer[id(value)] if id(value) in outer else Tensor(value), made)


def _computed_here(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    made = func(*args, **kwargs)
    # The CPU gives what is on it already itself, where another device gives a copy.
    return made.clone() if func is aten._to_copy.default and made is args[0] else made


def _check(func: Any, flat: list[Any], args: Any) -> None:
    """Raise RuntimeError for tensors of the CPU where CUDA takes none, and for its generator."""
    if any(isinstance(value, torch.Generator) and value.device.type == "cpu" for value in flat):
        raise RuntimeError(f"Expected a 'cuda' device type for generator but found 'cpu' (in {func})")
    others = [value for value in flat if isinstance(value, torch.Tensor) and not isinstance(value, Tensor)]
    assert not any(value.is_meta for value in others), f"{func} was given a tensor without values"
    numbers = torch.Tag.pointwise in getattr(func, "tags", ()) or func in TAKES_NUMBERS
    indices = set(map(id, args[1])) if func in INDEXED and isinstance(args[0], Tensor) else set()
    if any(id(value) not in indices and not (numbers and value.ndim == 0) for value in others):
        raise RuntimeError(
            f"Expected all tensors to be on the same device, but found at least two devices, {CUDA} and cpu! (in {func})"
        )


def _check_shapes(func: Any, ours: list[Tensor]) -> None:
    if any(value.shape != value.held.shape for value in ours):
        raise NotImplementedError(f"{func} changes the shape of a tensor in its place, which this device cannot follow")


@contextmanager
def second_device() -> Iterator[None]:
    """Let torch find one GPU while this is entered; what it does on the CPU takes longer meanwhile."""
    pretended = {
        "_lazy_init": lambda: None,
        "device_count": lambda: 1,
        "current_device": lambda: 0,
        "mem_get_info": lambda _device=None: (FREE_BYTES, FREE_BYTES),
        "Stream": Stream,
        "current_stream": Stream,
        "stream": _in_turn,
    }
    with pytest.MonkeyPatch.context() as patched, _Everything(), _Seen():
        for name, value in pretended.items():
            patched.setattr(torch.cuda, name, value)
        # Otherwise a module puts the bare data of the other device into the parameter that it has.
        torch.__future__.set_overwrite_module_params_on_conversion(True)
        # torch.tensor is to make its tensors on the CPU, and bring them over where that can be seen.
        torch._C._set_only_lift_cpu_tensors(True)
        try:
            yield
        finally:
            torch._C._set_only_lift_cpu_tensors(False)
            torch.__future__.set_overwrite_module_params_on_conversion(False)


@contextmanager
def _in_turn(_: Any) -> Iterator[None]:
    yield
