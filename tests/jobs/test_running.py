"""The file of a running job: what it says, and what counts as the wish to cancel."""

import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest

from daemon.beneath import Beneath
from daemon.jobs.running import RunningFile, read_running, user_name


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
    assert running.path.read_text().startswith("diffuse: step 3 of 20\nDelete this file to cancel the job.\nBegun ")


def test_it_tells_since_when_it_runs_for_whom_and_its_prompt(tmp_path: Path) -> None:
    running = RunningFile(tmp_path, "diffuse", name="cat.0a1b2c3d.txt", owner=os.getuid())
    running.start()
    running.show("a cat\non a mat")
    before = read_running(tmp_path)[0]
    running.update(3, 20)
    (job,) = read_running(tmp_path)
    assert datetime.fromisoformat(job.since) <= datetime.now().astimezone()
    assert (job.since, job.owner, job.prompt) == (before.since, user_name(os.getuid()), "a cat\\non a mat")
    running.end()


@pytest.mark.parametrize("line", ["", "Begun yesterday.", "Begun 2026-99-99T10:00:00+00:00.", "Begun 2026-11-30T10:00:00 for me."])
def test_what_a_member_writes_there_is_no_time(tmp_path: Path, running: RunningFile, line: str) -> None:
    running.path.write_text(f"diffuse: step 3 of 20\n\n{line}\na cat\n")
    (job,) = read_running(tmp_path)
    assert (job.step, job.since, job.owner, job.prompt) == (3, "", "", "")


def test_deleting_it_is_the_wish_to_cancel(running: RunningFile) -> None:
    assert not running.deleted()
    running.path.unlink()
    assert running.deleted()


def test_a_file_that_a_crash_has_left_and_a_person_deletes_meanwhile_is_no_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "running").mkdir()
    running = RunningFile(tmp_path, "decode", name="cat")
    running.path.touch()
    unlink = Beneath.unlink
    monkeypatch.setattr(Beneath, "unlink", lambda self, path: (path.unlink(), unlink(self, path))[1])
    running.start()
    assert not running.deleted()
    monkeypatch.undo()
    running.end()


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
