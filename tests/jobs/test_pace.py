"""How fast a job goes, told by its steps."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.jobs.pace import Pace, in_words
from daemon.jobs.running import RunningFile, read_running


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningFile]:
    running = RunningFile(tmp_path, "diffuse", name="cat.0a1b2c3d.txt")
    running.start()
    yield running
    running.end()


def pace_at(*seconds: float) -> Pace:
    """A pace whose clock shows one of these at each step."""
    return Pace(clock=iter(seconds).__next__)


def test_the_pace_is_known_from_the_second_step_on_and_loading_is_none_of_it() -> None:
    pace = pace_at(100.0, 100.5, 102.0)
    assert [str(pace.at(step, 20)) for step in (1, 2, 5)] == [
        "step 1 of 20",
        "step 2 of 20, 2 steps/s, 9 s left",
        "step 5 of 20, 2 steps/s, 8 s left",
    ]


@pytest.mark.parametrize(("step", "steps"), [(1, 20), (3, 8)])
def test_each_loop_has_a_pace_of_its_own(step: int, steps: int) -> None:
    pace = pace_at(0.0, 1.0, 50.0)
    pace.at(1, 20)
    pace.at(2, 20)
    assert pace.at(step, steps).per_second is None


def test_a_clock_that_stands_still_divides_nothing_by_zero() -> None:
    pace = pace_at(1.0, 1.0)
    pace.at(1, 20)
    assert str(pace.at(2, 20)) == "step 2 of 20"


@pytest.mark.parametrize(("seconds", "words"), [(0.4, "0 s"), (89, "89 s"), (90, "2 min"), (5000, "83 min"), (11160, "3.1 h")])
def test_times_have_the_unit_that_fits_them(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


def test_the_file_of_a_running_job_tells_its_pace_and_the_time_left(tmp_path: Path, running: RunningFile) -> None:
    running.update(1, 20)
    assert read_running(tmp_path)[0].pace == ""
    running.update(2, 20)
    (job,) = read_running(tmp_path)
    assert job.doing == f"step 2 of 20, {job.pace}"
    assert job.pace.endswith(" left")
    assert (job.step, job.steps) == (2, 20)


@pytest.mark.parametrize("pace", ["", "2 steps/s", "\x1b[2J left", "9999999999999999 steps/s, 1 s left"])
def test_what_a_member_writes_there_is_no_pace(tmp_path: Path, running: RunningFile, pace: str) -> None:
    running.path.write_text(f"diffuse: step 3 of 20, {pace}\n")
    (job,) = read_running(tmp_path)
    assert (job.steps, job.pace) == (None, "")
