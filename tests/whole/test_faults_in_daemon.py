"""The machine's faults in the real daemon with the real worker: what becomes of the job at fault, and of all others."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.house import REPOSITORY
from tests.running_daemon import RunningDaemon

PROMPT = "---\nseed: {seed}\nsteps: {steps}\nscheduler: ddim\n---\n{words}"
FAST = "---\nseed: {seed}\nsteps: 2\nscheduler: ddim\nfast: true\n---\n{words}"


class FaultyDaemon(RunningDaemon):
    """A real daemon whose worker fails at jobs as these say."""

    def start(self) -> int:
        environment = {**os.environ, "PYTHONPATH": str(REPOSITORY)}
        command = [sys.executable, "-m", "tests.compute.faulty_program", "run"]
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(command, cwd=self.folder, env=environment, stderr=log, stdout=log)
        wait_until(self.is_watching, what="the daemon is watching")
        return self.process.pid

    def dropped(self, name: str, words: str, *, steps: int = 2, form: str = PROMPT) -> None:
        self.drop("inbox/1-text", f"{name}.txt", form.format(seed=1, steps=steps, words=words))

    def error(self, name: str) -> str:
        (report,) = self.found(f"failed/2-diffuse/{name}.*/error.txt")
        return report.read_text()


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FaultyDaemon]:
    running = FaultyDaemon(tmp_path)
    yield running
    running.close()


def test_of_twelve_jobs_one_breaks_the_device_and_eleven_are_done(daemon: FaultyDaemon) -> None:
    for number in range(11):
        daemon.dropped(f"cat{number:02}", "a red house")
        if number == 3:
            daemon.dropped("bad", "a sticky house")
    daemon.start()
    daemon.found("pictures/cat*.png", count=11)
    error = daemon.error("bad")
    assert (
        "the device cpu failed in the middle of the job (CUDA error: device-side assert triggered). It was tried 2 times" in error
    )
    assert len(list(daemon.spool.glob("failed/*/*"))) == 1
    assert "tiffsd itself failed" not in daemon.log()


def test_a_job_that_never_fits_fails_with_the_figure_and_the_others_are_done(daemon: FaultyDaemon) -> None:
    daemon.dropped("big", "a huge house")
    daemon.start()
    wait_until(lambda: "try 2 of 4" in daemon.log(), what="the first try is over")
    for number in range(3):
        daemon.dropped(f"cat{number}", "a red house")
    daemon.found("pictures/cat*.png", count=3)
    error = daemon.error("big")
    assert "Tried to allocate 30.00 GiB. GPU 0 has a total capacity of 23.69 GiB of which 12.69 MiB is free" in error
    assert "It was tried 4 times; make the picture smaller" in error
    assert daemon.log().count("system error; file returned to its inbox") == 3


@pytest.mark.thorough
def test_where_every_fresh_worker_ends_the_files_stay_and_the_stage_rests(daemon: FaultyDaemon) -> None:
    for number in range(3):
        daemon.dropped(f"cat{number}", f"a house that dies {number}")
    daemon.start()
    wait_until(lambda: "diffuse: system error in a job" in daemon.log(), what="the stage is in trouble")
    assert "fresh workers have ended at" in daemon.log()


@pytest.mark.thorough
def test_a_job_is_ended_after_its_minutes_between_steps_and_within_one_and_its_mates_are_done(tmp_path: Path) -> None:
    daemon = FaultyDaemon(tmp_path, limits={"job_minutes": 0.05}, compute={"batch": 3})
    try:
        daemon.start()
        daemon.dropped("long", "a red house", steps=900)
        assert "limits.job_minutes in config.yaml allows" in daemon.error("long")
        for name, words in (("one", "a red house"), ("two", "an endless house"), ("three", "a blue house")):
            daemon.dropped(name, words, form=FAST)
        daemon.found("pictures/*.png", count=2)
        assert "has computed for the 0.05 minutes" in daemon.error("two")
        assert sorted(path.name.split(".")[0] for path in daemon.spool.glob("failed/*/*")) == ["long", "two"]
    finally:
        daemon.close()
