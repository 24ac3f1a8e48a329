"""What every test gets: no network, no hub, and a way to wait for a condition instead of sleeping."""

import os
import resource
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from daemon.compute.process import SAME_BITS

if TYPE_CHECKING:
    from daemon.models.registry import Models

os.environ["HF_HUB_OFFLINE"] = "1"
# Before torch is loaded: the tests compare with what they compute themselves. `python -m tests.processors` chooses other values.
for name, value in SAME_BITS.items():
    os.environ.setdefault(name, value)
THREADS = int(os.environ.get("TIFFSD_TEST_THREADS", "1"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that have slow tests, so that no process is left alone with one of them at the end."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True)
def _no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: socket.socket, address: Any, *_: Any) -> None:
        if self.family != socket.AF_UNIX:
            raise AssertionError(f"a test tried to reach {address}")
        return connect(self, address)

    connect = socket.socket.connect
    monkeypatch.setattr(socket.socket, "connect", refuse)


@pytest.fixture(scope="module")
def fixed_threads() -> Iterator[None]:
    """Sums in one order, that of the daemon of a test; one thread is the fastest for tiny models."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def models() -> "Models":
    """Room for the tiny models of one file of tests."""
    from daemon.models.registry import Models

    return Models(budget_bytes=1 << 30)


@pytest.fixture(scope="module")
def folders(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The tiny models that MAKERS of the file of tests makes, each in a folder of its own."""
    root = tmp_path_factory.mktemp("models")
    return {name: make(root / name) for name, make in request.module.MAKERS.items()}


# What takes a third of the time that a command may take to answer.
YARDSTICK = "import numpy"


def processor_seconds(command: Sequence[str], *, folder: Path | None = None) -> float:
    """Processor time of a command run to its end: what it costs, whatever else the machine is doing."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=folder, stdout=subprocess.DEVNULL, check=True, timeout=60)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def wait_until(condition: Callable[[], Any], *, seconds: float = 60.0, what: str = "the condition") -> Any:
    """Return the first true answer of `condition`; fail with `what` in words after `seconds`."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        answer = condition()
        if answer:
            return answer
        time.sleep(0.02)
    raise AssertionError(f"{what} did not come true in {seconds} s")
