"""The disks that a power cut can leave, and the spool started on each of them; with any one fsync left out, if asked.

Two kinds of filesystem. `ordered` keeps the order of changes (ext4, XFS): a cut leaves all of them up to some moment, and that is
not before the last one that was synced. `unordered` keeps what was synced and any choice of the rest. In both a rename happens or
does not, and content that was not synced is there, empty, or half there. Of changes that were not synced, all but the `CHOICES`
newest are kept or lost together.

To sync the folder that a file has left changes nothing in either. The daemon does so all the same where it does not know its
filesystem to keep the order of changes: one that writes the two ends of a rename apart must have let the old name go before the
next step trusts the new one. And it syncs `back.N`, which no story
here misses, so that the halves of a drop never come back under two numbers.
"""

from collections.abc import Callable, Collection, Iterator
from itertools import product
from pathlib import Path
from typing import Any, BinaryIO

from tests.spool.disk import Contents, Disk, Key
from tests.spool.invariants import check_always, check_end
from tests.spool.stories import Story, live

CHOICES = 8

Cut = Callable[[Disk], Iterator[Contents]]


def ordered(disk: Disk) -> Iterator[Contents]:
    """What a cut now leaves where the order of changes is kept."""
    floor = max(disk.synced_changes, default=-1) + 1
    for end in range(floor, len(disk.journal) + 1):
        yield from _torn(disk, _replayed(disk, range(end)))


def unordered(disk: Disk) -> Iterator[Contents]:
    """What a cut now leaves where every change that was not synced may be missing."""
    loose = [number for number in range(len(disk.journal)) if number not in disk.synced_changes]
    old, new = loose[:-CHOICES], loose[-CHOICES:]
    for keeps_old, *kept in product((True, False), repeat=1 + len(new)) if old else _kept(new):
        chosen = {number for number, keep in zip(new, kept, strict=True) if keep} | (set(old) if keeps_old else set())
        numbers = [number for number in range(len(disk.journal)) if number in disk.synced_changes or number in chosen]
        yield from _torn(disk, _replayed(disk, numbers))


def _kept(new: list[int]) -> Iterator[tuple[bool, ...]]:
    return ((True, *kept) for kept in product((True, False), repeat=len(new)))


def _replayed(disk: Disk, numbers: Any) -> Contents:
    contents = disk.base.copy()
    places = {inode: (folder, name) for folder, names in contents.folders.items() for name, inode in names.items()}
    for change in (disk.journal[number] for number in numbers):
        folder, name = places.pop(change.inode, (-1, ""))
        if contents.folders.get(folder, {}).get(name) == change.inode:
            del contents.folders[folder][name]
        if change.inode in disk.contents.folders:
            contents.folders.setdefault(change.inode, {})
        if change.target:
            contents.folders.setdefault(change.target[0], {})[change.target[1]] = change.inode
            places[change.inode] = change.target
    return contents


def _torn(disk: Disk, contents: Contents) -> Iterator[Contents]:
    """The files in three ways, which differ where content was not synced: as written, empty, half."""
    inodes = {inode for _, inode in contents.walk() if inode in disk.contents.files}
    loose = [inode for inode in inodes if disk.synced_files.get(inode) != disk.contents.files[inode]]
    contents.files = {inode: disk.contents.files[inode] for inode in inodes}
    yield contents
    for share in (0, 2) if loose else ():
        torn = contents.copy()
        for inode in loose:
            torn.files[inode] = torn.files[inode][: len(torn.files[inode]) // share] if share else b""
        yield torn


class Unsynced(Disk):
    """A disk on which some of the daemon's fsyncs do nothing; `sites` collects what they all make durable, in its words."""

    def __init__(self, contents: Contents, *, without: Collection[str] = (), boot_id: str = "first boot") -> None:
        super().__init__(contents, boot_id=boot_id)
        self.without = without
        self.sites: set[str] = set()

    def fsync(self, file: BinaryIO, what: str) -> None:
        if self._asked(what):
            super().fsync(file, what)

    def fsync_folder(self, folder: Path, what: str) -> None:
        if self._asked(what):
            super().fsync_folder(folder, what)

    def _asked(self, what: str) -> bool:
        self.sites.add(what)
        return what not in self.without


class Cuts:
    """A power cut at every moment of a story's first life, and the next life on every disk that it can leave."""

    def __init__(self, story: Story, cut: Cut, *, without: Collection[str] = ()) -> None:
        self.story = story
        self.states: dict[tuple[Key, int], Contents] = {}
        self.bad: list[str] = []
        self.sites: set[str] = set()
        self._cut = cut
        self._without = without

    def try_all(self, beginning: Contents | None = None) -> "Cuts":
        """Cut every life that starts on this disk; the story's world if none is given."""
        for way in self.story.ways:
            disk = Unsynced(beginning or self.story.world().contents, without=self._without)
            self._watch(disk)
            live(self.story, disk, way=way)
            self._cut_now(disk)
            self.sites |= disk.sites
        return self

    def _watch(self, disk: Unsynced) -> None:
        version = -1

        def look(_name: str, _args: tuple[Any, ...]) -> None:
            nonlocal version
            if version != disk.version:
                version = disk.version
                self._cut_now(disk)

        disk.before = look

    def _cut_now(self, disk: Disk) -> None:
        for contents in self._cut(disk):
            state = (contents.key(), disk.begun)
            if state not in self.states:
                self.states[state] = contents
                self._start_on(contents, begun=disk.begun)

    def _start_on(self, contents: Contents, *, begun: int) -> None:
        disk = Disk(contents, boot_id="next boot")
        try:
            check_always(self.story, contents.paths())
            live(self.story, disk, way=self.story.last, begun=begun)
            check_end(self.story, disk.contents.paths(), may_fail=self.story.max_attempts == 1)
        except (AssertionError, RuntimeError, OSError) as error:
            self.bad.append(f"{error}")
