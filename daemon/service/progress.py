"""How far running jobs are: bars on a terminal, a line every half minute elsewhere."""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.progress import BarColumn, Progress, TaskID, TextColumn
from rich.table import Column

from daemon.jobs.pace import Pace
from daemon.jobs.running import read_running
from daemon.names import shown
from daemon.service.terminal import err
from daemon.stages import STAGES

log = logging.getLogger(__name__)

# What `running/` is waited for at the end: the share on which it lies may be gone.
LOOK_AT_MOST_SECONDS = 1.0
MOVING_SECONDS, IDLE_SECONDS = 0.2, 0.5  # between looks, while there are bars, and while there are none
LINE_SECONDS = 30.0


def _bars() -> Progress:
    """Bars that go when their work is done; a long name gives way to the figures."""
    name = Column(no_wrap=True, overflow="ellipsis", ratio=2)
    figures = Column(no_wrap=True)
    return Progress(
        TextColumn("{task.description}", markup=False, table_column=name),
        BarColumn(bar_width=None, table_column=Column(ratio=1)),
        TextColumn("{task.fields[done]}", markup=False, table_column=figures),
        TextColumn("{task.fields[pace]}", markup=False, table_column=figures),
        console=err,
        transient=True,
        expand=True,
    )


@contextmanager
def jobs_shown(root: Path, *, line_seconds: float = LINE_SECONDS) -> Iterator[None]:
    """Bars for what `running/` says, on a terminal; elsewhere lines in the log."""
    ended = threading.Event()
    follow = _follow_with_bars if err.is_terminal else _follow_with_lines
    watcher = threading.Thread(target=follow, args=(root, ended, line_seconds), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        ended.set()
        watcher.join(LOOK_AT_MOST_SECONDS)


@contextmanager
def steps_shown(label: str, *, line_seconds: float = LINE_SECONDS) -> Iterator[Callable[[int, int], None]]:
    """What a command calls with step and steps: a bar on a terminal, a line every now and then elsewhere."""
    pace = Pace()
    if not err.is_terminal:
        yield _lines(label, pace, line_seconds)
        return
    with _bars() as bars:
        task = bars.add_task(shown(label), total=None, done="waits", pace="")

        def show(step: int, steps: int) -> None:
            bars.update(task, completed=step, total=steps, done=f"{step}/{steps}", pace=pace.at(step, steps).pace)

        yield show


def _lines(label: str, pace: Pace, line_seconds: float) -> Callable[[int, int], None]:
    said = time.monotonic()

    def tell(step: int, steps: int) -> None:
        nonlocal said
        at = pace.at(step, steps)
        if time.monotonic() - said >= line_seconds:
            said = time.monotonic()
            err.out(shown(f"{label}: {at}"), highlight=False)

    return tell


def _follow_with_bars(root: Path, ended: threading.Event, _line_seconds: float) -> None:
    tasks: dict[str, TaskID] = {}
    with _bars() as bars:
        while not ended.wait(MOVING_SECONDS if tasks else IDLE_SECONDS):
            now = {f"{job.name} {job.stage}": job for job in read_running(root)}
            for label in tasks.keys() - now.keys():
                bars.remove_task(tasks.pop(label))
            for label, job in now.items():
                if label not in tasks:
                    tasks[label] = bars.add_task(shown(label), total=None, done="waits", pace="")
                done = "waits" if job.steps is None else f"{job.step}/{job.steps}"
                bars.update(tasks[label], completed=job.step, total=job.steps, done=done, pace=job.pace)


def _follow_with_lines(root: Path, ended: threading.Event, line_seconds: float) -> None:
    before = set[str]()
    while not ended.wait(line_seconds):
        # Members of a group may write there: nothing of theirs gets into the log but numbers and a name.
        looping = [job for job in read_running(root) if job.steps is not None and job.stage in STAGES]
        for job in [job for job in looping if job.name in before]:  # one that is done before the next look is worth no line
            pace = f", {job.pace}" * bool(job.pace)
            log.info("%s %s: step %d of %d%s", job.stage, job.name, job.step, job.steps, pace)
        before = {job.name for job in looping}
