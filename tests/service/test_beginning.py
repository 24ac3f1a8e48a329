"""The wait for a machine that is at fault at the start, with a bell that is heard and not waited for."""

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.errors import AnotherDaemon, MachineError, SpoolError
from daemon.service.beginning import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, take, take_patiently, when_the_machine_lets
from daemon.service.wake import Bell
from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Spool
from tests.spool.stories import FOLDERS


class Heard(Bell):
    """A bell whose waits are counted, and over at once."""

    def __init__(self) -> None:
        super().__init__()
        self.waits: list[float] = []

    def sleep_until(self, due: float) -> bool:
        self.waits.append(due - time.monotonic())
        return False


def failing(*errors: Exception) -> Callable[[], None]:
    """An act that raises one after the other, and then succeeds."""
    left: Iterator[Exception] = iter(errors)

    def act() -> None:
        for error in left:
            raise error

    return act


def never() -> bool:
    return False


FULL, GONE = MachineError("no room"), MachineError("the share is away")


def test_the_waits_grow_up_to_the_longest_and_each_reason_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    bell = Heard()
    with caplog.at_level(logging.INFO):
        assert when_the_machine_lets(failing(FULL, FULL, GONE, FULL, GONE, FULL), bell, never)
    assert bell.waits == pytest.approx([1, 2, 4, 8, 10, 10], abs=0.1)
    assert (FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS) == (1, 10)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [
        ("ERROR", "waiting for the machine: no room"),
        ("ERROR", "waiting for the machine: the share is away"),
        ("INFO", "the machine is well again"),
    ]


@pytest.mark.parametrize("error", [AnotherDaemon("process 1"), SpoolError("a file"), ValueError()])
def test_what_is_no_fault_of_the_machine_is_not_waited_for(error: Exception) -> None:
    bell = Heard()
    with pytest.raises(type(error)):
        when_the_machine_lets(failing(error), bell, never)
    assert bell.waits == []


def test_it_is_given_up_in_the_middle_of_a_wait() -> None:
    bell, stopped = Bell(), threading.Event()

    def act() -> None:
        threading.Thread(target=lambda: (stopped.set(), bell.ring())).start()
        raise FULL

    began = time.monotonic()
    assert not when_the_machine_lets(act, bell, stopped.is_set)
    assert time.monotonic() - began < FIRST_WAIT_SECONDS


class Full(Filesystem):
    """A disk on which no folder can be made until `well`."""

    well = False

    def mkdir(self, folder: Path) -> None:
        if not self.well:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), folder)
        super().mkdir(folder)


def test_a_spool_that_cannot_be_taken_is_nobodys_until_it_can(tmp_path: Path) -> None:
    fs = Full(tmp_path / "spool")
    spool = Spool(tmp_path / "spool", FOLDERS, fs=fs)
    with pytest.raises(MachineError, match="cannot be made or used: No space left on device; free some space there"):
        take(spool)
    Spool(tmp_path / "spool", FOLDERS).acquire()
    fs.well = True
    with pytest.raises(AnotherDaemon):
        take_patiently(spool, Heard(), never)
