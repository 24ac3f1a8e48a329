"""Folders below a root in which others may write, reached without following what they have put there.

Whoever may write in a folder may rename what lies in it, and put a link in its place between any two calls of ours. So a folder
below the root is not named by a path, but walked to from the root, one component after the other: none may be a link, none may lie
on another device. What is done there is done by the descriptor that the walk ends with. The root itself is the administrator's: it
may be a link, and so may the folders above it.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon.layout import PRIVATE
from daemon.lease import keeps_owners
from daemon.names import fitted

FOLDER = os.O_DIRECTORY | os.O_CLOEXEC


class FolderMissing(FileNotFoundError):
    """A folder on the way is missing: of what lay in it nobody can tell whether it is gone, since the folder may come back."""


class Beneath:
    """The folders and files below a root. All methods raise OSError; a path with `..` in it, or not below the root, ValueError."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._above = root.parts

    def holds(self, path: Path) -> bool:
        """Whether a path is the root, or below it."""
        return path.parts[: len(self._above)] == self._above

    @contextmanager
    def folder(self, path: Path, flags: int = os.O_PATH) -> Iterator[int]:
        """A descriptor of a folder, opened with O_PATH, or with O_RDONLY to list and sync it.

        NotADirectoryError where a component is a link or a file, PermissionError where one that is the daemon's own is somebody
        else's, OSError of EXDEV where one is a mount.
        """
        # Not `relative_to`: with Python 3.12 it would be most of what an idle daemon costs.
        parts = path.parts[len(self._above) :]
        if not self.holds(path) or ".." in parts:
            raise ValueError(f"{path} leads out of {self.root}")
        reached = os.open(self.root, FOLDER | (os.O_PATH if parts else flags))
        try:
            root = os.fstat(reached)
            for depth, part in enumerate(parts):
                last = depth == len(parts) - 1
                above, reached = reached, _stepped(reached, part, flags if last else os.O_PATH, path)
                os.close(above)
                _check(reached, root, path, private=depth == 0 and part in PRIVATE)
            yield reached
        finally:
            os.close(reached)

    @contextmanager
    def place(self, path: Path) -> Iterator[tuple[str, int]]:
        """The last name of a path, and a descriptor of the folder that it lies in."""
        with self.folder(path.parent) as descriptor:
            yield path.name, descriptor

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        """A descriptor of a file, by flags such as O_WRONLY | O_CREAT | O_EXCL; a link at its place is not followed."""
        with self.place(path) as (name, folder):
            return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode, dir_fd=folder)

    def open_plain(self, path: Path) -> int:
        """A descriptor to read a regular file; OSError where it is none. Neither a link nor a FIFO is opened or waited for."""
        descriptor = self.open(path, os.O_RDONLY)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            return descriptor
        os.close(descriptor)
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(code, "not a regular file", os.fspath(path))

    @contextmanager
    def pinned(self, path: Path) -> Iterator[Path]:
        """A regular file, opened once: the path that is given leads to this very file as long as the block lasts, whatever becomes
        of its name."""
        descriptor = self.open_plain(path)
        try:
            yield Path(f"/proc/self/fd/{descriptor}")
        finally:
            os.close(descriptor)

    def names(self, folder: Path) -> list[str]:
        """What lies in a folder, in no order."""
        with self.folder(folder, os.O_RDONLY) as descriptor:
            return os.listdir(descriptor)

    def lstat(self, path: Path) -> os.stat_result:
        """What is at a path itself, be it a link."""
        with self.place(path) as (name, folder):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def lexists(self, path: Path) -> bool:
        """Whether anything is at a path, be it a link; False where its folder cannot be reached."""
        try:
            self.lstat(path)
        except OSError:
            return False
        return True

    def is_gone(self, path: Path) -> bool:
        """Whether nothing is at a path, or its folder is gone too; False where that cannot be told."""
        try:
            self.lstat(path)
        except OSError as error:
            return isinstance(error, FileNotFoundError)
        return False

    def make_folder(self, path: Path) -> None:
        """Make a folder where there is none."""
        with self.place(path) as (name, folder), suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)

    def touch(self, path: Path) -> None:
        """Make an empty file where nothing is; what is there stays as it is."""
        with suppress(FileExistsError):
            os.close(self.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))

    def unlink(self, path: Path) -> None:
        """Take one name away."""
        with self.place(path) as (name, folder):
            os.unlink(name, dir_fd=folder)

    def replace(self, path: Path, data: bytes) -> None:
        """Write a small file that may be lost with the machine, whole or not at all."""
        with self.place(path) as (name, folder):
            part = fitted(f".{name}", ".part")
            with suppress(FileNotFoundError):
                os.unlink(part, dir_fd=folder)  # of a crash
            made = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666, dir_fd=folder)
            try:
                with os.fdopen(made, "wb") as file:
                    file.write(data)
                os.rename(part, name, src_dir_fd=folder, dst_dir_fd=folder)
            except OSError:
                with suppress(OSError):
                    os.unlink(part, dir_fd=folder)
                raise


def _stepped(above: int, part: str, flags: int, path: Path) -> int:
    try:
        return os.open(part, FOLDER | os.O_NOFOLLOW | flags, dir_fd=above)
    except OSError as error:
        # A link, by O_NOFOLLOW, is ELOOP or ENOTDIR, as the other flags have it.
        code = errno.ENOTDIR if error.errno == errno.ELOOP else error.errno
        if code == errno.ENOENT:
            raise FolderMissing(code, os.strerror(code), os.fspath(path)) from error
        raise OSError(code, os.strerror(code or 0), os.fspath(path)) from error


def _check(reached: int, root: os.stat_result, path: Path, *, private: bool) -> None:
    found = os.fstat(reached)
    if found.st_dev != root.st_dev:
        raise OSError(errno.EXDEV, "a folder on the way is a mount of its own", os.fspath(path))
    shared = found.st_uid not in (os.geteuid(), root.st_uid) or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if private and shared and keeps_owners(found.st_dev):
        raise PermissionError(errno.EPERM, "a folder of the daemon's own is somebody else's", os.fspath(path))
