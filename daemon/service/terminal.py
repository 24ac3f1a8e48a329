"""How work in progress looks: log lines and bars on a terminal, plain lines elsewhere."""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from rich.console import Console
from rich.logging import RichHandler
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from daemon.jobs.running import read_running

# What `running/` is waited for at the end: the share on which it lies may be gone.
LOOK_AT_MOST_SECONDS = 1.0

err = Console(stderr=True, highlight=False)


def log_to_stderr(verbose: bool) -> None:
    """Rich lines on a terminal; elsewhere plain ones, with the priorities that journald reads where it listens."""
    if err.is_terminal:
        handler: logging.Handler = RichHandler(console=err, show_path=False, markup=False)
        handler.setFormatter(logging.Formatter("%(message)s", datefmt="[%X]"))
    else:
        handler = logging.StreamHandler()
        handler.setFormatter(_PriorityFormatter() if journal_listens() else logging.Formatter("%(message)s"))
    logging.basicConfig(level=logging.DEBUG if verbose else logging.INFO, handlers=[handler], force=True)
    # The one logs every event of the file system at DEBUG, the other every broken tag of a broken file.
    logging.getLogger("watchdog").setLevel(logging.INFO)
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)


def journal_listens() -> bool:
    """Whether stderr goes to journald; the variable is inherited by programs that write elsewhere, and then names another file."""
    stderr = os.fstat(2)
    return os.environ.get("JOURNAL_STREAM") == f"{stderr.st_dev}:{stderr.st_ino}"


class _PriorityFormatter(logging.Formatter):
    PRIORITIES = ((logging.ERROR, 3), (logging.WARNING, 4), (logging.INFO, 6))

    def format(self, record: logging.LogRecord) -> str:
        priority = next((number for level, number in self.PRIORITIES if record.levelno >= level), 7)
        prefix = f"<{priority}>"
        return "\n".join(prefix + line for line in super().format(record).splitlines())


def bar() -> Progress:
    """Bars that go when their work is done; silent where there is no terminal."""
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=err,
        transient=True,
        disable=not err.is_terminal,
    )


@contextmanager
def progress(root: Path) -> Iterator[None]:
    """Bars for what `running/` says, on a terminal; elsewhere nothing."""
    if not err.is_terminal:
        yield
        return
    ended = threading.Event()
    with bar() as bars:
        watcher = threading.Thread(target=_follow, args=(bars, root, ended), daemon=True)
        watcher.start()
        try:
            yield
        finally:
            ended.set()
            watcher.join(LOOK_AT_MOST_SECONDS)


def _follow(bars: Progress, root: Path, ended: threading.Event) -> None:
    tasks: dict[str, TaskID] = {}
    while not ended.wait(0.2):
        now = {f"{job.name} {job.stage}": job for job in read_running(root)}
        for label in tasks.keys() - now.keys():
            bars.remove_task(tasks.pop(label))
        for label, job in now.items():
            if label not in tasks:
                tasks[label] = bars.add_task(label.encode("utf-8", "replace").decode(), total=None)
            bars.update(tasks[label], completed=job.step, total=job.steps)
