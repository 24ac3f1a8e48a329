"""The wait for a machine that is at fault at the start, with an event that is heard and not waited for."""

import errno
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from daemon.errors import AnotherDaemon, MachineError, SpoolError
from daemon.service.startup import FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS, acquire, acquire_when_possible, retry_until_possible
from daemon.service.wake import WakeEvent
from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Spool
from tests.spool.stories import FOLDERS


class Heard(WakeEvent):
    """An event whose waits are counted, and over at once."""

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
    wake = Heard()
    with caplog.at_level(logging.INFO):
        assert retry_until_possible(failing(FULL, FULL, GONE, FULL, GONE, FULL), wake, never)
    assert wake.waits == pytest.approx([1, 2, 4, 8, 10, 10], abs=0.1)
    assert (FIRST_WAIT_SECONDS, LONGEST_WAIT_SECONDS) == (1, 10)
    said = [(record.levelname, record.getMessage()) for record in caplog.records]
    assert said == [
        ("ERROR", "cannot start yet, will retry: no room"),
        ("ERROR", "cannot start yet, will retry: the share is away"),
        ("INFO", "the system error is over, starting"),
    ]


@pytest.mark.parametrize("error", [AnotherDaemon("process 1"), SpoolError("a file"), ValueError()])
def test_what_is_no_fault_of_the_machine_is_not_waited_for(error: Exception) -> None:
    wake = Heard()
    with pytest.raises(type(error)):
        retry_until_possible(failing(error), wake, never)
    assert wake.waits == []


def test_it_is_given_up_in_the_middle_of_a_wait() -> None:
    wake, stopped = WakeEvent(), threading.Event()

    def act() -> None:
        threading.Thread(target=lambda: (stopped.set(), wake.set())).start()
        raise FULL

    began = time.monotonic()
    assert not retry_until_possible(act, wake, stopped.is_set)
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
        acquire(spool)
    Spool(tmp_path / "spool", FOLDERS).acquire()
    fs.well = True
    with pytest.raises(AnotherDaemon):
        acquire_when_possible(spool, Heard(), never)
