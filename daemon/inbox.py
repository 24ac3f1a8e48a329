"""Which files of an inbox are ready to become jobs: a scan that looks at the folder as it is, and is the truth.

A file is ready when its name is not that of a temporary file, it is a regular file, its size and times stood still for the
settle time by the monotonic clock, and no writer holds it (a read lease; where the system cannot say, the longer settle time
counts). What is known of a file is kept by device and inode, so a rename is not news. Nothing here opens a file for its
content, and nothing is ever moved or deleted.
"""

import os
import stat
from dataclasses import dataclass, field
from pathlib import Path

from daemon import lease
from daemon.drops import Drop, Group, Mark, Member, expected, group
from daemon.names import base_of, shown
from daemon.stages import STAGES, Stage

__all__ = ["Drop", "Inbox", "Member", "Refusal", "Scan", "Waiting", "is_temporary"]

PAUSE = frozenset({"PAUSE", "PAUSE.txt"})
SIGNS = PAUSE | {"HOLD", "HOLD.txt", "README", "README.txt", "README.md"}
STALE_SECONDS = 3600.0  # a temporary file as old as this is worth mentioning

# Programs that write under one name and rename to another; only the other is a drop.
_TEMPORARY_ENDINGS = (
    *("~", ".part", ".partial", ".crdownload", ".download", ".filepart", ".tacitpart", ".tmp", ".temp", ".swp", ".swo", ".swx"),
    *(".uploading", ".!ut", ".aria2", ".opdownload", ".!sync"),
)
_TEMPORARY_STARTS = (".", "~")
_TEMPORARY_NAMES = frozenset({"4913", "thumbs.db", "desktop.ini", "@eadir", "__macosx", "lost+found"})


@dataclass(frozen=True, slots=True)
class Refusal:
    """A drop that the stage cannot take, and the sentence that says why and what to do."""

    drop: Drop
    sentence: str


@dataclass(frozen=True, slots=True)
class Waiting:
    """A file that stays where it is for now, and why."""

    name: str
    reason: str


@dataclass(slots=True)
class Scan:
    """What one look at an inbox found; `due` is the monotonic time from which another can find more, None if only an event can."""

    ready: list[Drop] = field(default_factory=list)
    refused: list[Refusal] = field(default_factory=list)
    waiting: list[Waiting] = field(default_factory=list)
    paused: bool = False
    due: float | None = None

    def wait(self, name: str, reason: str, due: float | None = None) -> None:
        """Note a file that is not ready."""
        self.waiting.append(Waiting(name, reason))
        if due is not None:
            self.due = due if self.due is None else min(self.due, due)


@dataclass(slots=True)
class _Seen:
    """What is known of one inode: what it was like, since when, when it came, and that no writer held it since."""

    mark: Mark
    mode: int
    since: float
    arrived: tuple[float, int]
    free: bool = False


class _NotYet(Exception):
    """The file may still change; `due` is when a look at the clock alone could change that."""

    def __init__(self, reason: str, due: float | None = None) -> None:
        super().__init__(reason)
        self.due = due


class Inbox:
    """One stage's inbox. Times are seconds of the monotonic clock.

    `settle_seconds` is how long a file must stand still when a lease shows that nobody writes it, `settle_unleased_seconds`
    when the system cannot say, `empty_grace_seconds` how long an empty file may stay empty before it is refused.
    """

    def __init__(
        self,
        stage: Stage,
        folder: Path,
        *,
        settle_seconds: float,
        settle_unleased_seconds: float,
        empty_grace_seconds: float,
    ) -> None:
        self.stage = stage
        self.folder = folder
        self._settle_seconds = settle_seconds
        self._unleased_seconds = max(settle_seconds, settle_unleased_seconds)
        self._empty_grace_seconds = empty_grace_seconds
        self._seen: dict[tuple[int, int], _Seen] = {}
        self._ignored: dict[tuple[str, int], float] = {}
        self._grouped: tuple[list[str], tuple[list[Group], list[str]]] = ([], ([], []))

    def scan(self, now: float) -> Scan:
        """Look at the folder once. Raises OSError when the folder itself cannot be listed."""
        scan = Scan()
        files = self._look(scan, now)
        groups, alone = self._group(files)
        for found in groups:
            self._judge(scan, found, files, now)
        for name in alone:
            scan.wait(name, f"waits for the file it belongs to, {shown(expected(self.stage, name))} for example")
        if scan.paused:
            self._pause(scan)
        return scan

    def _look(self, scan: Scan, now: float) -> dict[str, _Seen]:
        """All files that could be part of a drop, by name, in order of arrival."""
        files: dict[str, _Seen] = {}
        seen: dict[tuple[int, int], _Seen] = {}
        ignored: dict[tuple[str, int], float] = {}
        with os.scandir(self.folder) as entries:
            for entry in entries:
                if entry.name in SIGNS:
                    scan.paused = scan.paused or entry.name in PAUSE
                elif is_temporary(entry.name):
                    key = (entry.name, entry.inode())
                    ignored[key] = self._ignored.get(key, now)
                elif (known := self._know(entry, now)) is None:
                    continue
                elif stat.S_ISDIR(known.mode):
                    scan.wait(entry.name, "is a folder; move the files in it here one by one")
                else:
                    files[entry.name] = seen[known.mark[:2]] = known
        self._seen, self._ignored = seen, ignored
        for (name, _inode), first in ignored.items():
            if now - first >= STALE_SECONDS:
                scan.wait(name, "has the name of a temporary file; rename it if it is meant to be used")
        return dict(sorted(files.items(), key=lambda item: (item[1].arrived, item[0])))

    def _know(self, entry: os.DirEntry[str], now: float) -> _Seen | None:
        try:
            st = entry.stat(follow_symlinks=False)
        except FileNotFoundError:
            return None  # taken away in the same moment
        mark = (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
        known = self._seen.get(mark[:2])
        if known is None:
            return _Seen(mark, st.st_mode, now, (now, st.st_ctime_ns))
        if known.mark != mark:
            return _Seen(mark, st.st_mode, now, known.arrived)
        return known

    def _group(self, files: dict[str, _Seen]) -> tuple[list[Group], list[str]]:
        names = list(files)
        if names != self._grouped[0]:
            self._grouped = (names, group(self.stage, names))
        return self._grouped[1]

    def _judge(self, scan: Scan, found: Group, files: dict[str, _Seen], now: float) -> None:
        """Put one group where it belongs: ready, refused, or waiting with its reason."""
        if found.missing:
            scan.wait(found.principal, f"waits for {shown(found.missing)}")
            return
        try:
            sentence = self._complaint(found, files, now)
            for name in found.roles.values():
                self._check_settled(name, files[name], now)
        except _NotYet as not_yet:
            scan.wait(found.principal, str(not_yet), not_yet.due)
        except FileNotFoundError:
            return  # taken away in the same moment
        except OSError as error:
            scan.wait(found.principal, f"cannot be opened by the daemon ({error.strerror}); let its group read it")
        else:
            members = tuple(Member(role, self.folder / name, files[name].mark) for role, name in found.roles.items())
            drop = Drop(members, found.stem)
            if sentence:
                scan.refused.append(Refusal(drop, sentence))
            else:
                scan.ready.append(drop)

    def _complaint(self, found: Group, files: dict[str, _Seen], now: float) -> str | None:
        """Why the stage cannot take the group, as a sentence; None if it can, as far as the folder shows."""
        for name in found.roles.values():
            if not stat.S_ISREG(files[name].mode):
                found_kind = f"{shown(name)} is {_kind(files[name].mode)}, and only files can be used"
                return f"{found_kind}; copy the file itself into inbox/{self.stage.folder}."
        name = found.principal
        if not name.lower().endswith(self.stage.extensions):
            return self._wrong_extension(name, files[name], now)
        return self._empty(found, files, now)

    def _wrong_extension(self, name: str, known: _Seen, now: float) -> str:
        extension = name[len(base_of(name)) :].lower()
        takes = " ".join(self.stage.extensions)
        instead = self.stage.instead.get(extension)
        if instead:
            place = STAGES[instead].folder
            return f"{shown(name)} is a {extension} file, and the {self.stage.name} stage takes {takes}; move it to inbox/{place}."
        # Perhaps a program's temporary name that this module does not know: time to rename it.
        if now - known.since < self._unleased_seconds:
            raise _NotYet("has a name that this stage does not know", known.since + self._unleased_seconds)
        found = f"ends in {shown(extension)}" if extension else "has no extension"
        return f"{shown(name)} {found}, and the {self.stage.name} stage takes {takes}; save it as one of these."

    def _empty(self, found: Group, files: dict[str, _Seen], now: float) -> str | None:
        for name in found.roles.values():
            known = files[name]
            if known.mark[2] == 0 and now - known.since < self._empty_grace_seconds:
                raise _NotYet(f"{shown(name)} is empty so far", known.since + self._empty_grace_seconds)
        if files[found.principal].mark[2] == 0:
            return f"{shown(found.principal)} is empty (0 bytes); save it again, or copy it again."
        return None

    def _check_settled(self, name: str, known: _Seen, now: float) -> None:
        """Raise _NotYet while the file may still change."""
        if known.free or not stat.S_ISREG(known.mode):
            return
        quiet = now - known.since
        if quiet < self._settle_seconds:
            raise _NotYet(f"{shown(name)} has only just changed", known.since + self._settle_seconds)
        written = lease.is_being_written(self.folder / name)
        if written:
            known.since = now
            raise _NotYet(f"{shown(name)} is still being written")
        if written is None and quiet < self._unleased_seconds:
            raise _NotYet(f"{shown(name)} has only just changed", known.since + self._unleased_seconds)
        known.free = True

    def _pause(self, scan: Scan) -> None:
        for drop in [*scan.ready, *(refusal.drop for refusal in scan.refused)]:
            scan.wait(drop.principal.path.name, "is ready, but the stage is paused")
        scan.ready, scan.refused = [], []


def is_temporary(name: str) -> bool:
    """Whether a name is one that programs give to files they have not finished."""
    lower = name.lower()
    return (
        lower.startswith(_TEMPORARY_STARTS)
        or lower.endswith(_TEMPORARY_ENDINGS)
        or lower in _TEMPORARY_NAMES
        or (lower.startswith("#") and lower.endswith("#"))
    )


def _kind(mode: int) -> str:
    kinds = {stat.S_IFLNK: "a symbolic link", stat.S_IFIFO: "a FIFO", stat.S_IFSOCK: "a socket"}
    return kinds.get(stat.S_IFMT(mode), "a device")
