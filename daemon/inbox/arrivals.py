"""The files of one folder as they come: what each was like, since when it stands still, and in which order they arrived.

A look costs one listing. A file is examined when it is new and until it stood still for the settle time; after that it is left
alone until somebody wants to use it and calls `examined`, so that a hundred thousand waiting files cost next to nothing. What is
known goes by name and inode: a rename is not news.
"""

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from daemon.beneath import Beneath
from daemon.inbox.grouping import Mark
from daemon.inbox.telling_names import conflict_of, is_housekeeping, is_temporary, sign_of
from daemon.layout import PAUSE_SIGN

OwnerOf = Callable[[os.stat_result], int | None]


def is_private_elsewhere(mode: int, links: int) -> bool:
    """Whether a file of this mode has another name somewhere, and not everybody may read it."""
    return links > 1 and stat.S_ISREG(mode) and not mode & stat.S_IROTH


@dataclass(slots=True)
class Arrival:
    """One file: what it was like, since when, when it came, whose it is, whether its name ties it to others, that no writer held
    it since."""

    mark: Mark
    mode: int
    links: int
    since: float
    arrived: tuple[float, int]
    owner: int | None
    tied: bool
    free: bool = False

    @property
    def private_elsewhere(self) -> bool:
        """Whether it has another name somewhere, and not everybody may read it: whoever put it here perhaps may not."""
        return is_private_elsewhere(self.mode, self.links)

    @property
    def empty(self) -> bool:
        """Whether it has no content."""
        return self.mark[2] == 0


@dataclass(slots=True)
class Look:
    """What one listing found: files in order of arrival, those of them that are tied, folders, the sign that each name is, since
    when each temporary file lies there, and of which file each copy of a conflict was made."""

    files: dict[str, Arrival] = field(default_factory=dict)
    tied: set[str] = field(default_factory=set)
    folders: list[str] = field(default_factory=list)
    temporary: dict[str, float] = field(default_factory=dict)
    conflicts: dict[str, str] = field(default_factory=dict)
    signs: dict[str, str] = field(default_factory=dict)

    @property
    def paused(self) -> bool:
        """Whether a person has put the sign there that lets the stage rest."""
        return PAUSE_SIGN in self.signs.values()


class Arrivals:
    """The arrivals of one folder, reached as `beneath` says. `is_tied` tells of a name whether it may belong to other files,
    `owner_of` whose a file is. Times are monotonic seconds."""

    def __init__(
        self, folder: Path, beneath: Beneath, *, settle_seconds: float, is_tied: Callable[[str], bool], owner_of: OwnerOf
    ) -> None:
        self._folder, self._beneath = folder, beneath
        self._settle_seconds = settle_seconds
        self._is_tied, self._owner_of = is_tied, owner_of
        self._last, self._open = Look(), -1
        self.changed: dict[str, Arrival] = {}  # new, or not what they were; whoever wants to know empties it

    @contextmanager
    def opened(self) -> Iterator[None]:
        """Within the block the folder is open, so that the way to it is gone once. Raises OSError where that cannot be done."""
        with self._beneath.folder(self._folder, os.O_RDONLY) as folder:
            self._open = folder
            try:
                yield
            finally:
                self._open = -1  # its number may soon be that of another folder

    def look(self, now: float) -> Look:
        """List the open folder once. Raises OSError where that cannot be done."""
        look = Look()
        before = self._last.files
        here: set[str] = set()
        fresh: dict[str, Arrival] = {}
        with os.scandir(self._open) as entries:
            for entry in entries:
                known = before.get(entry.name)
                if known is None or known.mark[1] != entry.inode() or now < known.since + self._settle_seconds:
                    known = self._meet(look, entry, known, now, fresh)
                if known is not None:
                    here.add(entry.name)
        self._admit(look, here, fresh)
        self._last = look
        return look

    def examined(self, name: str, now: float) -> Arrival:
        """A file of the last look, as it is in the open folder at this moment. Raises FileNotFoundError when it has gone."""
        before = self._last.files[name]
        known = self._arrival(name, os.stat(name, dir_fd=self._open, follow_symlinks=False), before, now)
        if known is not before:
            self._last.files[name] = self.changed[name] = known
        return known

    def _meet(
        self, look: Look, entry: os.DirEntry[str], known: Arrival | None, now: float, fresh: dict[str, Arrival]
    ) -> Arrival | None:
        """Sort in a name that is new or may have changed; the record of a file that keeps its place, else None."""
        name = entry.name
        if sign := sign_of(name):
            look.signs[name] = sign
        elif is_housekeeping(name):
            pass
        elif original := conflict_of(name):
            look.conflicts[name] = original
        elif is_temporary(name):
            look.temporary[name] = self._last.temporary.get(name, now)
        elif entry.is_dir(follow_symlinks=False):
            look.folders.append(name)
        else:
            with suppress(FileNotFoundError):  # taken away in the same moment
                seen = self._arrival(name, entry.stat(follow_symlinks=False), known, now)
                if seen is not known:
                    self.changed[name] = seen
                if known is not None and seen.arrived is known.arrived:
                    self._last.files[name] = seen
                    return seen
                fresh[name] = seen
        return None

    def _arrival(self, name: str, st: os.stat_result, known: Arrival | None, now: float) -> Arrival:
        mark = (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
        if known is None or known.mark[:2] != mark[:2]:
            arrived = (now, st.st_ctime_ns)
            return Arrival(mark, st.st_mode, st.st_nlink, now, arrived, self._owner_of(st), self._is_tied(name))
        if known.mark == mark:
            return known
        return Arrival(mark, st.st_mode, st.st_nlink, now, known.arrived, self._owner_of(st), known.tied)

    def _admit(self, look: Look, here: set[str], fresh: dict[str, Arrival]) -> None:
        """Put the files in order of arrival; those that were in order already cost no sorting."""
        before = self._last.files
        look.files, gone = before, {}
        if len(here) < len(before):
            look.files = {name: known for name, known in before.items() if name in here}
            # A rename leaves size and mtime; the inode alone may have been used again.
            gone = {known.mark[:4]: known.arrived for name, known in before.items() if name not in here} if fresh else {}
        renamed = [seen for seen in fresh.values() if seen.mark[:4] in gone]
        for seen in renamed:
            seen.arrived = gone[seen.mark[:4]]
        look.files.update(sorted(fresh.items(), key=_place))
        if renamed:
            look.files = dict(sorted(look.files.items(), key=_place))
        look.tied = (self._last.tied & here) | {name for name, seen in fresh.items() if seen.tied}


def _place(item: tuple[str, Arrival]) -> tuple[tuple[float, int], str]:
    """Where a file stands in the order of arrival; names decide between files of one instant."""
    return item[1].arrived, item[0]


def described_type(mode: int) -> str:
    """What a thing that is no file is, in words."""
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
