"""A folder of prompts on another machine, and what happens on the way: its worker is killed, the cable is cut, it dies.

Needs root. The two machines are network namespaces with a cable between them and a real sshd (`tests/real/hosts.py`), the model is
the embedded one, and all share the processors of this machine. Each time all prompts must have become a picture once, equal to the
bit to those of a daemon that computes here, with nothing in failed/; else this fails. `--engine` is how the other one is reached:
by ssh, or as a node of a Ray cluster, of which the one here is the head (`tests/real/ray_hosts.py`).
"""

import argparse
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from benchmarks.figures import Figure, run
from daemon.compute.addresses import LOCAL
from daemon.compute.placement import RAY
from tests.conftest import wait_until
from tests.real.far_daemon import FarDaemon, Pictures, made_once, pictures_of
from tests.real.hosts import ADDRESS, Hosts
from tests.real.ray_hosts import RayHosts
from tests.running_daemon import RunningDaemon

ITEM = 24
PROMPTS = [f"{seed:02}" for seed in range(20)]
# So many pictures are there when it happens.
BEFORE = 4
CUT_SECONDS = 40.0
LONGEST_SECONDS = 600.0
SETTINGS: dict[str, object] = {"defaults": {"steps": 12}}
WORKER = "daemon.compute.worker"
SSH = "ssh"


@dataclass(frozen=True)
class Event:
    """Something that happens to the other machine in the middle of the work of these `places`."""

    what: str
    places: Sequence[str]
    happen: Callable[[Hosts], object]
    at_most: float | None = None


def _cut_and_mend(hosts: Hosts) -> None:
    hosts.cut()
    time.sleep(CUT_SECONDS)
    hosts.mend()


EVENTS = [
    Event("nothing happens", [ADDRESS], lambda _: None, at_most=1.25),
    Event("its worker is killed", [ADDRESS], lambda hosts: hosts.kill_program(WORKER)),
    Event(f"the cable is cut for {CUT_SECONDS:.0f} s", [ADDRESS], _cut_and_mend),
    Event("it dies, and one worker here goes on", [LOCAL, ADDRESS], lambda hosts: hosts.kill()),
]


def made(daemon: RunningDaemon, name: str, happen: Callable[[], object] = lambda: None) -> float:
    """Let a warm daemon make all pictures while something happens; the seconds from the first claim to the last picture."""
    inbox, before = daemon.spool / "inbox/1-text", len(_pictures(daemon))
    for stem in PROMPTS:
        daemon.drop("inbox/1-text", f"{name}-{stem}.txt", f"---\nseed: {int(stem)}\n---\na red house in a meadow, number {stem}")
    wait_until(lambda: len(list(inbox.glob("*.txt"))) < len(PROMPTS), what="the first is claimed")
    began = time.perf_counter()
    daemon.found("pictures/*.png", count=before + BEFORE, seconds=LONGEST_SECONDS)
    happen()
    daemon.found("pictures/*.png", count=before + len(PROMPTS), seconds=LONGEST_SECONDS)
    return time.perf_counter() - began


@contextmanager
def warm(daemon: RunningDaemon) -> Iterator[RunningDaemon]:
    """A daemon that has made a picture; at its end each of its prompts must have become one, and nothing may have failed."""
    daemon.start()
    try:
        daemon.drop("inbox/1-text", "warm.txt", "---\nseed: 99\n---\na warm house")
        daemon.found("pictures/warm.*.png", seconds=LONGEST_SECONDS)
        yield daemon
        wait_until(lambda: not any((daemon.spool / ".work").iterdir()), what="all is archived")
        made_once(daemon.spool, [path.name.split(".")[0] for path in _pictures(daemon)])
    finally:
        daemon.stop()
        daemon.close()


def figures(*, engine: str = SSH) -> Iterator[Figure]:
    """Item 24."""
    if os.geteuid() != 0:
        sys.exit("benchmarks.machines: only root may have a second machine inside of this one; run it as root")
    with tempfile.TemporaryDirectory() as place, warm(RunningDaemon(_made(Path(place) / "here"), **SETTINGS)) as here:
        for number, event in enumerate(EVENTS):
            name = f"event{number}"
            local = made(here, name)
            with (
                _hosts(engine, event) as hosts,
                warm(FarDaemon(_made(Path(place) / name), hosts, places=event.places, **SETTINGS)) as daemon,
            ):
                seconds = made(daemon, name, lambda: event.happen(hosts))  # noqa: B023
            _must_equal(pictures_of(daemon.spool), pictures_of(here.spool), [f"{name}-{stem}" for stem in PROMPTS])
            note = f"{seconds:.1f} s beside {local:.1f}; {len(PROMPTS)} of {len(PROMPTS)} once, equal to the bit, none failed"
            what = f"{len(PROMPTS)} prompts by {engine} on another machine; {event.what}"
            yield Figure(ITEM, what, seconds / local, "x", at_most=event.at_most, note=note)


def _pictures(daemon: RunningDaemon) -> list[Path]:
    return list((daemon.spool / "pictures").glob("*.png"))


def _must_equal(found: Pictures, expected: Pictures, stems: Sequence[str]) -> None:
    """Raise AssertionError where the pictures of some prompts differ."""
    differing = [stem for stem in stems if not np.array_equal(found[stem], expected[stem])]
    if differing:
        raise AssertionError(f"pictures differ: {differing}")


def _hosts(engine: str, event: Event) -> Hosts:
    try:
        return RayHosts(event.places.count(LOCAL)) if engine == RAY else Hosts()
    except pytest.skip.Exception as error:
        sys.exit(f"benchmarks.machines: {error}")


def _made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("--engine", choices=(SSH, RAY), default=SSH)
    given, rest = parser.parse_known_args()
    sys.argv[1:] = rest
    run(lambda: figures(engine=given.engine))


if __name__ == "__main__":
    main()
