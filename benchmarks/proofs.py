"""How soon a proof shows what was saved: latents on hold are saved in place, again and again; item 19.

The worker is warm, and no job runs. Time counts from the end of the save until the proof beside them is another one, by the wall
clock, less the settle time: for so long nobody can know whether the editor is done.
"""

import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from time import perf_counter

import numpy as np

import tiffsd
from benchmarks.figures import Figure, run
from benchmarks.timing import spread
from tests.artifacts import latents
from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon

SAVES = 50
SETTLE_SECONDS, RESCAN_SECONDS = 0.3, 5.0
MOST_SECONDS, MOST_MEGABYTES = 1.5, 70
NAME = "cat.3f9a1c2e"


def figures() -> Iterator[Figure]:
    """Save to proof, and what the front needs for it."""
    with tempfile.TemporaryDirectory() as place:
        watch = {"settle_seconds": SETTLE_SECONDS, "rescan_seconds": RESCAN_SECONDS}
        daemon = RunningDaemon(Path(place), watch=watch, compute={"threads": None})
        daemon.start()
        try:
            yield from _of(daemon)
        finally:
            daemon.stop()


def _of(daemon: RunningDaemon) -> Iterator[Figure]:
    held, proof = daemon.spool / f"hold/3-decode/{NAME}.tiff", daemon.spool / f"hold/3-decode/{NAME}.proof.png"
    _save(held, 0)
    wait_until(proof.exists, what="the first proof")
    took = [_seconds(held, proof, number) for number in range(1, SAVES + 1)]
    half = spread(took)
    what = "from saving latents on hold to their new proof, beyond the settle time"
    yield Figure(19, what, half.median, "s", half.low, half.high, at_most=MOST_SECONDS, headline=True)
    yield Figure(19, f"the longest of {SAVES}", max(took), "s")
    assert daemon.process is not None
    status = Path(f"/proc/{daemon.process.pid}/status").read_text(encoding="ascii")
    resident = int(status.partition("VmRSS:")[2].split()[0]) / 1024
    yield Figure(19, "the front process, after as many proofs", resident, "MB", at_most=MOST_MEGABYTES)


def _save(path: Path, number: int) -> None:
    made = latents(state=tiffsd.State.FINAL)
    made = replace(made, header=replace(made.header, id=NAME[-8:]))
    changed = made.tensors["latents"].copy()
    changed[:, number % 16] += np.float32(1 + number / SAVES)
    tiffsd.write(path, replace(made, tensors={**made.tensors, "latents": changed}))


def _seconds(held: Path, proof: Path, number: int) -> float:
    before = proof.read_bytes()

    def is_another() -> bool:
        try:
            return proof.read_bytes() != before
        except FileNotFoundError:  # for a moment there is none
            return False

    _save(held, number)
    began = perf_counter()
    wait_until(is_another, what="another proof", seconds=60)
    return perf_counter() - began - SETTLE_SECONDS


if __name__ == "__main__":
    run(figures)
