"""What the folders cost, with a stage that answers at once; item 10.

The daemon, its spool, inotify and the files are the real ones (tests/real).
"""

import os
import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, run
from tests.conftest import wait_until
from tests.real.fast_daemon import FastDaemon

SETTLE_SECONDS = 0.3  # as in config.yaml
WATCH = {"rescan_seconds": 5.0, "settle_seconds": SETTLE_SECONDS, "settle_unleased_seconds": 5.0}
JOBS = 300  # over which the cost of one is measured
LOOK_SECONDS = 0.001
DROPS, FEW, MANY = 300, 100, 100_000
JOBS_OF_FEW = 60


@contextmanager
def daemon_on(folder: Path, *, started: bool = True) -> Iterator[FastDaemon]:
    daemon = FastDaemon(folder, watch=WATCH)
    try:
        if started:
            daemon.start()
        yield daemon
    finally:
        daemon.close()
        shutil.rmtree(folder)


def processor_seconds(pid: int) -> float:
    """Processor time of all threads of a process."""
    return sum(int(path.read_text().split()[0]) for path in Path(f"/proc/{pid}/task").glob("*/schedstat")) / 1e9


def latencies(folder: Path, *, drops: int, every: float = 0.1) -> list[float]:
    """Seconds from drop to claim beyond the settle time, one drop every `every` seconds."""
    with daemon_on(folder) as daemon:
        daemon.drop("inbox/1-text", "warm.txt", "the first job starts the worker")
        _done(daemon, at_least=1)
        waiting: dict[Path, float] = {}
        found: list[float] = []
        began = time.monotonic()
        for number in range(drops):
            waiting[daemon.drop("inbox/1-text", f"cat{number}.txt", f"cat {number}")] = time.monotonic()
            while time.monotonic() < began + every * (number + 1):
                found += _claimed(waiting)
        wait_until(lambda: found.extend(_claimed(waiting)) or not waiting, what="the last is claimed")
    return found


def _claimed(waiting: dict[Path, float]) -> list[float]:
    """How long those took that are gone from the inbox since the last look."""
    time.sleep(LOOK_SECONDS)
    now = time.monotonic()
    gone = [path for path in waiting if not os.path.lexists(path)]
    return [now - waiting.pop(path) - SETTLE_SECONDS for path in gone]


@dataclass(frozen=True)
class Backlog:
    """Start to first claim, peak memory of the front process, and its processor time for one job."""

    files: int
    start_seconds: float
    peak_megabytes: float
    job_milliseconds: float


def backlog(folder: Path, *, files: int, jobs: int = JOBS) -> Backlog:
    """Start the daemon on an inbox full of files, and let it do some of them."""
    with daemon_on(folder, started=False) as daemon:
        inbox = daemon.spool / "inbox/1-text"
        for number in range(files):
            (inbox / f"cat{number:06}.txt").write_text(f"cat {number}")
        began = time.monotonic()
        pid = daemon.launch()
        wait_until(lambda: any((daemon.spool / ".work").iterdir()), what="the first claim")
        start_seconds = time.monotonic() - began
        first = _done(daemon, at_least=jobs // 6)
        before = processor_seconds(pid)
        last = _done(daemon, at_least=first + jobs)
        used = processor_seconds(pid) - before
        peak = int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) / 1024
    return Backlog(files, start_seconds, peak, used / (last - first) * 1000)


def _done(daemon: FastDaemon, *, at_least: int) -> int:
    """Wait until so many jobs are done; how many there are."""
    return int(
        wait_until(lambda: n if (n := len(list(daemon.spool.glob("done/*/*")))) >= at_least else 0, seconds=300, what="jobs")
    )


def idle_share(folder: Path, *, held: int, seconds: float = 20.0) -> float:
    """Processor seconds per second of a daemon with nothing to do and files on hold."""
    with daemon_on(folder) as daemon:
        for number in range(held):
            (daemon.spool / f"hold/2-diffuse/cat{number}.tiff").write_bytes(b"held")
        settled = time.monotonic() + 3
        wait_until(lambda: time.monotonic() > settled, what="the last status is written")
        before, began = processor_seconds(daemon.pid()), time.monotonic()
        wait_until(lambda: time.monotonic() > began + seconds, what="idle seconds")
        return (processor_seconds(daemon.pid()) - before) / (time.monotonic() - began)


def figures() -> Iterator[Figure]:
    """From a drop to its claim, backlogs, and nothing to do."""
    with tempfile.TemporaryDirectory() as place:
        seconds = sorted(latencies(Path(place) / "drops", drops=DROPS))
        median, worst = 1000 * statistics.median(seconds), 1000 * seconds[int(len(seconds) * 0.99)]
        yield Figure(10, f"drop to claim beyond the settle time, median of {DROPS}", median, "ms", at_most=30)
        yield Figure(10, "the same, 99th percentile", worst, "ms", at_most=150)
        sizes = ((FEW, JOBS_OF_FEW), (MANY, JOBS))
        few, many = (backlog(Path(place) / "backlog", files=files, jobs=jobs) for files, jobs in sizes)
        yield Figure(10, f"start to first claim, {MANY} files waiting", many.start_seconds, "s", at_most=5)
        yield Figure(10, "peak memory of the front process with them", many.peak_megabytes, "MB", at_most=200)
        ratio, note = many.job_milliseconds / few.job_milliseconds, f"{few.job_milliseconds:.1f} ms with {FEW}"
        what = f"processor time of the front process for a job, {MANY} files waiting, {FEW} = 1"
        yield Figure(10, what, ratio, "x", at_most=1.3, note=note, headline=True)
        idle = idle_share(Path(place) / "idle", held=1000)
        yield Figure(10, "processor time with nothing to do, 1000 files on hold", 1000 * idle, "ms/s", at_most=1)


if __name__ == "__main__":
    run(figures)
