"""What a worker on a GPU computes with: float32 is float32, but for fast pictures, and its memory does not fall to pieces."""

import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from daemon.compute import process
from daemon.compute.worker import Worker, _configure_torch
from daemon.models.compute_format import set_tf32
from daemon.settings.resources import resource

GROWING = "PYTORCH_CUDA_ALLOC_CONF"


def cut() -> tuple[bool, bool]:
    """Whether convolutions and products of float32 may be cut to TF32."""
    return torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    convolutions, products = cut()
    grad, deterministic = torch.is_grad_enabled(), torch.backends.cudnn.deterministic
    yield
    torch.backends.cudnn.allow_tf32, torch.backends.cuda.matmul.allow_tf32 = convolutions, products
    torch.backends.cudnn.deterministic = deterministic
    torch.set_grad_enabled(grad)


def test_a_worker_begins_with_float32_that_is_not_cut() -> None:
    set_tf32(True)
    _configure_torch(0)
    assert cut() == (False, False)


def test_float32_is_cut_for_fast_pictures_only(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[bool, bool]] = []

    def run(*_: Any) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        seen.append(cut())
        return {}, {}

    monkeypatch.setitem(sys.modules, "daemon.stages.looks", SimpleNamespace(run=run))
    worker = Worker(SimpleNamespace(send=lambda _: None, poll=lambda: False), budget_bytes=1 << 30)
    model = {"name": "m", "path": str(resource("models/demo")), "device": "cpu", "dtype": "float32"}
    for fast in (False, True, False):
        ((kind, *said),) = worker._answer("looks", [(1, {}, {"model": {**model, "fast": fast}})])
        assert kind == "done", said
    assert seen == [(False, False), (True, True), (False, False)]


def test_the_memory_of_a_worker_on_a_gpu_is_in_segments_that_grow_unless_somebody_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in (GROWING, process.ALSO_READ):
        monkeypatch.delenv(name, raising=False)
    assert process.environment()[GROWING] == "expandable_segments:True"
    monkeypatch.setenv(process.ALSO_READ, "backend:cudaMallocAsync")
    assert GROWING not in process.environment(), "torch would read that one only"
    monkeypatch.setenv(GROWING, "max_split_size_mb:512")
    assert process.environment()[GROWING] == "max_split_size_mb:512"
