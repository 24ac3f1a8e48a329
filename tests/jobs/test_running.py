"""The file of a running job: what it says, and what counts as the wish to cancel."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.jobs.running import RunningFile, read_running


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningFile]:
    running = RunningFile(tmp_path, "diffuse", name="cat.0a1b2c3d.txt")
    running.start()
    yield running
    running.end()


def test_it_tells_how_far_the_job_is(tmp_path: Path, running: RunningFile) -> None:
    assert [(job.name, job.doing, job.steps) for job in read_running(tmp_path)] == [
        ("cat.0a1b2c3d", "waiting for the worker", None)
    ]
    running.update(3, 20)
    assert [(job.stage, job.step, job.steps) for job in read_running(tmp_path)] == [("diffuse", 3, 20)]
    assert running.path.read_text() == "diffuse: step 3 of 20\nDelete this file to cancel the job.\n"


def test_deleting_it_is_the_wish_to_cancel(running: RunningFile) -> None:
    assert not running.deleted()
    running.path.unlink()
    assert running.deleted()


def test_a_folder_that_is_away_is_no_wish(tmp_path: Path, running: RunningFile) -> None:
    (tmp_path / "running").rename(tmp_path / "away")
    assert not running.deleted()
    running.update(4, 20)
    (tmp_path / "away").rename(tmp_path / "running")
    assert not running.deleted()
    assert read_running(tmp_path)[0].step == 4


def test_what_a_person_makes_of_the_name_stays(running: RunningFile) -> None:
    running.path.unlink()
    running.path.mkdir()
    running.update(5, 20)
    running.end()
    assert running.path.is_dir()
