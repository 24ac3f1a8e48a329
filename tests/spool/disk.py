"""A disk in memory that answers as Linux does, can be copied at any moment, and remembers what a power cut may take from it.

`test_disk.py` holds it against the kernel. A change of a folder is durable once that folder was synced, the content of a file once
the file was; `power.py` makes of it the disks that a cut can leave.
"""

import errno
import os
import stat
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import wraps
from pathlib import Path
from typing import Any, BinaryIO, cast

from daemon.spool.filesystem import Ops

ROOT = Path("/spool")
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
TOP = 0  # the inode of the root folder

Key = tuple[tuple[str, bytes | None], ...]
Look = Callable[[str, tuple[Any, ...]], None]  # is told the operation and its arguments


def _look_away(_name: str, _args: tuple[Any, ...]) -> None:
    return


@dataclass(frozen=True)
class Change:
    """A name that appeared (`source` is None), moved, or went (`target` is None), for one inode; a place is a folder and a name."""

    inode: int
    source: tuple[int, str] | None
    target: tuple[int, str] | None


@dataclass
class Contents:
    """Folders and files by inode."""

    folders: dict[int, dict[str, int]] = field(default_factory=lambda: {TOP: {}})
    files: dict[int, bytes] = field(default_factory=dict)

    def copy(self) -> "Contents":
        return Contents({inode: dict(names) for inode, names in self.folders.items()}, dict(self.files))

    def walk(self, folder: int = TOP, prefix: str = "") -> Iterator[tuple[str, int]]:
        """Every path below a folder, with its inode."""
        for name, inode in self.folders[folder].items():
            yield prefix + name, inode
            if inode in self.folders:
                yield from self.walk(inode, f"{prefix}{name}/")

    def key(self) -> Key:
        """What is there, whatever the inodes: two disks with the same key have the same future."""
        return tuple(sorted((path, self.files.get(inode)) for path, inode in self.walk()))

    def paths(self) -> dict[Path, bytes]:
        """The content of every file by its path from the root."""
        return {Path(path): self.files[inode] for path, inode in self.walk() if inode in self.files}


def _refusal(code: int, path: Path) -> OSError:
    return OSError(code, os.strerror(code), os.fspath(path))


def _operation(effect: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(effect)
    def call(self: "Disk", *args: Any) -> Any:
        self.before(effect.__name__, args)
        result = effect(self, *args)
        self.after(effect.__name__, args)
        return result

    return call


class Disk(Ops):
    """Set `before` and `after` to see, count, stop or fail the operations; `boot_id` names the machine's run."""

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
        self._next = max([*self.contents.folders, *self.contents.files]) + 1
        self.before: Look = _look_away
        self.after: Look = _look_away

    def put(self, path: str, content: bytes) -> None:
        """A person's file, durable, where nothing may be."""
        *above, name = path.split("/")
        folder = TOP
        for part in above:
            folder = self.contents.folders[folder].get(part) or self._add(folder, part, is_folder=True)
        inode = self._add(folder, name, is_folder=False)
        self.contents.files[inode] = self.synced_files[inode] = content

    def _add(self, folder: int, name: str, *, is_folder: bool) -> int:
        inode, self._next = self._next, self._next + 1
        self.contents.folders[folder][name] = inode
        if is_folder:
            self.contents.folders[inode] = {}
        else:
            self.contents.files[inode] = b""
        self._note(Change(inode, None, (folder, name)))
        return inode

    def _note(self, change: Change) -> None:
        self.journal.append(change)
        self.version += 1

    def _folder(self, path: Path) -> int:
        inode = TOP
        for part in path.parts[len(ROOT.parts) :]:
            if inode not in self.contents.folders:
                raise _refusal(errno.ENOTDIR, path)
            if part not in self.contents.folders[inode]:
                raise _refusal(errno.ENOENT, path)
            inode = self.contents.folders[inode][part]
        if inode not in self.contents.folders:
            raise _refusal(errno.ENOTDIR, path)
        return inode

    def _inode(self, path: Path) -> int:
        if path == ROOT:
            return TOP
        names = self.contents.folders[self._folder(path.parent)]
        if path.name not in names:
            raise _refusal(errno.ENOENT, path)
        return names[path.name]

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
        self._inode(path)
        return None

    @_operation
    def list(self, folder: Path) -> list[str]:
        return sorted(self.contents.folders[self._folder(folder)], reverse=True)

    @_operation
    def lstat(self, path: Path) -> os.stat_result:
        inode = self._inode(path)
        mode = stat.S_IFDIR if inode in self.contents.folders else stat.S_IFREG
        size = len(self.contents.files.get(inode, b""))
        return os.stat_result((mode, inode, 1, 1, 0, 0, size, 0, 0, 0))

    def stat(self, path: Path) -> os.stat_result:
        return cast(os.stat_result, self.lstat(path))

    @_operation
    def read(self, path: Path) -> bytes:
        inode = self._inode(path)
        if inode in self.contents.folders:
            raise _refusal(errno.EISDIR, path)
        return self.contents.files[inode]

    @_operation
    def mkdir(self, folder: Path) -> None:
        parent = self._folder(folder.parent)
        if folder.name in self.contents.folders[parent]:
            raise _refusal(errno.EEXIST, folder)
        self._add(parent, folder.name, is_folder=True)

    @_operation
    def make_private(self, folder: Path) -> None:
        self._folder(folder)

    @_operation
    def create(self, path: Path) -> BinaryIO:
        parent = self._folder(path.parent)
        if path.name in self.contents.folders[parent]:
            raise _refusal(errno.EEXIST, path)
        return cast(BinaryIO, OpenFile(self, path, self._add(parent, path.name, is_folder=False)))

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
        old, new = self._folder(source.parent), self._folder(target.parent)
        inode = self._inode(source)
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


class OpenFile:
    """A file being written: each write has a moment in which only half of it is there."""

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
