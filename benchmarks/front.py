"""What a picture costs the front process: claims, files, status and page, with stages that answer at once; item 23.

The daemon, its spool and the files are the real ones (tests/real). Processor time grows where other work shares the cores: beside
an older checkout, run this file by its path with PYTHONPATH set to that checkout, in turns with this one.
"""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Figure, run
from benchmarks.spool import WATCH, processor_seconds
from benchmarks.timing import spread
from tests.conftest import wait_until
from tests.real.fast_daemon import FastDaemon

PICTURES, SIDE, ROUNDS = 60, 512, 5
MOST_MILLISECONDS = 25


def milliseconds(folder: Path, *, pictures: int, rounds: int, side: int = SIDE) -> list[float]:
    """Processor time of the front process for a picture, in each round, without the first job, which starts the worker."""
    daemon = FastDaemon(folder, watch=WATCH, defaults={"width": side, "height": side}, stages={"diffuse": {"hold": False}})
    try:
        daemon.start()
        _make(daemon, "warm", 1)
        found = []
        for number in range(rounds):
            before = processor_seconds(daemon.pid())
            _make(daemon, f"round{number}", pictures)
            found.append(1000 * (processor_seconds(daemon.pid()) - before) / pictures)
    finally:
        daemon.close()
    return found


def _make(daemon: FastDaemon, stem: str, count: int) -> None:
    pictures = daemon.spool / "pictures"
    wanted = count + _finished(pictures)
    for number in range(count):
        daemon.drop("inbox/1-text", f"{stem}-{number}.txt", f"{stem} {number}")
    wait_until(lambda: _finished(pictures) >= wanted, seconds=300, what="the pictures")
    wait_until(lambda: not any((daemon.spool / ".work").iterdir()), what="no job is left")


def _finished(pictures: Path) -> int:
    return sum(name.endswith(".png") for name in os.listdir(pictures))


def figures() -> Iterator[Figure]:
    """Processor time for a picture of 512 pixels, and of 64, where the files are small."""
    with tempfile.TemporaryDirectory() as place:
        for side in (SIDE, 64):
            half = spread(milliseconds(Path(place) / str(side), pictures=PICTURES, rounds=ROUNDS, side=side))
            what = f"processor time of the front process for a picture of {side} x {side}, all stages, PNG and float TIFF"
            most = MOST_MILLISECONDS if side == SIDE else None
            yield Figure(23, what, half.median, "ms", half.low, half.high, at_most=most)


if __name__ == "__main__":
    run(figures)
