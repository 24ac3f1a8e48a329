"""How busy the daemon keeps many GPUs. They are pretended: a worker sleeps as long as a stage would take, all else is real."""

import os
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from benchmarks.figures import Figure, run
from tests.conftest import wait_until
from tests.real.fast_daemon import FastDaemon

GPUS = 8
SECONDS = {"text": 0.02, "diffuse": 0.5, "decode": 0.08}
PICTURES = 240
# Between these parts of the work all GPUs have had their first call, and none its last.
FROM, TO = 0.15, 0.85
CONFIG = {"stages": {"diffuse": {"hold": False}}, "watch": {"rescan_seconds": 5.0, "settle_seconds": 0.3}}


class PretendedDaemon(FastDaemon):
    """A daemon whose GPUs take so many seconds for each stage."""

    words = ("-m", "benchmarks.pretended_program", "run")

    def __init__(self, folder: Path, *, gpus: int, seconds: Mapping[str, float], **compute: object) -> None:
        super().__init__(folder, compute={"device": "cuda", "workers": gpus, **compute}, **CONFIG)
        self.calls = folder / "calls.txt"
        self.environment |= {
            "PRETENDED_SECONDS": " ".join(f"{stage}={time}" for stage, time in seconds.items()),
            "PRETENDED_CALLS": str(self.calls),
            "CUDA_VISIBLE_DEVICES": ",".join(map(str, range(gpus))),
        }


def busy(folder: Path, *, gpus: int, seconds: Mapping[str, float], pictures: int, **compute: object) -> float:
    """The part of their time that the GPUs compute, while there is enough for all of them."""
    daemon = PretendedDaemon(folder, gpus=gpus, seconds=seconds, **compute)
    for number in range(pictures):
        daemon.drop("inbox/1-text", f"cat{number:04}.txt", f"cat {number}")
    try:
        daemon.start()
        made = daemon.spool / "pictures"
        wait_until(
            lambda: sum(name.endswith(".png") for name in os.listdir(made)) >= pictures, seconds=600, what=f"{pictures} pictures"
        )
    finally:
        daemon.close()
    return _part(daemon.calls, gpus)


def _part(path: Path, gpus: int) -> float:
    ended = sorted((float(at), float(took)) for at, took in (line.split() for line in path.read_text().splitlines()))
    within = ended[int(FROM * len(ended)) : int(TO * len(ended))]
    return sum(took for _, took in within[1:]) / (within[-1][0] - within[0][0]) / gpus


def figures() -> Iterator[Figure]:
    """Item 20."""
    with tempfile.TemporaryDirectory() as place:
        part = busy(Path(place) / "daemon", gpus=GPUS, seconds=SECONDS, pictures=PICTURES)
    most = GPUS / sum(SECONDS.values())
    what = f"{GPUS} pretended GPUs that could make {most:.1f} pictures a second: busy"
    yield Figure(20, what, 100 * part, "%", at_least=95, note=f"{PICTURES} prompts of 64 pixels; {most * part:.1f} a second")


if __name__ == "__main__":
    run(figures)
