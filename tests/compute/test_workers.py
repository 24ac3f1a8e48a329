"""Several workers and calls in one message: what waits behind what, and what a death costs."""

import errno
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from daemon.compute import process
from daemon.compute.calls import Call, Queue
from daemon.compute.local import LocalWorkers
from daemon.compute.process import KEPT_MEMORY
from daemon.errors import WorkerDied
from daemon.settings.resources import resource
from tests import tiny
from tests.compute.test_local import SECONDS, noise, settings
from tests.conftest import wait_until

FAST = {"prompt": "a cat", "seeds": [1], "width": 64, "height": 64, "model": {"name": "m", "device": ""}}


@pytest.fixture
def fast_worker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.compute.local.WORKER", "tests.real.fast_worker")


def call(number: int, key: str | None = None) -> Call:
    return Call(number, "diffuse", {}, {}, key=key, on_progress=None, on_estimate=None, cancel=lambda *_: None)


def numbers(batch: list[Call]) -> list[int]:
    return [call.number for call in batch]


def test_calls_of_one_key_are_taken_together_and_others_in_their_order() -> None:
    queue = Queue(together=3)
    for number, key in enumerate(["a", None, "a", "b", "a", "a"]):
        queue.add(call(number, key))
    assert [numbers(queue.take(whole_only=False)) for _ in range(5)] == [[0, 2, 4], [1], [3], [5], []]


def test_behind_a_running_batch_waits_a_whole_one() -> None:
    queue = Queue(together=2)
    queue.add(call(1, "a"))
    assert queue.take(whole_only=True) == []
    queue.add(call(2, "a"))
    assert numbers(queue.take(whole_only=True)) == [1, 2]


def test_calls_that_are_put_back_go_first_and_alone() -> None:
    queue = Queue(together=2)
    queue.add(call(3, "a"))
    queue.put_back([[call(1, "a"), call(2, "a")]])
    assert [numbers(queue.take(whole_only=False)) for _ in range(3)] == [[1], [2], [3]]


@pytest.mark.usefixtures("fast_worker")
def test_two_workers_share_the_calls_and_a_single_call_starts_but_one() -> None:
    local = LocalWorkers(workers=2)
    try:
        assert local.submit("text", {}, FAST).future.result(SECONDS)
        assert local.submit("text", {}, FAST).future.result(SECONDS)
        assert [worker["alive"] for worker in local.describe()["workers"]].count(True) == 1
        calls = [local.submit("text", {}, FAST) for _ in range(50)]
        assert all(call.future.result(SECONDS) for call in calls)
        assert [worker["alive"] for worker in local.describe()["workers"]] == [True, True]
    finally:
        local.close()


@pytest.mark.usefixtures("fast_worker")
def test_calls_of_one_key_each_get_their_own_answer() -> None:
    local = LocalWorkers(batch=4)
    try:
        calls = [local.submit("text", {}, {**FAST, "prompt": f"cat {number}"}, key="k") for number in range(9)]
        results = [call.future.result(SECONDS)[0]["latents"] for call in calls]
        alone = [local.submit("text", {}, {**FAST, "prompt": f"cat {n}"}).future.result(SECONDS)[0]["latents"] for n in range(9)]
        assert all((one == other).all() for one, other in zip(results, alone, strict=True))
    finally:
        local.close()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.stable_diffusion(tmp_path_factory.mktemp("models") / "tiny")


@pytest.mark.thorough
def test_a_call_that_only_lay_with_a_killed_worker_is_not_at_fault(folder: Path) -> None:
    local, sent = LocalWorkers(threads=1), threading.Event()
    try:
        first = local.submit("diffuse", noise(), settings(folder, steps=900), on_progress=lambda *_: sent.set())
        behind = [local.submit("text", {}, settings(folder)) for _ in range(3)]
        assert sent.wait(SECONDS)
        wait_until(lambda: len(local.queue) == 2, what="the next call lies with the worker")
        os.kill(local.describe()["pid"], signal.SIGKILL)
        with pytest.raises(WorkerDied):
            first.future.result(SECONDS)
        assert all(call.future.result(SECONDS) for call in behind)
    finally:
        local.close()


def test_a_batch_that_fails_is_run_one_by_one(folder: Path) -> None:
    local = LocalWorkers(threads=1, batch=2)
    try:
        good = {**noise(), "latents": noise()["latents"]}
        bad = {"latents": good["latents"]}  # without an embedding
        chosen = settings(folder)
        quick = {**chosen, "model": {**chosen["model"], "fast": True}}
        calls = [local.submit("diffuse", arrays, quick, key="k") for arrays in (good, bad, good)]
        outcomes = [call.future.exception(SECONDS) for call in calls]
        assert [type(outcome).__name__ for outcome in outcomes] == ["NoneType", "InputError", "NoneType"]
        numbers = calls[0].future.result()[1]["numbers"]
        assert numbers in ("bfloat16, channels last", "float32, channels last"), "alone, and in the numbers of this machine"
        assert local.describe()["numbers"] == numbers, "which the status says too"
    finally:
        local.close()


@pytest.mark.usefixtures("fast_worker")
def test_where_no_process_can_be_started_the_call_says_so_and_the_next_one_tries_again(monkeypatch: pytest.MonkeyPatch) -> None:
    local = LocalWorkers()
    spawn, refused = local.spawn, [OSError(errno.EAGAIN, "no process can be started")]
    monkeypatch.setattr(local, "spawn", lambda place: raise_(refused.pop()) if refused else spawn(place))
    try:
        with pytest.raises(OSError, match="no process"):
            local.submit("text", {}, FAST).future.result(SECONDS)
        assert local.submit("text", {}, FAST).future.result(SECONDS)
    finally:
        local.close()


def raise_(error: Exception) -> None:
    raise error


LAYERS = """
import ctypes, resource
c = ctypes.CDLL(None)
c.malloc.restype, c.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
c.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
for layer in range(20):
    if layer == 10:
        before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [c.malloc(20 << 20) for _ in range(4)]
    for block in blocks:
        c.memset(block, 1, 20 << 20)
    for block in reversed(blocks):
        c.free(block)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_what_a_layer_worked_in_is_there_for_the_next_one(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in KEPT_MEMORY:
        monkeypatch.delenv(name, raising=False)
    usual, ours = (
        int(subprocess.check_output([sys.executable, "-c", LAYERS], env=environment))
        for environment in (dict(os.environ), process.environment())
    )
    assert usual > 10 * (ours + 100)


LET_GO = """
from pathlib import Path
import sys
from daemon.models.registry import Models, ModelSpec
def own() -> int:
    return int(Path("/proc/self/status").read_text().split("RssAnon:")[1].split()[0]) * 1024
models = Models(1 << 30)
unet = models.component(ModelSpec("m", sys.argv[1], dtype="bfloat16"), "unet")  # so that it is not mapped from its file
loaded, weights = own(), sum(tensor.nbytes for tensor in unet.parameters())
del unet
models.clear()
print((loaded - own()) / weights)
"""


def test_what_a_model_lay_in_is_given_back_when_it_is_let_go() -> None:
    demo = resource("models/demo")
    given_back = subprocess.check_output([sys.executable, "-c", LET_GO, str(demo)], env=process.environment())
    assert float(given_back) > 0.8
