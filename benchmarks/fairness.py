"""How long one person's first file waits behind a thousand of another's at each stage: in jobs, not in seconds.

`python -m benchmarks.fairness`, as root, which alone may give files away. The daemon runs as it does for people, and says with -v
whom it claims and what is done.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.figures import Figure, run
from daemon.stages import STAGES
from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon

MANY, NEWCOMER = 40_001, 40_002  # user ids that nobody has
BACKLOG = 1000
CLAIMED = re.compile(r"^(\w+) (\S+): claimed$", re.MULTILINE)
DONE = re.compile(r"^(\w+) (\S+) -> ", re.MULTILINE)
SIZE = {"width": 256, "height": 256, "steps": 8}  # jobs that take longer than their files


@dataclass(frozen=True)
class Wait:
    """The claims of others' files before the newcomer's prompt had its own, and of each stage before her job of that stage had."""

    prompt: int
    stages: dict[str, int]


def wait_of_newcomer(folder: Path, *, backlog: int, priority: int = 0) -> Wait:
    """Drop so many files of one owner at every stage, then a prompt of another; how long she waited for her picture."""
    daemon = RunningDaemon(folder, defaults=SIZE, watch={"settle_seconds": 0.0, "settle_unleased_seconds": 0.0})
    specimens = _specimens(folder, priority)
    for stage, specimen in specimens.items():
        for number in range(backlog):
            _put(daemon.spool, stage, f"many{number:04}{specimen.suffix}", specimen, MANY)
    daemon.start("-v")
    try:
        wait_until(lambda: len(DONE.findall(daemon.log())) >= 3, what="the backlog is being worked off")
        prompt = folder / "newcomer.txt"
        prompt.write_text("a red house in a meadow at sunset", encoding="utf-8")
        before = len(CLAIMED.findall(daemon.log()))
        _put(daemon.spool, "text", "newcomer.txt", prompt, NEWCOMER)
        wait_until(lambda: "decode newcomer" in " ".join(map(" ".join, DONE.findall(daemon.log()))), what="her picture is done")
        return _wait(CLAIMED.findall(daemon.log())[before:])
    finally:
        daemon.close()


def _wait(claims: Sequence[tuple[str, str]]) -> Wait:
    """Claims, stage and name, from her drop on -> how many of others came first."""
    hers = [index for index, (_, name) in enumerate(claims) if name.startswith("newcomer")]
    stages, since = {}, 0
    for index in hers:
        between = Counter(stage for stage, _ in claims[since:index])
        stages[claims[index][0]] = max(between.values(), default=0)
        since = index + 1
    return Wait(hers[0], stages)


def _specimens(folder: Path, priority: int) -> dict[str, Path]:
    """One file for each stage, as the stages themselves make them."""
    prompt = folder / "one.txt"
    prompt.write_text(f"---\npriority: {priority}\n---\na blue tree in the snow at night", encoding="utf-8")
    sizes = ["-w", "256", "-he", "256", "-i", "8"]
    _tiffsd(folder, "text", "a blue tree in the snow at night", "-o", "one", *sizes)
    _tiffsd(folder, "diffuse", "one", "-o", "latents.tiff")
    _tiffsd(folder, "decode", "latents.tiff", "-o", "one.png")
    latents, noise = folder / "latents.tiff", folder / "one.tiff"
    return {"text": prompt, "diffuse": noise, "decode": latents, "encode": folder / "one.png", "invert": latents}


def _tiffsd(folder: Path, *words: str) -> None:
    subprocess.run([sys.executable, "-m", "daemon", *words], cwd=folder, check=True, capture_output=True, timeout=100)


def _put(spool: Path, stage: str, name: str, content: Path, owner: int) -> None:
    part = spool.parent / ".part"
    shutil.copyfile(content, part)
    os.chown(part, owner, owner)
    part.rename(spool / "inbox" / STAGES[stage].folder / name)


def figures() -> Iterator[Figure]:
    """Waits behind files of equal priority, and behind such of the highest."""
    if os.geteuid() != 0:
        sys.exit("benchmarks.fairness: only root may give files to others; run it as root")
    for priority in (0, 100):
        with tempfile.TemporaryDirectory() as place:
            wait = wait_of_newcomer(Path(place), backlog=BACKLOG, priority=priority)
        behind = f"{BACKLOG} files of another at every stage, priority {priority}"
        note = ", ".join(f"{stage} {jobs}" for stage, jobs in wait.stages.items())
        yield Figure(14, f"claims before a newcomer's prompt; {behind}", wait.prompt, at_most=4)
        yield Figure(14, f"jobs of one stage before hers; {behind}", max(wait.stages.values()), at_most=4, note=note)


if __name__ == "__main__":
    run(figures)
