"""A folder of prompts: the daemon, from the drop to the last picture, against the one-piece pipeline called in a loop.

Both are warm, have the same settings and the same cores, take turns, and their pictures are compared: to the bit with those of a
pipeline of as many threads as a worker has, since sums of other threads round otherwise. Then the same folder with `fast: true`,
and the daemon against three programs in a row that each load their model.
"""

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.daemon_on import DaemonOn
from benchmarks.figures import Figure, run
from benchmarks.one_piece import OnePiece, Setting
from benchmarks.random_models import shared_stable_diffusion_1
from benchmarks.three_programs import make_one
from benchmarks.timing import ratio, seconds_of, taking_turns

DEMO = Path(__file__).resolve().parents[1] / "daemon/models/demo"
COLOURS, SUBJECTS = ("red", "blue", "yellow", "green"), ("house", "tree", "balloon", "boat")
PLACES = ("in a meadow at sunset", "by the sea at noon")
PROMPTS = [f"a {colour} {subject} {place}" for subject in SUBJECTS for colour in COLOURS for place in PLACES]
CORES = os.cpu_count() or 1
# The pictures of fast jobs are the same to the eye: the mean difference of all values, of 255.
FAST_TOLERANCE = 2.0


def demo(threads: int = CORES) -> Setting:
    """The embedded model as people use it."""
    return Setting(str(DEMO), 128, 128, 20, threads)


def full_size(threads: int = CORES) -> Setting:
    """The structure of Stable Diffusion 1.5, small and with few steps so that it takes minutes."""
    return Setting(str(shared_stable_diffusion_1()), 256, 256, 2, threads, scheduler="ddim")


@dataclass(frozen=True)
class Way:
    """A daemon that is held against the one-piece pipeline: how many workers share its threads, and whether pictures are fast."""

    what: str
    least: float
    workers: int = 1
    fast: bool = False

    def setting(self, whole: Setting) -> Setting:
        """The setting of each worker."""
        return replace(whole, threads=whole.threads // self.workers)

    def options(self) -> dict[str, Any]:
        """What its config.yaml has."""
        return {"compute": {"workers": self.workers}, "defaults": {"fast": True} if self.fast else {}}


def against_one_piece(
    setting: Setting, prompts: Sequence[str], ways: Sequence[Way], *, rounds: int, warm: int = 4
) -> Iterator[Figure]:
    """The rate of each daemon over that of the one-piece pipeline."""
    with tempfile.TemporaryDirectory() as root, ExitStack() as stack:
        place = Path(root)
        one = stack.enter_context(OnePiece(setting))
        daemons = [
            stack.enter_context(DaemonOn(place / f"daemon{number}", way.setting(setting), **way.options()))
            for number, way in enumerate(ways)
        ]
        turns = {"one piece": lambda prompts: one.make(prompts, place)} | {
            way.what: daemon.make for way, daemon in zip(ways, daemons, strict=True)
        }
        for make in turns.values():
            make(prompts[:warm])
        times = taking_turns({name: partial(make, prompts) for name, make in turns.items()}, rounds=rounds, warm=0)
        for way, daemon in zip(ways, daemons, strict=True):
            found = ratio(times["one piece"], times[way.what])
            note = _compared(daemon, way, setting, prompts, place)
            yield Figure(1, way.what, found.median, "x", found.low, found.high, at_least=way.least, note=note, headline=True)


def _compared(daemon: DaemonOn, way: Way, setting: Setting, prompts: Sequence[str], place: Path) -> str:
    """How far the pictures of a daemon are from those of one piece, in words. Raises AssertionError where that is too far."""
    reference = place if way.workers == 1 else place / "shared"
    if way.workers > 1:
        reference.mkdir()
        with OnePiece(way.setting(setting)) as one:
            one.make(prompts, reference)
    worst = max(daemon.differences(reference))
    if worst > (FAST_TOLERANCE if way.fast else 0):
        raise AssertionError(f"{way.what}: the pictures differ by {worst:.2f} of 255")
    return f"pictures differ by {worst:.2f} of 255" if way.fast else "pictures equal to the bit"


def against_three_programs(prompts: Sequence[str]) -> Figure:
    """The daemon's rate over that of three programs in a row, as the prototype of 2023 had them."""
    setting = demo()
    with tempfile.TemporaryDirectory() as place, DaemonOn(Path(place) / "daemon", setting) as daemon:
        daemon.make(prompts[:1])
        ours = seconds_of(lambda: daemon.make(prompts)) / len(prompts)
        theirs = seconds_of(partial(make_one, setting, prompts[0], Path(place)))
    what = f"against three programs in a row that load their models, {len(prompts)} pictures"
    return Figure(2, what, theirs / ours, "x", at_least=10, headline=True, note=f"{theirs:.1f} s for one of theirs")


def figures() -> Iterator[Figure]:
    """Items 1 and 2."""
    what = f"{len(PROMPTS)} prompts, embedded model, over the one-piece pipeline"
    ways = [
        Way(f"{what}: a worker for each core", 1.0, workers=CORES),
        Way(f"{what}: one worker with all cores", 1.0),
        Way(f"{what}: fast: true", 1.4, fast=True),
    ]
    yield from against_one_piece(demo(), PROMPTS, ways, rounds=3)
    # One that draws noise at each step too, and fewer steps, so that more of a picture is what the folders cost.
    some = PROMPTS[:24]
    what = f"{len(some)} prompts, embedded model, euler_a, 14 steps, over the one-piece pipeline"
    ways = [Way(f"{what}: a worker for each core", 1.0, workers=CORES), Way(f"{what}: one worker with all cores", 1.0)]
    yield from against_one_piece(replace(demo(), scheduler="euler_a", steps=14), some, ways, rounds=3)
    few = PROMPTS[:3]
    ways = [Way(f"{len(few)} prompts, size of SD1.5, 256 pixels, 2 steps, over the one-piece pipeline", 0.98)]
    yield from against_one_piece(full_size(), few, ways, rounds=4, warm=1)
    yield against_three_programs(PROMPTS[:8])


if __name__ == "__main__":
    run(figures)
