"""A disk in memory that answers as Linux does, can be copied at any moment, and remembers what a power cut may take from it.

`test_disk.py` holds it against the kernel. A change of a folder is durable once that folder was synced, the content of a file once
the file was; `power.py` makes of it the disks that a cut can leave.

The daemon's operations walk as `daemon/beneath.py` does: through no link, and not into a folder of its own in which others may
write. An operation is one moment, but for a rename, whose two walks may differ. Were the steps of a walk moments too, with one act
of somebody else's among them, all would end as it does before the act or after it: what a descriptor has reached is the same
folder whatever becomes of its name.

Others have their turn within `by`: a member of the group walks to wherever she likes but into what is the daemon's alone, and makes
links and FIFOs, and exchanges; root may do everything. What they do is durable at once, and so is all that was done before: no
power is cut where they are.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, cast

from daemon.beneath import FolderMissing
from daemon.layout import PRIVATE, mode_for
from daemon.spool.filesystem import Filesystem

ROOT = Path("/spool")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TOP = 0  # the inode of the root folder
DAEMON, MEMBER, ROOT_USER = "daemon", "member", "root"

Key = tuple[tuple[str, bytes | str | None], ...]
Look = Callable[[str, tuple[Any, ...]], None]  # is told the operation and its arguments


def look_away(_name: str, _args: tuple[Any, ...]) -> None:
    return


@dataclass(frozen=True)
class Change:
    """A name that appeared (`source` is None), moved, or went (`target` is None), for one inode; a place is a folder and a name."""

    inode: int
    source: tuple[int, str] | None
    target: tuple[int, str] | None


@dataclass
class Contents:
    """Folders and files by inode, links with where they lead, FIFOs; and the folders that a member made, or may write in."""

    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {TOP: {}})
    files: dict[int, bytes] = field(default_factory=dict)
    links: dict[int, str] = field(default_factory=dict)
    fifos: set[int] = field(default_factory=set)
    theirs: set[int] = field(default_factory=set)
    shared: set[int] = field(default_factory=set)

    def copy(self) -> "Contents":
        folders = {inode: dict(names) for inode, names in self.folders.items()}
        return Contents(folders, dict(self.files), dict(self.links), set(self.fifos), set(self.theirs), set(self.shared))

    def walk(self, folder: int = TOP, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Every path below a folder, with its inode."""
        for name, inode in self.folders[folder].items():
            yield prefix + name, inode
            if inode in self.folders:
                yield from self.walk(inode, f"{prefix}{name}/")

    def key(self) -> Key:
        """What is there, whatever the inodes: two disks with the same key have the same future."""
        return tuple(sorted((path, self._like(inode)) for path, inode in self.walk()))

    def _like(self, inode: int) -> bytes | str | None:
        if inode in self.files:
            return self.files[inode]
        if inode in self.folders:
            return None if self.is_private(inode) else "others may write here"
        return f"-> {self.links[inode]}" if inode in self.links else "FIFO"

    def is_private(self, inode: int) -> bool:
        """Whether only the daemon may write in a folder."""
        return inode not in self.theirs and inode not in self.shared

    def paths(self) -> dict[Path, bytes]:
        """The content of every file by its path from the root."""
        return {Path(path): self.files[inode] for path, inode in self.walk() if inode in self.files}


def _refusal(code: int, path: Path) -> OSError:
    return OSError(code, os.strerror(code), os.fspath(path))


def _operation(effect: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(effect)
    def call(self: "Disk", *args: Any) -> Any:
        if self.user != DAEMON:
            return effect(self, *args)
        self.before(effect.__name__, args)
        result = effect(self, *args)
        self.after(effect.__name__, args)
        return result

    return call


class Disk(Filesystem):
    """Set `before` and `after` to see, count, stop or fail the daemon's operations, `midway` for the moment between the two walks
    of a rename; `reached` collects where they came to. `boot_id` names the machine's run."""

    def __init__(self, contents: Contents | None = None, *, boot_id: str = "first boot") -> None:
        self.contents = contents.copy() if contents else Contents()
        self.base = self.contents.copy()
        self.boot_id = boot_id
        self.journal: list[Change] = []
        self.synced_changes: set[int] = set()
        self.synced_files: dict[int, bytes] = dict(self.base.files)
        self.open_files = 0
        self.version = 0
        self.begun = 0  # the attempt that a job is in, for who must remember it after a cut
        self._next = max([*self.contents.folders, *self.contents.files, *self.contents.links, *self.contents.fifos]) + 1
        self.before: Look = look_away
        self.after: Look = look_away
        self.midway: Look = look_away
        self.user = DAEMON
        self.reached: set[int] = set()

    def put(self, path: str, content: bytes) -> None:
        """A person's file, durable, where nothing may be."""
        *above, name = path.split("/")
        folder = TOP
        for part in above:
            folder = self.contents.folders[folder].get(part) or self._add_folder(folder, part)
        inode = self._add_file(folder, name)
        self.contents.files[inode] = self.synced_files[inode] = content

    def _add_folder(self, folder: int, name: str, mode: int = 0o777) -> int:
        inode = self._add(folder, name)
        self.contents.folders[inode] = {}
        if self.user == MEMBER:
            self.contents.theirs.add(inode)
        elif mode & stat.S_IWGRP:
            self.contents.shared.add(inode)  # the umask is 007: a group shares the spool
        return inode

    def _add_file(self, folder: int, name: str) -> int:
        inode = self._add(folder, name)
        self.contents.files[inode] = b""
        return inode

    def _add(self, folder: int, name: str) -> int:
        if name in self.contents.folders[folder]:
            raise _refusal(errno.EEXIST, Path(name))
        inode, self._next = self._next, self._next + 1
        self.contents.folders[folder][name] = inode
        self._note(Change(inode, None, (folder, name)))
        return inode

    def _note(self, change: Change) -> None:
        self.journal.append(change)
        self.version += 1

    def _folder(self, path: Path) -> int:
        """Where the walk to a folder ends."""
        parts = path.parts[len(ROOT.parts) :]
        if path.parts[: len(ROOT.parts)] != ROOT.parts or ".." in parts:
            raise ValueError(f"{path} leads out of {ROOT}")
        inode = TOP
        for depth, part in enumerate(parts):
            if part not in self.contents.folders[inode]:
                raise FolderMissing(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(path))
            inode = self._stepped(self.contents.folders[inode][part], path)
            self._check_owner(inode, path, is_own=depth == 0 and part in PRIVATE)
            if self.user == DAEMON:
                self.reached.add(inode)
        return inode

    def _stepped(self, inode: int, path: Path) -> int:
        """The folder that a step of a walk comes to."""
        if inode not in self.contents.folders:
            raise _refusal(errno.ENOTDIR, path)
        return inode

    def _check_owner(self, inode: int, path: Path, *, is_own: bool) -> None:
        if self.user == DAEMON and is_own and not self.contents.is_private(inode):
            raise _refusal(errno.EPERM, path)
        if self.user == MEMBER and is_own and self.contents.is_private(inode):
            raise _refusal(errno.EACCES, path)

    def _inode(self, path: Path) -> int:
        if path == ROOT:
            return TOP
        return self._named(self._folder(path.parent), path)

    def _plain(self, path: Path) -> int:
        """The regular file at a path."""
        inode = self._opened(self._inode(path), path)
        if inode in self.contents.folders:
            raise _refusal(errno.EISDIR, path)
        if inode in self.contents.fifos:
            raise _refusal(errno.EINVAL, path)
        self.reached.add(inode)
        return inode

    def _opened(self, inode: int, path: Path) -> int:
        """What is open where this is opened."""
        if inode in self.contents.links:
            raise _refusal(errno.ELOOP, path)
        return inode

    def now(self) -> datetime:
        return NOON

    def new_id(self) -> str:
        """The lowest id that no name holds: the same disk always has the same future."""
        names = "/".join(name for folder in self.contents.folders.values() for name in folder)
        return next(f"{n:08x}" for n in range(0xA0000001, 0xB0000000) if f"{n:08x}" not in names)

    def boot(self) -> str:
        return self.boot_id

    def may_change(self, folder: Path) -> bool:
        return self._folder(folder) >= TOP

    def is_being_written(self, path: Path) -> bool | None:
        self._opened(self._inode(path), path)
        return None

    @_operation
    def list(self, folder: Path) -> list[str]:
        return sorted(self.contents.folders[self._folder(folder)], reverse=True)

    @_operation
    def kinds(self, folder: Path) -> dict[str, bool]:
        names = sorted(self.contents.folders[self._folder(folder)].items(), reverse=True)
        return {name: inode in self.contents.folders for name, inode in names}

    @_operation
    def lstat(self, path: Path) -> os.stat_result:
        inode = self._inode(path)
        size = len(self.contents.files.get(inode, b"") or self.contents.links.get(inode, ""))
        return os.stat_result((self._type(inode), inode, 1, 1, 0, 0, size, 0, 0, 0))

    def _type(self, inode: int) -> int:
        if inode in self.contents.folders:
            return stat.S_IFDIR
        if inode in self.contents.links:
            return stat.S_IFLNK
        return stat.S_IFIFO if inode in self.contents.fifos else stat.S_IFREG

    def stat(self, path: Path) -> os.stat_result:
        return cast(os.stat_result, self.lstat(path))

    @_operation
    def read(self, path: Path) -> bytes:
        return self.contents.files[self._plain(path)]

    @_operation
    def plain(self, path: Path) -> BinaryIO:
        return cast(BinaryIO, ReadFile(self, self._plain(path)))

    @_operation
    def mkdir(self, folder: Path) -> None:
        if folder == ROOT:
            raise _refusal(errno.EEXIST, folder)
        self._add_folder(self._folder(folder.parent), folder.name, mode_for(folder.relative_to(ROOT)))

    @_operation
    def make_private(self, folder: Path) -> None:
        if folder.name not in self.contents.folders[above := self._folder(folder.parent)]:
            raise FolderMissing(errno.ENOENT, os.strerror(errno.ENOENT), os.fspath(folder))
        inode = self._stepped(self._named(above, folder), folder)
        if inode in self.contents.theirs:
            raise _refusal(errno.EPERM, folder)
        self.contents.shared.discard(inode)

    @_operation
    def create(self, path: Path) -> BinaryIO:
        return cast(BinaryIO, OpenFile(self, path, self._add_file(self._folder(path.parent), path.name)))

    def write(self, file: BinaryIO, content: bytes) -> None:
        file.write(content)

    @_operation
    def fsync(self, file: BinaryIO, _what: str) -> None:
        inode = cast(OpenFile, file).inode
        self.synced_files[inode] = self.contents.files[inode]

    @_operation
    def fsync_folder(self, folder: Path, _what: str) -> None:
        synced = self._folder(folder)
        for number, change in enumerate(self.journal):
            place = change.target or change.source
            if place and place[0] == synced:
                self.synced_changes.add(number)

    @_operation
    def rename(self, source: Path, target: Path) -> None:
        self._rename(source, target, may_replace=True)

    @_operation
    def rename_noreplace(self, source: Path, target: Path) -> None:
        self._rename(source, target, may_replace=False)

    def _rename(self, source: Path, target: Path, *, may_replace: bool) -> None:
        old = self._folder(source.parent)
        if self.user == DAEMON:
            self.midway("rename", (source, target))
        new = self._folder(target.parent)
        inode = self._named(old, source)
        there = self.contents.folders[new].get(target.name)
        if there is not None and not may_replace:
            raise _refusal(errno.EEXIST, source)
        if there == inode:
            return
        if inode in self.contents.folders and self._is_within(new, inode):
            raise _refusal(errno.EINVAL, source)
        if there is not None and there in self.contents.folders and self._is_within(old, there):
            raise _refusal(errno.ENOTEMPTY, target)
        if there is not None:
            self._check_replaceable(inode, there, target)
        del self.contents.folders[old][source.name]
        self.contents.folders[new][target.name] = inode
        self._note(Change(inode, (old, source.name), (new, target.name)))

    def _named(self, folder: int, path: Path) -> int:
        if path.name not in self.contents.folders[folder]:
            raise _refusal(errno.ENOENT, path)
        return self.contents.folders[folder][path.name]

    def _is_within(self, folder: int, above: int) -> bool:
        return folder == above or folder in {inode for _, inode in self.contents.walk(above)}

    def _check_replaceable(self, inode: int, there: int, target: Path) -> None:
        folders = self.contents.folders
        if there in folders and inode not in folders:
            raise _refusal(errno.EISDIR, target)
        if inode in folders and there not in folders:
            raise _refusal(errno.ENOTDIR, target)
        if folders.get(there):
            raise _refusal(errno.ENOTEMPTY, target)

    @_operation
    def unlink(self, path: Path) -> None:
        inode = self._inode(path)
        if inode in self.contents.folders:
            raise _refusal(errno.EISDIR, path)
        self._drop(path, inode)

    @_operation
    def rmdir(self, folder: Path) -> None:
        inode = self._inode(folder)
        if inode not in self.contents.folders:
            raise _refusal(errno.ENOTDIR, folder)
        if self.contents.folders[inode]:
            raise _refusal(errno.ENOTEMPTY, folder)
        self._drop(folder, inode)

    def _drop(self, path: Path, inode: int) -> None:
        parent = self._folder(path.parent)
        del self.contents.folders[parent][path.name]
        self._note(Change(inode, (parent, path.name), None))

    @contextmanager
    def by(self, user: str) -> Iterator[None]:
        """What is done within is done by somebody else, and not counted."""
        self.user = user
        try:
            yield
        finally:
            self.user = DAEMON
            self.base, self.synced_files = self.contents.copy(), dict(self.contents.files)
            self.journal.clear()
            self.synced_changes.clear()

    def symlink(self, path: Path, target: str) -> None:
        """Make a link, to whatever it may be."""
        self.contents.links[self._add(self._folder(path.parent), path.name)] = target

    def mkfifo(self, path: Path) -> None:
        """Make what blocks who opens it."""
        self.contents.fifos.add(self._add(self._folder(path.parent), path.name))

    def exchange(self, one: Path, other: Path) -> None:
        """Let two names change places, in one moment."""
        here, there = self._folder(one.parent), self._folder(other.parent)
        first, second = self._named(here, one), self._named(there, other)
        for inode, into in ((first, there), (second, here)):
            if inode in self.contents.folders and self._is_within(into, inode):
                raise _refusal(errno.EINVAL, one)
        self.contents.folders[here][one.name] = second
        self.contents.folders[there][other.name] = first
        self._note(Change(first, (here, one.name), (there, other.name)))
        self._note(Change(second, (there, other.name), (here, one.name)))

    def give_away(self, folder: Path) -> None:
        """Make a member the owner of a folder."""
        self.contents.theirs.add(self._inode(folder))

    def share(self, folder: Path) -> None:
        """Let members write in a folder."""
        self.contents.shared.add(self._inode(folder))


class OpenFile:
    """A file being written, whatever becomes of its name: each write has a moment in which only half of it is there."""

    def __init__(self, disk: Disk, path: Path, inode: int) -> None:
        self.name = os.fspath(path)
        self.inode = inode
        self._disk = disk
        disk.open_files += 1

    def write(self, content: bytes) -> None:
        for part in (content[: len(content) // 2], content[len(content) // 2 :]):
            self._disk.before("write", (Path(self.name),))
            self._disk.contents.files[self.inode] += part
            self._disk.version += 1

    def __enter__(self) -> "OpenFile":
        return self

    def __exit__(self, *_: object) -> None:
        self._disk.open_files -= 1


class ReadFile:
    """A file being read: whatever becomes of its name, it is the same one."""

    def __init__(self, disk: Disk, inode: int) -> None:
        self._disk, self._inode = disk, inode

    def read(self) -> bytes:
        return self._disk.contents.files[self._inode]

    def __enter__(self) -> "ReadFile":
        return self

    def __exit__(self, *_: object) -> None:
        return
