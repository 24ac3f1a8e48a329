"""Errors in the living daemon: one at any operation, or from there on until the machine is well again; and a crash after each."""

import errno
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

from daemon.spool.spool import Spool
from tests.spool.crashes import Crashes
from tests.spool.disk import ROOT, Contents, Disk
from tests.spool.invariants import check_always, check_end
from tests.spool.stories import FOLDERS, Story, go_on

CODES = {code: errno.errorcode[code] for code in (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EACCES, errno.EROFS, errno.ESTALE)}
CHANGES = frozenset({"mkdir", "create", "write", "fsync", "fsync_folder", "rename", "rename_noreplace", "unlink", "rmdir"})
MAY_BE_LATE = CHANGES - {"create"}  # done, and reported as failed: an answer that a network lost
WHEN_LOOKING = (errno.EIO, errno.EACCES, errno.ESTALE)
ON_A_FULL_DISK = frozenset({"mkdir", "create", "write", "fsync"})  # the rest needs no room
# While the code lasts, these operations fail; the others of `CODES` are met once.
LASTING = {errno.ENOSPC: ON_A_FULL_DISK, errno.EROFS: CHANGES, errno.EIO: CHANGES | {"list", "kinds", "lstat", "read"}}


@dataclass
class Fault:
    """An error at operation `number` of a disk, at all such from there on (`lasts`), or after the operation was done (`late`)."""

    code: int
    number: int
    lasts: bool = False
    late: bool = False
    met: int = 0
    well: bool = False

    def install(self, disk: Disk) -> None:
        calls = 0

        def before(name: str, _args: tuple[Any, ...]) -> None:
            nonlocal calls
            calls += 1
            if not self.late and self._strikes(calls, name):
                self._strike()

        def after(name: str, _args: tuple[Any, ...]) -> None:
            if self.late and calls == self.number and name in MAY_BE_LATE:
                self._strike()

        disk.before, disk.after = before, after

    def _strikes(self, calls: int, name: str) -> bool:
        if self.well:
            return False
        return calls >= self.number and name in LASTING[self.code] if self.lasts else calls == self.number

    def _strike(self) -> None:
        self.met += 1
        raise OSError(self.code, os.strerror(self.code))


def faults(story: Story) -> Iterator[Fault]:
    """Every fault that can begin at an operation of the story's first life; a look at the disk cannot fail for want of room."""
    disk = story.world()
    names: list[str] = []
    disk.before = lambda name, _args: names.append(name)
    go_on(story, Spool(ROOT, FOLDERS, fs=disk, max_attempts=story.max_attempts), disk, way=story.ways[0])
    for number, name in enumerate(names, 1):
        if name not in CHANGES:
            yield from (Fault(code, number) for code in WHEN_LOOKING)
            continue
        yield from (Fault(code, number) for code in CODES)
        yield from (Fault(code, number, lasts=True) for code, struck in LASTING.items() if name in struck)
        yield from [Fault(errno.EIO, number, late=True)] if name in MAY_BE_LATE else []


def survive(story: Story, contents: Contents, fault: Fault) -> Contents | None:
    """A daemon meets the fault and lives on, the machine gets well, all ends well; what was left in between, None if not met."""
    disk = Disk(contents)
    spool = Spool(ROOT, FOLDERS, fs=disk, max_attempts=story.max_attempts)
    fault.install(disk)
    _try(story, spool, disk)
    if fault.lasts:
        _try(story, spool, disk)  # the daemon looks again before the machine is well
    fault.well = True
    assert disk.open_files == 0, "a file was left open"
    if not fault.met:
        return None
    between = disk.contents.copy()
    check_always(story, between.paths())
    go_on(story, spool, disk, way=story.last)
    check_end(story, disk.contents.paths())
    return between


def _try(story: Story, spool: Spool, disk: Disk) -> None:
    try:
        go_on(story, spool, disk, way=story.ways[0])
    except OSError:
        return


class Faults:
    """Every fault at every operation of a story's first life, survived; then a crash after each, and one in what follows it."""

    def __init__(self, story: Story) -> None:
        self.story = story
        self.survived = 0
        self.crashes = Crashes(story, most=2)

    def try_all(self, *, every: int = 1) -> "Faults":
        """`every` leaves out all faults but each such one."""
        world = self.story.world().contents
        chosen = islice(faults(self.story), 0, None, every)
        left = [between for fault in chosen if (between := survive(self.story, world, fault)) is not None]
        self.survived = len(left)
        self.crashes.explore(left, crashes=1)
        return self
