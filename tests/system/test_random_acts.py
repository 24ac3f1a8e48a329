"""A member of the group who renames, links and exchanges at random all that she reaches, while jobs run.

The folders are laid out as 0.1.0 did, so that she reaches all of them. Nothing outside of the spool is touched, a stop is obeyed,
and when root has put the folders back, every job is exact whose files she left alone.
"""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import tiffsd
from tests.conftest import wait_until
from tests.system.aimed import Aimed, aim
from tests.system.canaries import VICTIM
from tests.system.installed import SPOOL, Installed
from tests.system.putting_right import Layout

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

ACTS = 1000
ROUNDS = 2
SECONDS = 20  # of all acts together
JOBS = 5  # of a round
SEED = 14
PROMPT = "---\nseed: {}\n---\na red house in a meadow at sunset"


@pytest.fixture
def aimed(installed: Installed) -> Iterator[Aimed]:
    with aim(installed) as aimed:
        aimed.begin_anew()
        yield aimed


def test_a_thousand_random_acts_touch_nothing_outside_and_no_job_that_she_left_alone(aimed: Aimed) -> None:
    undisturbed = [tensors(path) for path in made(aimed, "undisturbed", range(ROUNDS * JOBS))]
    done, finished, faults = 0, 0, list[str]()
    for part in range(ROUNDS):
        made(aimed, "warm", range(part, part + 1))  # what is to be computed is then computed at once
        layout = Layout(aimed.spool)
        for number in range(part * JOBS, (part + 1) * JOBS):
            aimed.service.drop("inbox/1-text", f"hers{number}.txt", PROMPT.format(number))
            aimed.service.drop("inbox/1-text", f"innocent{number}.txt", PROMPT.format(number))
        cursor = aimed.service.cursor()
        acts = aimed.alice("meddle", SPOOL, VICTIM, SEED + part, ACTS // ROUNDS, SECONDS / ROUNDS, module="random_acts")
        done += sum(acts.values())
        finished += aimed.said(" -> ", after=cursor)
        faults += [text for entry in aimed.service.journal(after=cursor) if "fault in tiffsd" in (text := str(entry["MESSAGE"]))]
        if part:
            layout.put_right()  # while the daemon runs: it goes on without a new start
        else:
            stop(aimed)
            layout.put_right()
            aimed.service.control("start")
    assert (done, faults) == (ACTS, [])
    assert finished >= JOBS, "jobs were to run meanwhile"

    pictures = found(aimed, "innocent", range(ROUNDS * JOBS))

    assert all(np.array_equal(before, tensors(path)) for before, path in zip(undisturbed, pictures, strict=True))
    assert aimed.canaries.harm() == []


def stop(aimed: Aimed) -> None:
    started = time.monotonic()
    aimed.service.control("stop")
    assert time.monotonic() - started < 30


def made(aimed: Aimed, stem: str, numbers: range) -> list[Path]:
    for number in numbers:
        aimed.service.drop("inbox/1-text", f"{stem}{number}.txt", PROMPT.format(number))
    return found(aimed, stem, numbers)


def found(aimed: Aimed, stem: str, numbers: range) -> list[Path]:
    """The pictures in order: exactly one of each."""
    pictures = [aimed.service.found(f"pictures/{stem}{number}.*.tiff") for number in numbers]
    wait_until(lambda: not list(aimed.spool.glob(".work/*")), what="the end of all jobs")
    assert [len(list(aimed.spool.glob(f"pictures/{stem}{number}.*.tiff"))) for number in numbers] == [1] * len(numbers)
    return [picture for (picture, *_) in pictures]


def tensors(path: Path) -> NDArray[Any]:
    return tiffsd.read(path).tensors["picture"]
