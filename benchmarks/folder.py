"""A folder of prompts: the daemon, from the drop to the last picture, against the one-piece pipeline called in a loop.

Both are warm, have the same settings and the same cores, take turns, and their pictures are compared: to the bit with those of a
pipeline of as many threads as a worker has, since sums of other threads round otherwise. Then the same folder with `fast: true`,
and the daemon against three programs in a row that each load their model.
"""

import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

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
    return Setting(str(shared_stable_diffusion_1()), 256, 256, 3, threads, scheduler="ddim")


def against_one_piece(
    setting: Setting,
    prompts: Sequence[str],
    *,
    rounds: int,
    warm: int = 4,
    what: str,
    least: float,
    workers: int = 1,
    defaults: Mapping[str, object] | None = None,
    headline: bool = False,
) -> Figure:
    """The daemon's rate over that of the one-piece pipeline, whose threads `workers` share among them."""
    shared = replace(setting, threads=setting.threads // workers)
    with tempfile.TemporaryDirectory() as place:
        flat = Path(place) / "one_piece"
        flat.mkdir()
        options = {"compute": {"workers": workers}, "defaults": defaults}
        with DaemonOn(Path(place) / "daemon", shared, **options) as daemon, OnePiece(setting) as one:
            ways = {"one piece": lambda: one.make(prompts, flat), "daemon": lambda: daemon.make(prompts)}
            one.make(prompts[:warm], flat)
            daemon.make(prompts[:warm])
            times = taking_turns(ways, rounds=rounds, warm=0)
            if workers > 1:
                with OnePiece(shared) as reference:
                    reference.make(prompts, flat)
            worst = max(daemon.differences(flat))
    rate = ratio(times["one piece"], times["daemon"])
    if worst > (FAST_TOLERANCE if defaults else 0):
        raise AssertionError(f"{what}: the pictures differ by {worst:.2f} of 255")
    note = f"pictures differ by {worst:.2f} of 255" if defaults else "pictures equal to the bit"
    return Figure(1, what, rate.median, "x", rate.low, rate.high, at_least=least, note=note, headline=headline)


def against_three_programs(prompts: Sequence[str]) -> Figure:
    """The daemon's rate over that of three programs in a row, as the prototype of 2023 had them."""
    setting = demo()
    with tempfile.TemporaryDirectory() as place, DaemonOn(Path(place) / "daemon", setting) as daemon:
        daemon.make(prompts[:1])
        ours = seconds_of(lambda: daemon.make(prompts)) / len(prompts)
        theirs = min(seconds_of(partial(make_one, setting, prompt, Path(place))) for prompt in prompts[:2])
    what = f"against three programs in a row that load their models, {len(prompts)} pictures"
    return Figure(2, what, theirs / ours, "x", at_least=10, headline=True, note="their faster one of two pictures")


def figures() -> Iterator[Figure]:
    """Items 1 and 2."""
    demo_prompts, few = PROMPTS[:32], PROMPTS[:3]
    what = f"{len(demo_prompts)} prompts, embedded model, over the one-piece pipeline"
    yield against_one_piece(
        demo(), demo_prompts, rounds=3, what=f"{what}: a worker for each core", least=1.0, workers=CORES, headline=True
    )
    yield against_one_piece(demo(), demo_prompts, rounds=3, what=f"{what}: one worker with all cores", least=1.0, headline=True)
    yield against_one_piece(
        demo(), demo_prompts, rounds=3, what=f"{what}: fast: true", least=1.4, defaults={"fast": True}, headline=True
    )
    yield against_one_piece(
        full_size(),
        few,
        rounds=3,
        warm=1,
        what=f"{len(few)} prompts, size of SD1.5, 256 pixels, 3 steps",
        least=0.98,
        headline=True,
    )
    yield against_three_programs(PROMPTS[:8])


if __name__ == "__main__":
    run(figures)
