"""How soon something answers: the command line, the first picture after a cold start; and what is left without work; item 6.

Times are by the wall clock, from before the process is started. The command line reads a spool that `tiffsd init` made, and a file
with latents of 64x64. The first picture is one of the embedded model with the settings that come with the program: its prompt waits
in the inbox when the daemon is started, and the worker starts, loads torch and the model, and makes it.
"""

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import tiffsd
from benchmarks.figures import Figure, run
from benchmarks.files import artifacts
from benchmarks.timing import seconds_of, spread
from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon

ROUNDS = 9
COMMANDS = ("--help", "status", "show cat.tiff", "release decode")
MOST_SECONDS = 0.3
IDLE_SECONDS = 3.0


def command_line(folder: Path) -> Iterator[Figure]:
    """Each command several times; the yardstick beside them is Python with numpy."""
    tiffsd.write(folder / "cat.tiff", next(artifacts())[1])
    _python(folder, "-m", "daemon", "init")
    bare = spread([seconds_of(lambda: _python(folder, "-c", "import numpy")) for _ in range(ROUNDS)]).median
    for command in COMMANDS:
        words = ("-m", "daemon", *command.split())
        _python(folder, *words)
        took = spread([seconds_of(lambda words=words: _python(folder, *words)) for _ in range(ROUNDS)])
        yield Figure(
            *(6, f"tiffsd {command} answers", took.median, "s", took.low, took.high),
            at_most=MOST_SECONDS,
            note=f"python -c 'import numpy' takes {bare:.2f} s",
            headline=command == "status",
        )


def first_picture(folder: Path) -> Iterator[Figure]:
    """Cold, and what the daemon keeps when it has nothing to do."""
    settings = {
        "defaults": {"steps": 20},
        "watch": {"settle_seconds": 0.3},
        "compute": {"threads": None, "idle_seconds": IDLE_SECONDS},
    }
    daemon = RunningDaemon(folder, **settings)
    try:
        daemon.drop("inbox/1-text", "house.txt", "a red house in a meadow at sunset")
        started = time.perf_counter()
        daemon.start()
        daemon.found("pictures/house.*.png", seconds=300)
        seconds = time.perf_counter() - started
        yield Figure(6, "the first picture of the embedded model, from a cold start", seconds, "s", at_most=12, headline=True)
        began = time.perf_counter()
        wait_until(lambda: not daemon.workers(), what="the end of the worker")
        took = time.perf_counter() - began
        what = f"the worker is gone, with idle_seconds {IDLE_SECONDS:.0f}, after"
        yield Figure(6, what, took, "s", at_most=IDLE_SECONDS + 3)
        assert daemon.process is not None
        yield Figure(6, "what is left: the front process", _megabytes(daemon.process.pid), "MB", at_most=70)
    finally:
        daemon.close()


def _python(folder: Path, *words: str) -> None:
    done = subprocess.run([sys.executable, *words], cwd=folder, stdout=subprocess.DEVNULL, check=False)
    assert done.returncode in (0, 3), words  # 3: `status` has an answer, and there is no daemon


def _megabytes(pid: int) -> float:
    """Resident memory that is not of a file."""
    return int(Path(f"/proc/{pid}/status").read_text().split("RssAnon:")[1].split()[0]) / 1000


def figures() -> Iterator[Figure]:
    """The command line, and the first picture."""
    with tempfile.TemporaryDirectory() as place:
        for name, measured in (("commands", command_line), ("picture", first_picture)):
            (Path(place) / name).mkdir()
            yield from measured(Path(place) / name)


if __name__ == "__main__":
    run(figures)
