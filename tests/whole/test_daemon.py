"""The daemon as a process: what it costs, what a kill leaves, and how it stops."""

import json
import os
import random
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import tiffsd
from daemon.jobs.running import read_running
from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon

HELD = "---\nseed: {seed}\nhold: diffuse\n---\na red house"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    running = RunningDaemon(tmp_path)
    yield running
    running.close()


def is_looping(daemon: RunningDaemon) -> bool:
    """Whether a diffusion loop has done its first step."""
    return any(job.stage == "diffuse" and job.step > 0 for job in read_running(daemon.spool))


def resident_megabytes(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) / 1024


def own_megabytes(pid: int) -> float:
    """What it holds alone. Of the files of its libraries more counts as resident the more of them the machine has in its cache."""
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("RssAnon:")[1].split()[0]) / 1024


def processor_seconds(pid: int) -> float:
    """Processor time of all threads, to the nanosecond; the clock ticks of /proc/PID/stat are too coarse for an idle process."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(600)
def test_twenty_prompts_survive_kills_at_random_moments_each_once(daemon: RunningDaemon) -> None:
    for seed in range(20):
        daemon.drop("inbox/1-text", f"cat{seed}.txt", HELD.format(seed=seed))
    rng = random.Random(1)
    for _ in range(5):
        daemon.start()
        deadline = time.monotonic() + rng.uniform(0.0, 6.0)
        wait_until(lambda: time.monotonic() > deadline, what="the moment of the kill")  # noqa: B023
        daemon.kill()
    daemon.start()
    wait_until(lambda: len(_held(daemon)) + len(_given_up(daemon)) == 20, seconds=300, what="each prompt has come to an end")
    for folder in _given_up(daemon):
        daemon.command("retry", folder.name)
    held = daemon.found("hold/2-diffuse/*.tiff", count=20, seconds=100)
    wait_until(lambda: len(list(daemon.spool.glob("done/*/*.txt"))) == 20, what="all prompts are archived")
    assert Counter(path.name.split(".")[0] for path in held) == {f"cat{seed}": 1 for seed in range(20)}
    assert not list(daemon.spool.glob("failed/*/*"))
    for path in held:
        artifact = tiffsd.read(path)
        noise = _noise(int(artifact.header.recipe["seed"]))
        np.testing.assert_array_equal(artifact.tensors["latents"], noise)
        assert path.name.startswith(f"cat{artifact.header.recipe['seed']}.")


def _held(daemon: RunningDaemon) -> list[Path]:
    return list(daemon.spool.glob("hold/2-diffuse/*.tiff"))


def _given_up(daemon: RunningDaemon) -> list[Path]:
    """The jobs in whose own hands the daemon died twice, as when both kills came while their results were written: seldom any."""
    reports = list(daemon.spool.glob("failed/*/*/error.json"))
    assert all(json.loads(report.read_text())["kind"] == "crashed" for report in reports)
    assert len(reports) <= 2
    return [report.parent for report in reports]


def _noise(seed: int) -> np.ndarray:
    import torch

    noise: np.ndarray = torch.randn((1, 4, 16, 16), generator=torch.Generator().manual_seed(seed))[0].numpy()
    return noise


def test_a_job_whose_worker_is_killed_is_done_all_the_same(daemon: RunningDaemon) -> None:
    pid = daemon.start()
    daemon.drop("inbox/1-text", "cat.txt", "---\nseed: 1\nsteps: 300\nscheduler: ddim\n---\na red house")
    wait_until(lambda: is_looping(daemon), what="the loop runs")
    (worker,) = daemon.workers()
    os.kill(worker, signal.SIGKILL)
    daemon.found("pictures/cat.*.png", seconds=110)
    assert daemon.process is not None
    assert daemon.process.pid == pid
    assert daemon.workers() != [worker]


def test_a_job_that_always_kills_its_worker_is_quarantined_and_the_next_one_runs(daemon: RunningDaemon) -> None:
    daemon.start()
    daemon.drop("inbox/1-text", "poison.txt", "---\nseed: 1\nsteps: 900\nscheduler: ddim\n---\na red house")
    killed: set[int] = set()

    def kill_and_look() -> bool:
        if is_looping(daemon):
            for worker in set(daemon.workers()) - killed:
                os.kill(worker, signal.SIGKILL)
                killed.add(worker)
        return bool(list(daemon.spool.glob("failed/2-diffuse/poison.*/error.txt")))

    wait_until(kill_and_look, seconds=110, what="the job is given up")
    (error,) = daemon.spool.glob("failed/2-diffuse/poison.*/error.txt")
    assert "killed" in error.read_text()
    assert "2 times" in error.read_text()
    daemon.drop("inbox/1-text", "next.txt", HELD.format(seed=2))
    daemon.found("hold/2-diffuse/next.*.tiff")


def test_a_stop_in_mid_job_gives_the_file_back(daemon: RunningDaemon) -> None:
    daemon.start()
    daemon.drop("inbox/1-text", "cat.txt", "---\nseed: 1\nsteps: 900\nscheduler: ddim\n---\na red house")
    wait_until(lambda: is_looping(daemon), what="the loop runs")
    started = time.monotonic()
    assert daemon.stop() == 0
    assert time.monotonic() - started < 20
    assert len(list(daemon.spool.glob("inbox/2-diffuse/cat.*.tiff"))) == 1
    assert not list(daemon.spool.glob("running/*"))


def test_deleting_the_running_file_cancels_the_job_and_loses_nothing(daemon: RunningDaemon) -> None:
    daemon.start()
    daemon.drop("inbox/1-text", "cat.txt", "---\nseed: 1\nsteps: 900\nscheduler: ddim\n---\na red house")
    wait_until(lambda: is_looping(daemon), what="the loop runs")
    for path in daemon.spool.glob("running/*.txt"):
        path.unlink()
    (error,) = daemon.found("failed/2-diffuse/cat.*/error.txt")
    assert "cancelled" in error.read_text()
    assert len(list(error.parent.glob("cat.*.tiff"))) == 1


def test_the_front_process_is_small_and_quiet(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path, watch={"rescan_seconds": 5.0})
    try:
        _look_at_the_front_process(daemon)
    finally:
        daemon.close()


def _look_at_the_front_process(daemon: RunningDaemon) -> None:
    pid = daemon.start()
    assert "torch" not in Path(f"/proc/{pid}/maps").read_text()
    assert resident_megabytes(pid) < 70
    at_first = own_megabytes(pid)
    daemon.drop("inbox/1-text", "cats.txt", "---\nseed: 1\ncount: 50\nsteps: 1\n---\na red house")
    daemon.found("pictures/*.png", count=50, seconds=110)
    wait_until(lambda: not list(daemon.spool.glob("running/*")), what="all is done")
    assert "torch" not in Path(f"/proc/{pid}/maps").read_text()
    # What stays are the threads of jobs, and what is remembered of fifty.
    wait_until(lambda: own_megabytes(pid) < at_first + 4, seconds=15, what="what the jobs have freed is given back")

    # Two ticks of status, then nothing is left to say.
    settled = time.monotonic() + 3
    wait_until(lambda: time.monotonic() > settled, what="the last status is written")
    before, woken, began = processor_seconds(pid), wakings(pid), time.monotonic()
    wait_until(lambda: time.monotonic() > began + 10, what="ten idle seconds")
    used, elapsed = processor_seconds(pid) - before, time.monotonic() - began
    # What a waking costs hangs on the machine, from 0.5 to 40 ms were seen of the same program; how often it wakes does not.
    assert wakings(pid) - woken < 15
    assert used / elapsed < 0.1


def wakings(pid: int) -> int:
    """How often the threads of a process have gone to sleep."""
    states = [path.read_text() for path in Path(f"/proc/{pid}/task").glob("*/status")]
    return sum(int(line.split()[1]) for state in states for line in state.splitlines() if line.startswith("voluntary_ctxt"))


def test_a_second_daemon_on_the_same_spool_refuses_with_a_sentence(daemon: RunningDaemon) -> None:
    daemon.start()
    second = daemon.command("run", check=False)
    assert second.returncode == 75
    assert "another" in second.stderr


def test_status_answers_with_the_daemon_up_and_down(daemon: RunningDaemon) -> None:
    (daemon.spool / "inbox/1-text/PAUSE").touch()
    daemon.drop("inbox/1-text", "cat.txt", "a cat")
    down = daemon.command("status", check=False)
    assert down.returncode == 3
    assert "not running" in down.stdout
    assert "paused" in down.stdout
    daemon.start()
    assert "daemon: running" in daemon.command("status").stdout
