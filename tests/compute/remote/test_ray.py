"""Workers on a real Ray cluster: the same bits, and what is lost with an actor, a node or the head. `make test-ray` runs this."""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

import tiffsd
from daemon.compute.local import LocalWorkers
from daemon.compute.placement import placed
from daemon.compute.protocol import EngineOptions
from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.identity import portable
from daemon.compute.remote.on_ray import WorkersOnRay
from daemon.compute.remote.patience import Patience
from daemon.errors import Cancelled, ClusterLost, WorkerDied
from tests.compute.remote.boxes import children_of, is_gone, settings, until_state, worker
from tests.compute.remote.clusters import TOKEN, RayCluster, parent_of, processes
from tests.conftest import wait_until
from tests.real.fast_worker import noise_of
from tests.running_daemon import RunningDaemon

pytest.importorskip("ray")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
SECONDS = 300
QUICK = Patience(greet=120, heartbeat=1, silence=20, far_silence=60, first_wait=0.2, longest_wait=1, rare_wait=1, lost=20)
MOST_MORE_MEGABYTES = 10  # importing Ray costs four times as many
Start = Callable[..., WorkersOnRay]


@pytest.fixture(scope="module")
def running() -> Iterator[RayCluster]:
    cluster = RayCluster()
    try:
        cluster.start()
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("RAY_AUTH_MODE", "token")
            patch.setenv("RAY_AUTH_TOKEN", TOKEN)
            yield cluster
    finally:
        cluster.close()


@pytest.fixture
def cluster(running: RayCluster) -> RayCluster:
    """The cluster, whose far ends do what their prompts say."""
    running.let("acting", be=True)
    running.let("other_versions", be=False)
    return running


@pytest.fixture
def start(cluster: RayCluster, tmp_path: Path) -> Iterator[Start]:
    engines: list[WorkersOnRay] = []
    travels = partial(portable, fingerprints=Fingerprints(tmp_path / "front.json"))

    def begin(workers: int = 1, *, patience: Patience = QUICK, **options: Any) -> WorkersOnRay:
        said = {"threads": 1, "ray_address": cluster.address, "ray_config": str(cluster.node), **options}
        chosen = placed(EngineOptions(engine="ray", workers=workers, **said))
        engines.append(WorkersOnRay(chosen, portable=travels, patience=patience))
        return engines[-1]

    yield begin
    for engine in engines:
        engine.close()
    wait_until(lambda: not cluster.far_ends(), seconds=100, what="actors end with their daemon")


def submit(engine: LocalWorkers, *prompts: str, **more: Any) -> list[Any]:
    return [engine.submit("text", {}, settings(prompt), **more) for prompt in prompts]


def is_made(calls: Sequence[Any], *prompts: str) -> bool:
    made = [call.future.result(SECONDS)[0]["latents"] for call in calls]
    return all(np.array_equal(found, noise_of(prompt)) for found, prompt in zip(made, prompts, strict=True))


def gate(folder: Path, name: str) -> tuple[str, Path]:
    """A prompt of a call that goes on when the file is there."""
    return f"{name} until {folder / name}", folder / name


def begun(engine: WorkersOnRay, prompt: str) -> Any:
    """A call that has begun to compute."""
    event = threading.Event()
    call = engine.submit("text", {}, settings(prompt), on_begin=event.set)
    assert event.wait(SECONDS)
    return call


def test_six_calls_are_equal_to_those_of_this_machine_to_the_bit(cluster: RayCluster, start: Start) -> None:
    cluster.let("acting", be=False)
    prompts = [f"a red cat, {number}" for number in range(6)]
    # A worker there would see two threads by what Ray sets for two cores, and is told that it is one.
    there = [call.future.result(SECONDS)[0] for call in submit(start(2), *prompts)]
    engine = LocalWorkers(threads=1)
    try:
        here = [call.future.result(SECONDS)[0] for call in submit(engine, *prompts)]
    finally:
        engine.close()
    for one, other in zip(here, there, strict=True):
        assert one.keys() == other.keys()
        assert all(np.array_equal(one[name], other[name]) for name in one)


def test_the_daemon_makes_the_same_picture_and_its_front_stays_small_and_without_ray(cluster: RayCluster, tmp_path: Path) -> None:
    cluster.let("acting", be=False)
    on_ray = {"engine": "ray", "workers": 1, "ray_address": cluster.address, "ray_config": str(cluster.node)}
    made, megabytes = [], []
    for name, compute in (("here", {}), ("there", on_ray)):
        (tmp_path / name).mkdir()
        daemon = RunningDaemon(tmp_path / name, compute={"threads": 1, **compute})
        try:
            pid = daemon.start()
            daemon.drop("inbox/1-text", "cat.txt", "---\nseed: 1\nsteps: 4\n---\na red cat\n")
            picture, latents = (daemon.found(f"pictures/cat.*.{kind}", seconds=SECONDS)[0] for kind in ("png", "tif*"))
            made.append((np.asarray(Image.open(picture)), tiffsd.read(latents).tensors["picture"]))
            megabytes.append(int(Path(f"/proc/{pid}/status").read_text().split("VmRSS:")[1].split()[0]) / 1024)
            if compute:
                assert gateways_of(pid)
                assert "_raylet" not in Path(f"/proc/{pid}/maps").read_text()
            assert daemon.stop() == 0
        finally:
            daemon.close()
    assert all(np.array_equal(one, other) for one, other in zip(*made, strict=True))
    assert megabytes[1] < megabytes[0] + MOST_MORE_MEGABYTES


def gateways_of(pid: int) -> list[int]:
    return [one for one in processes("daemon.compute.remote.ray_gateway") if parent_of(one) == pid]


def test_progress_estimates_and_batches_come_from_there(start: Start, tmp_path: Path) -> None:
    engine = start(batch=2)
    steps: list[tuple[int, int]] = []
    estimates: list[np.ndarray] = []
    large = np.arange(3_000_000, dtype=np.float32)
    call = engine.submit(
        "text",
        {"more": large},
        settings("steps"),
        on_progress=lambda *at: steps.append(at),
        on_estimate=estimates.append,
    )
    assert np.array_equal(call.future.result(SECONDS)[0]["more"], large), "which is more than one piece"
    assert steps == [(1, 3), (2, 3), (3, 3)]
    assert [np.array_equal(one, noise_of("steps") * np.float32(n)) for n, one in enumerate(estimates, 1)] == [True] * 3
    kept, file = gate(tmp_path, "kept")
    first = begun(engine, kept)
    both = submit(engine, "cat", "dog", key="k")
    file.touch()
    assert is_made([first, *both], kept, "cat", "dog")
    assert [call.future.result()[1]["numbers"] for call in both] == ["2 together"] * 2


def test_a_call_that_is_cancelled_ends_and_the_actor_goes_on(cluster: RayCluster, start: Start, tmp_path: Path) -> None:
    engine = start()
    call = begun(engine, gate(tmp_path, "kept")[0])
    behind = submit(engine, "cat")
    far_ends = cluster.far_ends()
    call.cancel(Cancelled("its file was deleted"))
    with pytest.raises(Cancelled, match="was deleted"):
        call.future.result(SECONDS)
    assert is_made(behind, "cat")
    assert cluster.far_ends() == far_ends


def test_a_worker_that_dies_in_an_actor_is_counted_once(start: Start) -> None:
    engine = start()
    bad, *behind = submit(engine, "dies", "cat")
    with pytest.raises(WorkerDied, match="on ray-1: the worker process was killed by signal 9 in the middle of the job"):
        bad.future.result(SECONDS)
    assert is_made(behind, "cat")


def test_an_actor_that_is_killed_costs_one_attempt_of_its_job_and_nothing_else(
    cluster: RayCluster, start: Start, tmp_path: Path
) -> None:
    engine = start(2)
    gates = [gate(tmp_path, name) for name in ("one", "two")]
    calls = [begun(engine, prompt) for prompt, _ in gates]
    far_end = cluster.far_ends()[0]
    workers = children_of(far_end)
    os.kill(parent_of(far_end), signal.SIGKILL)
    wait_until(lambda: any(call.future.done() for call in calls), seconds=SECONDS, what="one of them has ended")
    (bad,) = [call for call in calls if call.future.done()]
    with pytest.raises(WorkerDied, match=r"on ray-[12]: the process of the actor on .* ended in the middle of the job"):
        bad.future.result()
    wait_until(lambda: all(map(is_gone, [far_end, *workers])), seconds=100, what="nothing of it is left")
    for _, file in gates:
        file.touch()
    (other,) = [(call, prompt) for call, (prompt, _) in zip(calls, gates, strict=True) if call is not bad]
    assert is_made([other[0], *submit(engine, "cat", "dog")], other[1], "cat", "dog")


def test_a_node_that_is_lost_costs_its_job_nothing(cluster: RayCluster, start: Start, tmp_path: Path) -> None:
    cluster.add_node(cpus=3)
    engine = start(threads=3)  # for which only that node has room
    kept, file = gate(tmp_path, "kept")
    call = begun(engine, kept)
    (far_end,) = cluster.far_ends()
    raylet = parent_of(parent_of(far_end))
    os.kill(raylet, signal.SIGKILL)
    assert until_state(engine, "away", "ray-1")["reason"]
    wait_until(lambda: is_gone(far_end), seconds=100, what="nothing of it is left")
    cluster.add_node(cpus=3)
    file.touch()
    assert is_made([call], kept)


def test_work_goes_on_by_itself_when_a_cluster_that_was_lost_is_back(cluster: RayCluster, start: Start, tmp_path: Path) -> None:
    engine = start()
    kept, file = gate(tmp_path, "kept")
    call = begun(engine, kept)
    cluster.kill()
    try:
        away = until_state(engine, "away", "ray-1")
        assert away["lost_since"] <= time.time()
        assert away["reason"]
        engine.tick(0.0)
        wait_until(lambda: lost(engine, call), seconds=SECONDS, what="what waits is given back")
        with pytest.raises(ClusterLost, match="no machine that computes is reached: ray-1 since 20"):
            call.future.result()
    finally:
        cluster.start()
    file.touch()
    assert is_made(submit(engine, kept, "cat"), kept, "cat")
    assert (worker(engine, "ray-1")["state"], worker(engine, "ray-1")["reason"]) == ("ready", None)


def lost(engine: WorkersOnRay, call: Any) -> bool:
    engine.tick(1000.0)
    return bool(call.future.done())


def test_an_actor_for_which_there_is_no_room_is_asked_for_anew(start: Start, tmp_path: Path) -> None:
    other = start(2)
    gates = [gate(tmp_path, name) for name in ("one", "two")]
    held = [begun(other, prompt) for prompt, _ in gates]
    engine = start(patience=Patience(greet=12, first_wait=0.2, longest_wait=1, rare_wait=1))
    call = submit(engine, "cat")[0]
    wait_until(lambda: "no room for an actor with 1 CPUs" in (worker(engine, "ray-1")["reason"] or ""), seconds=SECONDS)
    for _, file in gates:
        file.touch()
    assert is_made(held, *[prompt for prompt, _ in gates])
    other.close()
    assert is_made([call], "cat")


def test_nodes_with_other_versions_are_refused_with_the_reason(cluster: RayCluster, start: Start) -> None:
    cluster.let("other_versions", be=True)
    engine = start()
    call = submit(engine, "cat")[0]
    assert "tifffile 0.0.1 there and" in until_state(engine, "refused", "ray-1")["reason"]
    cluster.let("other_versions", be=False)
    assert is_made([call], "cat")


def test_what_a_node_lacks_is_said(start: Start) -> None:
    engine = start(ray_config="/there/is/none.yaml")
    submit(engine, "cat")
    assert "/there/is/none.yaml" in until_state(engine, "away", "ray-1")["reason"]


def test_the_gateway_and_the_actors_end_when_they_have_been_idle(cluster: RayCluster, start: Start) -> None:
    engine = start(idle_seconds=10.0)
    assert is_made(submit(engine, "cat"), "cat")
    gateway = worker(engine, "ray-1")["pid"]
    engine.tick(0.0)
    engine.tick(11.0)
    until_state(engine, "idle", "ray-1")
    wait_until(lambda: is_gone(gateway) and not cluster.far_ends(), seconds=100, what="nothing is left")
    assert is_made(submit(engine, "dog"), "dog")
