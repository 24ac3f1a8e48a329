"""Every state that crashes can leave, however many and wherever, each carried on from in every way the story knows.

A life is run once from each state that differs, with a copy of the disk taken before each of its operations: those copies are the
states that a crash there would leave. So all crashes, all pairs (a crash, then one in the recovery), and all longer chains are
covered when no new state comes any more.
"""

from collections import deque
from collections.abc import Collection
from typing import Any

from daemon.spool.spool import Spool
from tests.spool.disk import ROOT, Contents, Disk, Key
from tests.spool.invariants import check_always, check_end
from tests.spool.stories import FOLDERS, Story, Task, live


class Crashes:
    """The states of one story; `explore` raises AssertionError at the first that is bad. `deleted` is what a person took away, and
    `but` the tasks whose files one has moved."""

    def __init__(self, story: Story, *, most: int = 2, deleted: Collection[bytes] = (), but: Collection[Task] = ()) -> None:
        self.story = story
        self.most = most
        self.deleted = deleted
        self.but = but
        self.first_steps: list[Key] = []
        self.steps_of: dict[Key, int] = {}
        self.met: dict[Key, Contents] = {}
        self._crashes: dict[Key, int] = {}
        self._queue: deque[Key] = deque()

    @property
    def states(self) -> int:
        """How many different disks were met, each of which was lived on from to a good end."""
        return len(self.met)

    @property
    def pairs(self) -> int:
        """How many pairs of a crash in the first life and one in the second there are; each led to a state that was looked at."""
        return sum(self.steps_of.get(key, 0) for key in self.first_steps)

    def explore(self, beginnings: Collection[Contents], *, crashes: int = 0) -> None:
        """Live on from these contents of the disk, which so many crashes have left, and from all that crashes leave after them."""
        for contents in beginnings:
            self._meet(contents.key(), contents, crashes)
        while self._queue:
            key = self._queue.popleft()
            contents = self.met[key]
            self._check_recovery_can_be_repeated(contents)
            for way in self.story.ways:
                met = self._live(contents, way, crashes=self._crashes[key])
                if way == self.story.last:
                    self.steps_of[key] = len(met)
                self.first_steps = self.first_steps or met

    def _meet(self, key: Key, contents: Contents, crashes: int) -> None:
        if key not in self._crashes:
            check_always(self.story, contents.paths(), deleted=self.deleted)
            self._crashes[key] = crashes
            self.met[key] = contents
            self._queue.append(key)

    def _live(self, contents: Contents, way: str, *, crashes: int) -> list[Key]:
        disk = Disk(contents)
        met: list[Key] = []
        version = -1

        def look(_name: str, _args: tuple[Any, ...]) -> None:
            nonlocal version
            if disk.version == version:
                met.append(met[-1])
                return
            version = disk.version
            key = disk.contents.key()
            met.append(key)
            if crashes < self.most and key not in self._crashes:
                self._meet(key, disk.contents.copy(), crashes + 1)

        disk.before = look
        live(self.story, disk, way=way)
        look("end", ())
        if way == self.story.last:
            may_fail = crashes >= self.story.max_attempts
            check_end(self.story, disk.contents.paths(), deleted=self.deleted, may_fail=may_fail, but=self.but)
        assert disk.open_files == 0
        return met

    def _check_recovery_can_be_repeated(self, contents: Contents) -> None:
        disk = Disk(contents)
        first = Spool(ROOT, FOLDERS, fs=disk, max_attempts=self.story.max_attempts).recover()
        between = disk.contents.key()
        second = Spool(ROOT, FOLDERS, fs=disk, max_attempts=self.story.max_attempts).recover()
        assert (first, between) == (second, disk.contents.key())
