"""The worker process for real: spawned, killed in mid job, cancelled, ended when idle, ended with its parent."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daemon.compute.local import LocalWorkers, StageError
from daemon.compute.worker import TELL_SECONDS
from daemon.errors import Cancelled, InputError, ModelMissing, Stopped, WorkerDied
from daemon.models.processor import computed_on
from daemon.models.registry import Models
from daemon.stages import APPLY, text
from daemon.stages.loop import BLOCKS, PAINTED, SHOWN
from tests import tiny
from tests.house import REPOSITORY

SECONDS = 100


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.stable_diffusion(tmp_path_factory.mktemp("models") / "tiny")


@pytest.fixture(scope="module")
def shared() -> Iterator[LocalWorkers]:
    local = LocalWorkers(threads=1, idle_seconds=30)
    yield local
    local.close()


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    model = {"name": "tiny", "path": str(folder), "dtype": "float32", "vae": None, "network": False}
    prompt = {"prompt": "a red cat", "negative_prompt": "", "seeds": [1], "seed": 1, "width": 64, "height": 64}
    loop = {"steps": 2, "guidance_scale": 1.0, "scheduler": "ddim", "state": "noise"}
    return {**prompt, **loop, "model": model, **more}


def noise() -> dict[str, np.ndarray]:
    return {"latents": np.zeros((4, 8, 8), np.float32), "prompt_embeds": np.zeros((77, 16), np.float32)}


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + SECONDS
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except FileNotFoundError:
        return True


def test_who_waits_for_work_costs_nothing(shared: LocalWorkers, folder: Path) -> None:
    shared.submit("diffuse", noise(), settings(folder)).future.result(timeout=SECONDS)
    used, until_then = time.process_time(), time.monotonic() + 1
    until(lambda: time.monotonic() > until_then)  # which looks a hundred times
    assert time.process_time() - used < 0.1


def test_who_asks_for_estimates_of_the_picture_gets_them_on_the_way(shared: LocalWorkers, folder: Path) -> None:
    estimates: list[np.ndarray] = []
    chosen = settings(folder, steps=3, preview_every=1)
    call = shared.submit("diffuse", noise(), chosen, on_estimate=estimates.append)
    arrays, _ = call.future.result(timeout=SECONDS)
    assert [estimate.shape for estimate in estimates] == [arrays["latents"].shape] * 2
    assert not np.array_equal(estimates[0], estimates[1])


def test_a_call_gives_what_the_stage_gives(shared: LocalWorkers, folder: Path) -> None:
    chosen = settings(folder)
    arrays, facts = shared.submit("text", {}, chosen).future.result(SECONDS)
    in_process = {**chosen, "model": {**chosen["model"], "device": "cpu"}}
    tensors, expected = text.run(Models(1 << 30), {}, in_process, lambda *_: None)
    assert facts["software"] == {**computed_on("cpu"), "threads": "1"}
    took = facts["seconds"], facts["loading_seconds"]
    assert took[0] > took[1] > 0
    assert {name: fact for name, fact in facts.items() if name not in ("software", "seconds", "loading_seconds")} == expected
    assert arrays.keys() == tensors.keys()
    assert all(np.array_equal(arrays[name], tensors[name].numpy()) for name in arrays)


def test_what_is_painted_is_put_in_by_a_call_that_is_no_stage(shared: LocalWorkers, folder: Path) -> None:
    chosen = settings(folder, state="final", step=2, room={"memory_bytes": 10**9, "scratch": "."})
    latents, blocks = np.zeros((4, 8, 8), np.float32), np.eye(8, dtype=bool)
    shown = shared.submit("decode", {"latents": latents}, chosen).future.result(SECONDS)[0]["picture"].clip(0, 1)
    painted = np.where(blocks.repeat(8, 0).repeat(8, 1)[..., None], np.float32(1), shown)
    given = {"latents": latents, SHOWN: shown, PAINTED: painted, BLOCKS: blocks}
    arrays, facts = shared.submit(APPLY, given, chosen).future.result(SECONDS)
    assert arrays.keys() == {"latents"}
    assert ((arrays["latents"] != 0).any(axis=0) == blocks).all()
    assert (facts["state"], facts["step"], facts["painted_blocks"]) == ("final", 2, 8)


def test_progress_comes_with_the_first_step_the_last_and_few_of_many_short_ones(shared: LocalWorkers, folder: Path) -> None:
    seen: list[tuple[int, int]] = []
    times: list[float] = []
    call = shared.submit(
        "diffuse", noise(), settings(folder, steps=200), on_progress=lambda *at: (seen.append(at), times.append(time.monotonic()))
    )
    arrays, facts = call.future.result(SECONDS)
    assert (seen[0], seen[-1]) == ((1, 200), (200, 200))
    assert seen == sorted(set(seen))
    assert len(seen) <= 3 + (times[-1] - times[0]) / TELL_SECONDS
    assert (facts["state"], arrays["latents"].shape) == ("final", (4, 8, 8))


def test_the_result_does_not_depend_on_the_process(shared: LocalWorkers, folder: Path) -> None:
    chosen = settings(folder)
    once = shared.submit("diffuse", noise(), chosen).future.result(SECONDS)[0]["latents"]
    again = shared.submit("diffuse", noise(), chosen).future.result(SECONDS)[0]["latents"]
    assert np.array_equal(once, again)
    assert torch.isfinite(torch.from_numpy(once)).all()


def test_errors_arrive_as_what_they_are(shared: LocalWorkers, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="multiples of 8"):
        shared.submit("text", {}, settings(folder, width=65)).future.result(SECONDS)
    with pytest.raises(ModelMissing, match="no such folder"):
        shared.submit("text", {}, settings(tmp_path / "nothing")).future.result(SECONDS)
    with pytest.raises(StageError, match="KeyError: 'latents'") as caught:
        shared.submit("decode", {}, settings(folder)).future.result(SECONDS)
    assert "Traceback" in caught.value.__notes__[0]
    assert shared.submit("text", {}, settings(folder)).future.result(SECONDS)


def test_describe_says_what_the_worker_does(shared: LocalWorkers, folder: Path) -> None:
    shared.submit("text", {}, settings(folder)).future.result(SECONDS)
    until(lambda: not shared.describe()["busy"])
    assert shared.describe() | {"pid": 0, "since": 0} == {
        "device": "cpu",
        "pid": 0,
        "alive": True,
        "busy": False,
        "stage": None,
        "since": 0,
        "queued": 0,
    }


def test_cancel_is_honoured_at_the_next_step(shared: LocalWorkers, folder: Path) -> None:
    seen: list[int] = []
    reason = Cancelled("its file in running/ was deleted")

    def cancel(step: int, _: int) -> None:
        seen.append(step)
        call.cancel(reason)

    ready = threading.Event()
    call = shared.submit(
        "diffuse", noise(), settings(folder, steps=900), on_progress=lambda *at: ready.wait(SECONDS) and cancel(*at)
    )
    ready.set()
    with pytest.raises(Cancelled, match="was deleted"):
        call.future.result(SECONDS)
    assert seen[-1] < 900
    assert shared.describe()["alive"]


def test_a_waiting_call_is_cancelled_at_once(shared: LocalWorkers, folder: Path) -> None:
    gate = threading.Event()
    first = shared.submit("diffuse", noise(), settings(folder), on_progress=lambda *_: gate.wait(SECONDS) and None)
    second = shared.submit("text", {}, settings(folder))
    second.cancel(Stopped("stopping"))
    assert isinstance(second.future.exception(0), Stopped)
    gate.set()
    assert first.future.result(SECONDS)
    first.cancel(Stopped("too late"))
    assert first.future.exception(0) is None


def test_a_killed_worker_fails_its_call_and_the_next_has_a_fresh_one(shared: LocalWorkers, folder: Path) -> None:
    pids: list[int] = []

    def kill(_step: int, _steps: int) -> None:
        pids.append(shared.describe()["pid"])
        if len(pids) == 1:
            os.kill(pids[0], signal.SIGKILL)

    call = shared.submit("diffuse", noise(), settings(folder, steps=900), on_progress=kill)
    behind = shared.submit("text", {}, settings(folder))
    with pytest.raises(WorkerDied, match="killed by signal 9 in the middle of the job"):
        call.future.result(SECONDS)
    assert behind.future.result(SECONDS)
    assert shared.describe()["pid"] not in (None, pids[0])


def test_a_failing_progress_callback_fails_its_call_only(shared: LocalWorkers, folder: Path) -> None:
    def broken(_step: int, _steps: int) -> None:
        raise ZeroDivisionError("in the callback")

    call = shared.submit("diffuse", noise(), settings(folder), on_progress=broken)
    with pytest.raises(ZeroDivisionError):
        call.future.result(SECONDS)
    assert not shared.describe()["busy"]


def test_a_worker_that_died_while_idle_is_replaced(shared: LocalWorkers, folder: Path) -> None:
    shared.submit("text", {}, settings(folder)).future.result(SECONDS)
    pid = shared.describe()["pid"]
    os.kill(pid, signal.SIGKILL)
    until(lambda: not shared.describe()["alive"])
    assert shared.submit("text", {}, settings(folder)).future.result(SECONDS)


def test_the_worker_leaves_it_to_its_parent_to_stop(shared: LocalWorkers, folder: Path) -> None:
    shared.submit("text", {}, settings(folder)).future.result(SECONDS)
    pid = shared.describe()["pid"]
    os.kill(pid, signal.SIGTERM)
    os.kill(pid, signal.SIGINT)
    assert shared.submit("text", {}, settings(folder)).future.result(SECONDS)
    assert shared.describe()["pid"] == pid


def test_an_idle_worker_is_ended_after_the_idle_time(shared: LocalWorkers, folder: Path) -> None:
    shared.submit("text", {}, settings(folder)).future.result(SECONDS)
    pid = shared.describe()["pid"]
    until(lambda: not shared.describe()["queued"] + shared.describe()["busy"])
    for now in (100.0, 110.0, 129.9):
        shared.tick(now)
    assert shared.describe()["pid"] == pid
    shared.tick(130.0)
    until(lambda: gone(pid))
    assert not shared.describe()["alive"]


def test_without_calls_nothing_is_started() -> None:
    local = LocalWorkers(idle_seconds=0)
    local.tick(0.0)
    local.tick(1.0)
    assert not local.describe()["alive"]
    local.close()
    with pytest.raises(Stopped):
        local.submit("text", {}, settings(Path("tiny")))


def test_close_stops_a_running_call_and_ends_the_worker(folder: Path) -> None:
    local = LocalWorkers(threads=1)
    running = threading.Event()
    call = local.submit("diffuse", noise(), settings(folder, steps=900), on_progress=lambda *_: running.set())
    behind = local.submit("text", {}, settings(folder))
    assert running.wait(SECONDS)
    pid = local.describe()["pid"]
    local.close()
    local.close()
    assert isinstance(call.future.exception(0), Stopped)
    assert isinstance(behind.future.exception(0), Stopped)
    assert gone(pid)


PARENT = """
import json, sys
import numpy as np
from daemon.compute.local import LocalWorkers
arrays = {"latents": np.zeros((4, 8, 8), np.float32), "prompt_embeds": np.zeros((77, 16), np.float32)}
local = LocalWorkers(threads=1)
def say(step, steps):
    if step == 1:
        print(local.describe()["pid"], flush=True)
local.submit("diffuse", arrays, json.loads(sys.argv[1]), on_progress=say).future.result()
"""


def test_the_worker_ends_with_its_parent(folder: Path) -> None:
    root, chosen = REPOSITORY, json.dumps(settings(folder, steps=900))
    with subprocess.Popen([sys.executable, "-c", PARENT, chosen], cwd=root, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        assert not gone(pid)
        parent.kill()
    until(lambda: gone(pid))
