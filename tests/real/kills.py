"""Kill the daemon at random moments under load, and count: `python -m tests.real.kills --jobs 300 --kills 100`."""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.spool.spool import Spool
from daemon.stages import STAGES
from tests.conftest import wait_until
from tests.real.fast_daemon import FastDaemon, Ledger


@dataclass
class Figures:
    """What a run did: jobs, kills, kills that caught jobs in flight, and jobs that were retried after they died twice."""

    jobs: int
    kills: int
    caught: int = 0
    retried: int = 0


def fuzz(folder: Path, *, jobs: int, kills: int, seed: int) -> Figures:
    """Drop `jobs` prompts while the daemon is killed `kills` times; raise AssertionError unless each was done exactly once."""
    rng = random.Random(seed)
    daemon = FastDaemon(folder)
    ledger = Ledger(daemon)
    figures = Figures(jobs, kills)
    try:
        for kill in range(kills):
            for number in range(kill * jobs // kills, (kill + 1) * jobs // kills):
                ledger.drop(f"cat{number}", f"cat number {number} of {seed}, very" + " very" * rng.randrange(400))
            _live_and_die(daemon, rng)
            figures.caught += any((daemon.spool / ".work").iterdir())
            figures.retried += retry_what_died_twice(daemon)
        daemon.start()
        wait_until(lambda: not any((daemon.spool / ".work").iterdir()), what="recovery is done")
        figures.retried += retry_what_died_twice(daemon)
        ledger.settle(seconds=60 + jobs)
        assert daemon.stop() == 0
    finally:
        daemon.close()
    return figures


def _live_and_die(daemon: FastDaemon, rng: random.Random) -> None:
    """One life of the daemon, of a random length: often some jobs long, sometimes not even through its start."""
    if rng.random() < 0.8:
        daemon.start()
        moment = rng.expovariate(5)
    else:
        daemon.launch()
        moment = rng.uniform(0, 1.5)
    assert daemon.process is not None
    with suppress(subprocess.TimeoutExpired):
        daemon.process.wait(timeout=moment)
        raise AssertionError(daemon.log())
    daemon.kill()


def retry_what_died_twice(daemon: FastDaemon) -> int:
    """Put back, as a person would, jobs in which two kills in a row fell: from inside they look like poison."""
    spool = Spool(daemon.spool, {stage.name: stage.folder for stage in STAGES.values()})
    reasons = ("each time the daemon ended before it was done", "was killed by signal 9")
    errors = [path for path in daemon.spool.glob("failed/*/*/error.txt") if any(reason in path.read_text() for reason in reasons)]
    died = [path.parent for path in errors]
    for folder in died:
        spool.retry(folder)
    return len(died)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        began = time.monotonic()
        figures = fuzz(Path(folder), jobs=given.jobs, kills=given.kills, seed=given.seed)
    sys.stdout.write(
        f"{figures.jobs} jobs, {figures.kills} SIGKILLs, {figures.caught} of them with jobs in flight, "
        f"{figures.retried} jobs that died twice retried, each done once, bytes exact; {time.monotonic() - began:.0f} s\n"
    )


if __name__ == "__main__":
    main()
