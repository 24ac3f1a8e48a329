"""Folders below a root in which others may write, reached without following what they have put there.

Whoever may write in a folder may rename what lies in it, and put a link in its place between any two calls of ours. So a folder
below the root is not named by a path, but walked to from the root, one component after the other: none may be a link, none may lie
on another device. What is done there is done by the descriptor that the walk ends with. The root itself is the administrator's: it
may be a link, and so may the folders above it.

Files there are opened in one way: no link is followed, nothing is waited for, and what was opened is looked at before it is used.
`InUse` says that another program holds a lease on the file, smbd for example (an oplock): it is still being written.
"""

import ctypes
import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from daemon import lease
from daemon.errors import InUse
from daemon.layout import PRIVATE

FOLDER = os.O_DIRECTORY | os.O_CLOEXEC
_RENAME_NOREPLACE = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


class FolderMissing(FileNotFoundError):
    """A folder on the way is missing: of what lay in it nobody can tell whether it is gone, since the folder may come back."""


class Beneath:
    """The folders and files below a root. All methods raise OSError; a path with `..` in it, or not below the root, ValueError."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._above = root.parts

    @contextmanager
    def folder(self, path: Path, flags: int = os.O_PATH) -> Iterator[int]:
        """A descriptor of a folder, opened with O_PATH, or with O_RDONLY to list and sync it.

        NotADirectoryError where a component is a link or a file, PermissionError where one that is the daemon's own is somebody
        else's, OSError of EXDEV where one is a mount.
        """
        # Not `relative_to`: with Python 3.12 it would be most of what an idle daemon costs.
        above, parts = path.parts[: len(self._above)], path.parts[len(self._above) :]
        if above != self._above or ".." in parts:
            raise ValueError(f"{path} leads out of {self.root}")
        reached = _opened(self.root, os.O_PATH if parts else flags)
        try:
            root = os.fstat(reached)
            for depth, part in enumerate(parts):
                last = depth == len(parts) - 1
                left, reached = reached, _stepped(reached, part, flags if last else os.O_PATH, path)
                os.close(left)
                _check(reached, root, path, private=depth == 0 and part in PRIVATE)
            yield reached
        finally:
            os.close(reached)

    @contextmanager
    def parent(self, path: Path) -> Iterator[tuple[str, int]]:
        """The last name of a path, and a descriptor of the folder that it lies in."""
        with self.folder(path.parent) as descriptor:
            yield path.name, descriptor

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        """A descriptor of a file, by flags such as O_WRONLY | O_CREAT | O_EXCL; a link at its place is not followed."""
        with self.parent(path) as (name, folder):
            try:
                return os.open(name, flags | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, mode, dir_fd=folder)
            except BlockingIOError as error:
                raise InUse(error.errno, error.strerror, os.fspath(path)) from error

    def open_plain(self, path: Path) -> int:
        """A descriptor to read a regular file; OSError where it is none. Neither a link nor a FIFO is opened or waited for."""
        descriptor = self.open(path, os.O_RDONLY)
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISREG(mode):
            return descriptor
        os.close(descriptor)
        code = errno.EISDIR if stat.S_ISDIR(mode) else errno.EINVAL
        raise OSError(code, "not a regular file", os.fspath(path))

    def plain(self, path: Path) -> BinaryIO:
        """A regular file, open for reading: this very file, whatever becomes of its name."""
        return os.fdopen(self.open_plain(path), "rb")

    def is_being_written(self, path: Path) -> bool | None:
        """Whether a writer holds a regular file now, or another program a lease on it; None when the system cannot say."""
        try:
            descriptor = self.open_plain(path)
        except BlockingIOError:
            return True
        try:
            return lease.is_being_written(descriptor)
        finally:
            os.close(descriptor)

    def names(self, folder: Path) -> list[str]:
        """What lies in a folder, in no order."""
        with self.folder(folder, os.O_RDONLY) as descriptor:
            return os.listdir(descriptor)

    def lstat(self, path: Path) -> os.stat_result:
        """What is at a path itself, be it a link."""
        with self.parent(path) as (name, folder):
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def is_a_strangers(self, path: Path) -> bool:
        """Whether what is at a path itself is somebody else's than root's, the owner's of the root, and ours; False where the
        filesystem keeps no owners."""
        found = self.lstat(path)
        return found.st_uid not in (0, os.geteuid(), self.root.stat().st_uid) and lease.keeps_owners(found.st_dev)

    def lexists(self, path: Path) -> bool:
        """Whether anything is at a path, be it a link; False where its folder cannot be reached."""
        try:
            self.lstat(path)
        except OSError:
            return False
        return True

    def is_gone(self, path: Path) -> bool:
        """Whether nothing is at a path; False where that cannot be told, as while its folder is away."""
        try:
            self.lstat(path)
        except OSError as error:
            return isinstance(error, FileNotFoundError) and not isinstance(error, FolderMissing)
        return False

    def mkdir(self, path: Path, mode: int = 0o777) -> None:
        """Make a folder, with what the umask leaves of the mode."""
        with self.parent(path) as (name, folder):
            os.mkdir(name, mode, dir_fd=folder)

    def make_folder(self, path: Path) -> None:
        """Make a folder where there is none."""
        with suppress(FileExistsError):
            self.mkdir(path)

    def make_private(self, path: Path) -> None:
        """Let nobody but ourselves into a folder of the daemon's own. PermissionError where it is somebody else's.

        Not by `folder`, which refuses what is open to others: it could then never be closed.
        """
        with self.parent(path) as (name, folder):
            reached = _stepped(folder, name, os.O_RDONLY, path)
        try:
            root, found = self.root.stat(), os.fstat(reached)
            _check_device(found, root, path)
            if lease.keeps_owners(found.st_dev):
                _check_owner(found, root, path)
                os.fchmod(reached, 0o700)
        finally:
            os.close(reached)

    def touch(self, path: Path) -> None:
        """Make an empty file where nothing is; what is there stays as it is."""
        with suppress(FileExistsError):
            os.close(self.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))

    def unlink(self, path: Path) -> None:
        """Take one name away."""
        with self.parent(path) as (name, folder):
            os.unlink(name, dir_fd=folder)

    def rmdir(self, path: Path) -> None:
        """Take an empty folder away."""
        with self.parent(path) as (name, folder):
            os.rmdir(name, dir_fd=folder)

    def rename(self, source: Path, target: Path) -> None:
        """Move, replacing what is at the target."""
        with self.parent(source) as (old, away), self.parent(target) as (new, into):
            os.rename(old, new, src_dir_fd=away, dst_dir_fd=into)

    def rename_noreplace(self, source: Path, target: Path) -> None:
        """Move to a name that is free; FileExistsError when it is taken, and nothing has happened then."""
        with self.parent(source) as (old, away), self.parent(target) as (new, into):
            try:
                _renameat2(old, away, new, into)
            except OSError as error:
                if error.errno not in {errno.ENOSYS, errno.EINVAL}:
                    raise
                _rename_if_free(old, away, new, into)

    def fsync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable, where its filesystem can."""
        with self.folder(folder, os.O_RDONLY) as descriptor:
            try:
                os.fsync(descriptor)
            except OSError as error:
                # The answer of a filesystem that syncs no folders, of a network say: nothing can be done, and nothing was lost.
                if error.errno != errno.EINVAL:
                    raise

    def may_change(self, folder: Path) -> bool:
        """Whether this process may list, enter and change a folder; OSError of EROFS where nobody may change it now."""
        with self.folder(folder) as descriptor:
            may = os.access(".", os.R_OK | os.W_OK | os.X_OK, dir_fd=descriptor)
            if not may and os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(folder))
            return may


def reopened(descriptor: int, flags: int) -> int:
    """Another descriptor of a file that was opened in the one way, with a position of its own."""
    return os.open(f"/proc/self/fd/{descriptor}", flags | os.O_NONBLOCK | os.O_CLOEXEC)


def _opened(root: Path, flags: int) -> int:
    try:
        return os.open(root, FOLDER | flags)
    except FileNotFoundError as error:
        raise FolderMissing(error.errno, error.strerror, os.fspath(root)) from error


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
    _check_device(found, root, path)
    if private and lease.keeps_owners(found.st_dev):
        _check_owner(found, root, path)
        if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
            raise PermissionError(errno.EPERM, "a folder of the daemon's own is open to others", os.fspath(path))


def _check_device(found: os.stat_result, root: os.stat_result, path: Path) -> None:
    if found.st_dev != root.st_dev:
        raise OSError(errno.EXDEV, "a folder on the way is a mount of its own", os.fspath(path))


def _check_owner(found: os.stat_result, root: os.stat_result, path: Path) -> None:
    if found.st_uid not in (os.geteuid(), root.st_uid):
        raise PermissionError(errno.EPERM, "a folder of the daemon's own is somebody else's", os.fspath(path))


def _renameat2(old: str, away: int, new: str, into: int) -> None:
    call = getattr(_LIBC, "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(away, os.fsencode(old), into, os.fsencode(new), _RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), old, None, new)


def _rename_if_free(old: str, away: int, new: str, into: int) -> None:
    # Network filesystems without the flag: a moment between the look and the move remains, a link + unlink would be worse
    # (after a crash between the two nobody can tell whether the result was published).
    try:
        os.stat(new, dir_fd=into, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(old, new, src_dir_fd=away, dst_dir_fd=into)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), old, None, new)
