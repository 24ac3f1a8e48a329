"""How the daemon grows with several workers, and what models cost that take turns; backlogs stand in `benchmarks/spool.py`."""

import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from benchmarks.daemon_on import DaemonOn
from benchmarks.figures import Figure, run
from benchmarks.folder import CORES, PROMPTS, demo
from benchmarks.timing import ratio, taking_turns


def with_two_workers(prompts: Sequence[str], *, rounds: int) -> Figure:
    """The rate of two workers of one thread over that of one; the pictures are compared."""
    setting = demo(threads=1)
    with tempfile.TemporaryDirectory() as place:
        alone = DaemonOn(Path(place) / "one", setting)
        both = DaemonOn(Path(place) / "two", setting, compute={"workers": 2})
        with alone, both:
            for daemon in (alone, both):
                daemon.make(prompts[: len(prompts) // 2])
            ways = {"one": lambda: alone.make(prompts), "two": lambda: both.make(prompts)}
            times = taking_turns(ways, rounds=rounds, warm=0)
            first = {path.name.split(".")[0]: path for path in (alone.spool / "pictures").glob("*.png")}
            for number, path in first.items():
                path.rename(path.with_name(f"{number}.png"))
            worst = max(both.differences(alone.spool / "pictures"))
    if worst:
        raise AssertionError(f"pictures of two workers differ by {worst:.2f} of 255")
    rate = ratio(times["one"], times["two"])
    note = f"one thread each on {CORES} cores, which the front process and its files share; equal to the bit"
    return Figure(10, "two workers over one, embedded model", rate.median, "x", rate.low, rate.high, at_least=1.8, note=note)


def models_in_turn(prompts: Sequence[str], *, rounds: int) -> Figure:
    """A folder for two models in turn over one for a single model, with memory for one model only."""
    setting = demo(threads=1)
    with tempfile.TemporaryDirectory() as place:
        twin = Path(place) / "twin"
        twin.symlink_to(setting.model, target_is_directory=True)
        options = {"models": {"a": setting.model, "b": str(twin)}, "compute": {"memory_gb": 0.04}}
        with DaemonOn(Path(place) / "daemon", setting, **options) as daemon:
            ways = {"one": lambda: daemon.make(prompts), "two": lambda: daemon.make(prompts, models=["a", "b"])}
            daemon.make(prompts[:4], models=["a", "b"])
            times = taking_turns(ways, rounds=rounds, warm=0)
    found = ratio(times["two"], times["one"])
    note = f"{len(prompts)} prompts, alternating; memory_gb holds one of the two"
    return Figure(6, "two models in turn over one model", found.median, "x", found.low, found.high, at_most=1.25, note=note)


def figures() -> Iterator[Figure]:
    """Item 10, and the models of item 6."""
    yield with_two_workers(PROMPTS[:16], rounds=2)
    yield models_in_turn(PROMPTS[:16], rounds=2)


if __name__ == "__main__":
    run(figures)
