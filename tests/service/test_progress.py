"""How far jobs are, shown: bars on a terminal, and lines that come now and then elsewhere."""

import io
import logging
from collections.abc import Iterator
from pathlib import Path

import pytest
from rich.console import Console

from daemon.jobs.running import RunningFile
from daemon.service import progress
from daemon.service.progress import jobs_shown, steps_shown
from tests.conftest import wait_until


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A spool where a job has done 12 of 20 steps."""
    running = RunningFile(tmp_path, "diffuse", name="a cat with a rather long name for one line.0a1b2c3d.txt")
    running.start()
    running.update(1, 20)
    running.update(12, 20)
    yield tmp_path
    running.end()


def console(monkeypatch: pytest.MonkeyPatch, *, terminal: bool) -> io.StringIO:
    out = io.StringIO()
    monkeypatch.setattr(progress, "err", Console(file=out, force_terminal=terminal, width=80, highlight=False))
    return out


def test_a_terminal_of_80_columns_shows_steps_pace_and_time_left_on_one_line(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = console(monkeypatch, terminal=True)
    with jobs_shown(root):
        wait_until(lambda: " left" in out.getvalue(), what="the bar is drawn")
    (line, *_) = (line for line in out.getvalue().split("\n") if " left" in line)
    assert "a cat" in line
    assert "12/20" in line
    assert "steps/s, 0 s left" in line


def test_elsewhere_a_line_comes_for_each_job_that_takes_steps(
    root: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    out = console(monkeypatch, terminal=False)
    waiting = RunningFile(root, "diffuse", name="waiting.0a1b2c3e.txt")
    waiting.start()
    (root / "running/forged.txt").write_text("worker 1 on cpu: step 1 of 2\n")
    with caplog.at_level(logging.INFO), jobs_shown(root, line_seconds=0.05):
        wait_until(lambda: caplog.messages, what="it is told")
    assert caplog.messages[0].startswith("diffuse a cat with a rather long name for one line.0a1b2c3d: step 12 of 20, ")
    assert {message.split(":")[0] for message in caplog.messages} == {"diffuse a cat with a rather long name for one line.0a1b2c3d"}
    assert out.getvalue() == ""
    waiting.end()


def test_a_short_job_is_worth_no_line(monkeypatch: pytest.MonkeyPatch) -> None:
    out = console(monkeypatch, terminal=False)
    with steps_shown("diffuse") as show:
        for step in range(1, 21):
            show(step, 20)
    assert out.getvalue() == ""


def test_a_command_that_takes_long_tells_its_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    out = console(monkeypatch, terminal=False)
    with steps_shown("diffuse", line_seconds=0.0) as show:
        show(1, 20)
        show(2, 20)
    first, second = out.getvalue().splitlines()
    assert first == "diffuse: step 1 of 20"
    assert second.startswith("diffuse: step 2 of 20, ")


def test_a_command_on_a_terminal_has_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    out = console(monkeypatch, terminal=True)
    with steps_shown("diffuse") as show:
        show(1, 20)
        show(2, 20)
        wait_until(lambda: "2/20" in out.getvalue(), what="the bar is drawn")
    assert " left" in out.getvalue()
