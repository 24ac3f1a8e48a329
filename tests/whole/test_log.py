"""What the log of a real daemon says of its worker, its models, its jobs and what waits; and each of its lines is one of ours."""

import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

import tiffsd
from tests.conftest import wait_until
from tests.house import REPOSITORY
from tests.running_daemon import RunningDaemon, without_times


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[RunningDaemon]:
    running = RunningDaemon(tmp_path)
    yield running
    running.close()


def said(daemon: RunningDaemon) -> list[str]:
    """The lines of the log, without what differs each time."""
    return alike(daemon.log().replace(str(daemon.folder), ""))


def alike(log: str) -> list[str]:
    """The lines of a log, without the numbers of processes, ids and times, and without those that a slow machine adds."""
    log = re.sub(r"^\w+ \S+: step \d+ of \d+.*\n", "", log, flags=re.MULTILINE)
    log = re.sub(r"\.[0-9a-f]{8}\.", ".ID.", log)
    log = re.sub(r"worker \d+", "worker N", log)
    return re.sub(r"\d+\.\d s", "T s", log).splitlines()


def make_a_picture(daemon: RunningDaemon, *options: str) -> None:
    daemon.start(*options)
    daemon.drop("inbox/1-text", "cat.txt", "---\nseed: 1\nsteps: 3\n---\na red house")
    daemon.found("pictures/cat.*.png")
    wait_until(lambda: "decode cat" in said(daemon)[-1] and " -> " in said(daemon)[-1], what="the picture is in the log")


def test_the_log_tells_of_the_worker_its_models_and_each_job(daemon: RunningDaemon) -> None:
    make_a_picture(daemon)
    assert daemon.stop() == 0
    first, *lines, last = said(daemon)
    assert [first, last] == ["watching /spool", "worker N on cpu: ended, because the daemon stops"]
    # The next job may begin before the line on the last one is written. Of two results it is not known whether they waited.
    assert sorted(line.removesuffix(", waited T s") for line in lines) == sorted(
        [
            "worker N on cpu: started",
            "text cat.txt: started, demo, 128x128",
            "loading the text_encoder of demo",
            "loaded the text_encoder of demo in T s",
            "text cat.txt -> inbox/2-diffuse/cat.ID.tiff T s",
            "diffuse cat.ID.tiff: started, demo, 128x128, 3 steps",
            "loading the unet of demo",
            "loaded the unet of demo in T s",
            "diffuse cat.ID.tiff -> inbox/3-decode/cat.ID.tiff T s",
            "decode cat.ID.tiff: started, demo, 128x128",
            "loading the vae of demo",
            "loaded the vae of demo in T s",
            "decode cat.ID.tiff -> pictures/cat.ID.tiff, pictures/cat.ID.png T s",
        ]
    )


def test_the_lines_that_the_readme_shows_are_those_of_the_log(daemon: RunningDaemon) -> None:
    daemon.start()
    daemon.drop("inbox/1-text", "house.txt", "---\nhold: diffuse\n---\na red house")
    wait_until(lambda: " -> " in daemon.log(), what="it is done")
    (shown,) = re.findall(r"^```\n(worker .*?)^```$", (REPOSITORY / "docs/service.md").read_text(), re.MULTILINE | re.DOTALL)
    assert said(daemon)[1:] == alike(shown)


def test_who_asks_for_more_hears_more(daemon: RunningDaemon) -> None:
    make_a_picture(daemon, "--verbose")
    daemon.drop("inbox/1-text", "dog.txt", "---\nseed: 1\nsteps: 3\n---\na red house")
    daemon.found("pictures/dog.*.png")
    log = daemon.log()
    assert re.search(r"^torch \S+ computes with \d+ threads$", log, re.MULTILINE)
    assert "loading the tokenizer of demo" in log
    assert re.search(r"^the unet of demo: UNet2DConditionModel, [\d.]+ GB, attention \w+, from /.*/demo/unet$", log, re.MULTILINE)
    assert "the unet of demo is loaded already" in log
    assert len(log.splitlines()) < 60, "nothing is said of each step"


def test_models_that_make_room_for_others_are_named_to_who_asks_for_more(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path, compute={"memory_gb": 0.001})
    try:
        make_a_picture(daemon, "-v")
        assert re.search(r"^letting go of the unet \(.*/demo/unet\) on cpu, [\d.]+ GB, to make room$", daemon.log(), re.MULTILINE)
    finally:
        daemon.close()


def test_what_is_held_is_said_with_the_command_that_lets_it_go_on(daemon: RunningDaemon) -> None:
    daemon.start()
    daemon.drop("inbox/1-text", "my cat.txt", "---\nseed: 1\nhold: diffuse\nsteps: 2\n---\na red house")
    (held,) = daemon.found("hold/2-diffuse/my cat.*.tiff")
    result = re.escape(f"text my cat.txt -> hold/2-diffuse/{held.name} ")
    told = result + r"[^;]* s; held: move it to inbox/2-diffuse, or run tiffsd (.*)"
    (command,) = wait_until(lambda: re.findall(told, daemon.log()), what="it is told")
    assert command == f"release '{held.name}'"
    daemon.command("release", held.name)
    daemon.found("pictures/my cat.*.png")


def test_a_job_that_waits_for_another_says_so_and_its_own_time_apart(daemon: RunningDaemon) -> None:
    daemon.start()
    front = "---\nseed: {}\nscheduler: ddim\nsteps: {}\n---\na red house"
    daemon.drop("inbox/1-text", "long.txt", front.format(1, 150))
    wait_until(lambda: re.search(r"diffuse long\S+: started", daemon.log()), what="the long job runs")
    daemon.drop("inbox/1-text", "short.txt", front.format(2, 1))
    told = r"text short\.txt -> \S+ ([\d.]+) s, waited ([\d.]+) s"
    ((own, waited),) = wait_until(lambda: re.findall(told, daemon.log()), seconds=100, what="it is told")
    assert float(own) < float(waited) > 0.5
    (picture,) = daemon.found("pictures/short.*.tiff")
    (history,) = (entry for entry in tiffsd.inspect(picture).history if entry["stage"] == "text")
    assert f"{history['seconds']:.1f}" == own


def test_a_worker_that_dies_is_told_of(daemon: RunningDaemon) -> None:
    make_a_picture(daemon)
    (worker,) = daemon.workers()
    os.kill(worker, signal.SIGKILL)
    wait_until(lambda: f"worker {worker} on cpu: was killed by signal 9" in daemon.log(), what="it is missed")


def test_a_worker_that_was_idle_is_told_of(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path, compute={"idle_seconds": 0.5})
    try:
        make_a_picture(daemon)
        wait_until(lambda: "worker N on cpu: ended, because it was idle" in said(daemon), what="it is ended")
    finally:
        daemon.close()


def test_what_is_written_past_the_log_gets_into_it_as_lines_of_ours(daemon: RunningDaemon) -> None:
    daemon.words = ("-m", "tests.whole.loud", "run")
    daemon.surroundings = {"PYTHONPATH": str(REPOSITORY)}
    make_a_picture(daemon)
    assert daemon.stop() == 0
    log = without_times((daemon.folder / "log.txt").read_bytes().decode())
    assert all(line.isprintable() for line in log.split("\n"))
    assert [re.sub(r"worker \d+", "worker N", line) for line in log.splitlines() if re.match(r"worker \d+: ", line)] == [
        "worker N: loud\\x1b[2J",
        "worker N: <0>text cat.txt -> forged\\x9b31m\\xff",
        "worker N: 100%|###|",
        "worker N: no end",
    ]
    lines = log.splitlines()
    at = lines.index("internal error in tiffsd, the thread 'doomed' ends: RuntimeError: a thread\\n<0>forged")
    assert lines[at + 1] == "    Traceback (most recent call last):"
    assert not [line for line in lines if line.startswith("<0>")]
