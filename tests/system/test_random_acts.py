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
from tests.system.attacks import JOBS, NUMBERED, acts_at_random
from tests.system.installed import Installed
from tests.system.putting_right import Layout

pytestmark = [pytest.mark.system, pytest.mark.thorough, pytest.mark.slow, pytest.mark.timeout(300)]

ROUNDS = 2  # of 500 acts each


@pytest.fixture
def aimed(installed: Installed) -> Iterator[Aimed]:
    with aim(installed) as aimed:
        aimed.begin_anew()
        yield aimed


def test_a_thousand_random_acts_touch_nothing_outside_and_no_job_that_she_left_alone(aimed: Aimed) -> None:
    everyone = range(ROUNDS * JOBS)
    undisturbed = [pixels(path) for path in made(aimed, "undisturbed", everyone)]
    cursor, finished = aimed.service.cursor(), 0
    for part in range(ROUNDS):
        made(aimed, "warm", range(part, part + 1))  # what is to be computed is then computed at once
        layout, before = Layout(aimed.spool), aimed.service.cursor()
        assert acts_at_random(aimed, numbers=everyone[part * JOBS : (part + 1) * JOBS]) == []
        finished += aimed.said(" -> ", after=before)
        if part:
            layout.put_right()  # while the daemon runs: it goes on without a new start
        else:
            stop(aimed)
            layout.put_right()
            aimed.service.control("start")
    assert finished >= JOBS, "jobs were to run meanwhile"

    pictures = found(aimed, "innocent", everyone)

    assert all(np.array_equal(before, pixels(path)) for before, path in zip(undisturbed, pictures, strict=True))
    assert aimed.canaries.harm() == []
    assert aimed.said("internal error in tiffsd", after=cursor) == 0


def stop(aimed: Aimed) -> None:
    started = time.monotonic()
    aimed.service.control("stop")
    assert time.monotonic() - started < 30


def made(aimed: Aimed, stem: str, numbers: range) -> list[Path]:
    for number in numbers:
        aimed.service.drop("inbox/1-text", f"{stem}{number}.txt", NUMBERED.format(number))
    return found(aimed, stem, numbers)


def found(aimed: Aimed, stem: str, numbers: range) -> list[Path]:
    """The pictures in order: exactly one of each."""
    for number in numbers:
        aimed.service.found(f"pictures/{stem}{number}.*.tiff")
    wait_until(lambda: not list(aimed.spool.glob(".work/*")), what="the end of all jobs")
    pictures = [list(aimed.spool.glob(f"pictures/{stem}{number}.*.tiff")) for number in numbers]
    assert [len(found) for found in pictures] == [1] * len(numbers)
    return [path for (path,) in pictures]


def pixels(path: Path) -> NDArray[Any]:
    return tiffsd.read(path).tensors["picture"]
