"""Folders below a root in which others may write, reached without following what they have put there.

A folder below the root is not named by a path, but walked to, as `walking.py` says. What is done there is done by the descriptor
that the walk ends with.

Files there are opened in one way: no link is followed, nothing is waited for, and what was opened is looked at before it is used.
`InUse` says that another program holds a lease on the file, smbd for example (an oplock): it is still being written.
"""

import ctypes
import errno
import os
import stat
import struct
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from daemon import lease
from daemon.errors import InUse
from daemon.walking import FolderMissing, Reached, Ways, check_device, check_owner, stepped

__all__ = ["Beneath", "FolderMissing", "reopened"]

_RENAME_NOREPLACE = 1
_AT_SYMLINK_NOFOLLOW, _STATX_BTIME, _STATX_BYTES = 0x100, 0x800, 256
_BTRFS, _STATFS_BYTES = 0x9123683E, 256
_LIBC = ctypes.CDLL(None, use_errno=True)


class Beneath:
    """The folders and files below a root. All methods raise OSError; a path with `..` in it, or not below the root, ValueError."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._ways = Ways(root)

    def is_below(self, path: Path) -> bool:
        """Whether a path is one of something below the root."""
        return os.fspath(path).startswith(self._ways.above)

    def folder(self, path: Path, flags: int = os.O_PATH) -> Reached:
        """A context: a descriptor of a folder, opened with O_PATH, or with O_RDONLY to list and sync it. Raises as `Ways.to`."""
        return self._ways.to(path, flags)

    @contextmanager
    def parent(self, path: Path) -> Iterator[tuple[str, int]]:
        """The last name of a path, and a descriptor of the folder that it lies in."""
        name, way = self._ways.to_parent(path)
        with way as folder:
            yield name, folder

    def open(self, path: Path, flags: int, mode: int = 0o666) -> int:
        """A descriptor of a file, by flags such as O_WRONLY | O_CREAT | O_EXCL; a link at its place is not followed."""
        name, way = self._ways.to_parent(path)
        with way as folder:
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

    def kinds(self, folder: Path) -> dict[str, bool]:
        """What lies in a folder, by name, each with whether it is a folder itself; a link is none."""
        with self.folder(folder, os.O_RDONLY) as descriptor, os.scandir(descriptor) as entries:
            return {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}

    def lstat(self, path: Path) -> os.stat_result:
        """What is at a path itself, be it a link."""
        name, way = self._ways.to_parent(path)
        with way as folder:
            return os.stat(name, dir_fd=folder, follow_symlinks=False)

    def born(self, path: Path) -> int | None:
        """When the file at a path itself was made, in nanoseconds of the epoch; None where the system does not say.

        A move and any writing leave that as it is, a copy has its own, and nobody can set it; the number of its inode is soon that
        of another file.
        """
        name, way = self._ways.to_parent(path)
        with way as folder:
            return _born(name, folder)

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
        name, way = self._ways.to_parent(path)
        with way as folder:
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
            reached = stepped(folder, name, os.O_RDONLY, os.fspath(path))
        try:
            found = os.fstat(reached)
            check_device(found, self.root.stat().st_dev, os.fspath(path))
            if lease.keeps_owners(found.st_dev):
                check_owner(found, self.root, os.fspath(path))
                os.fchmod(reached, 0o700)
        finally:
            os.close(reached)

    def touch(self, path: Path) -> None:
        """Make an empty file where nothing is; what is there stays as it is."""
        with suppress(FileExistsError):
            os.close(self.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL))

    def unlink(self, path: Path) -> None:
        """Take one name away."""
        name, way = self._ways.to_parent(path)
        with way as folder:
            os.unlink(name, dir_fd=folder)

    def rmdir(self, path: Path) -> None:
        """Take an empty folder away."""
        name, way = self._ways.to_parent(path)
        with way as folder:
            os.rmdir(name, dir_fd=folder)

    def rename(self, source: Path, target: Path) -> None:
        """Move, replacing what is at the target."""
        self._move(source, target, lambda old, away, new, into: os.rename(old, new, src_dir_fd=away, dst_dir_fd=into))

    def rename_noreplace(self, source: Path, target: Path) -> None:
        """Move to a name that is free; FileExistsError when it is taken, and nothing has happened then."""
        self._move(source, target, _moved_if_free)

    def _move(self, source: Path, target: Path, move: Callable[[str, int, str, int], None]) -> None:
        try:
            self._move_once(source, target, move)
        except OSError as error:
            # What is kept open goes on leading to the mount that it was opened in, also where that was mounted anew meanwhile.
            if error.errno != errno.EXDEV or not self._ways.let_go():
                raise
            self._move_once(source, target, move)

    def _move_once(self, source: Path, target: Path, move: Callable[[str, int, str, int], None]) -> None:
        (old, left), (new, entered) = self._ways.parted(source), self._ways.parted(target)
        with self._ways.at(left) as away:
            if entered == left:
                move(old, away, new, away)
                return
            with self._ways.at(entered) as into:
                move(old, away, new, into)

    def fsync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable, where its filesystem can."""
        with self.folder(folder, os.O_RDONLY) as descriptor:
            try:
                _sync_names(descriptor)
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


def _sync_names(folder: int) -> None:
    """Make the names in a folder durable; on btrfs with all else, since the sync of one folder there halves a move into it.

    A power cut would then leave the old name too: `python -m tests.spool.replay` shows it.
    """
    call = getattr(_LIBC, "syncfs", None)
    if call is None or _filesystem_of(folder) != _BTRFS:
        os.fsync(folder)
    elif call(folder) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))


def _filesystem_of(descriptor: int) -> int | None:
    """What statfs(2) calls the type of a filesystem; None where it cannot be told."""
    told = ctypes.create_string_buffer(_STATFS_BYTES)
    return ctypes.c_long.from_buffer(told).value if _LIBC.fstatfs(descriptor, told) == 0 else None


def _moved_if_free(old: str, away: int, new: str, into: int) -> None:
    try:
        _renameat2(old, away, new, into)
    except OSError as error:
        if error.errno not in {errno.ENOSYS, errno.EINVAL}:
            raise
        _rename_if_free(old, away, new, into)


def _renameat2(old: str, away: int, new: str, into: int) -> None:
    call = getattr(_LIBC, "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(away, os.fsencode(old), into, os.fsencode(new), _RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), old, None, new)


def _born(name: str, folder: int) -> int | None:
    call = getattr(_LIBC, "statx", None)
    if call is None:
        return None
    said = ctypes.create_string_buffer(_STATX_BYTES)
    if call(folder, os.fsencode(name), _AT_SYMLINK_NOFOLLOW, _STATX_BTIME, said) != 0:
        code = ctypes.get_errno()
        if code in {errno.ENOSYS, errno.EPERM}:  # the answers of an old kernel, and of a container that knows no such call
            return None
        raise OSError(code, os.strerror(code), name)
    known, seconds, nanoseconds = struct.unpack_from("=I76xqI", said)  # stx_mask, stx_btime
    return (seconds * 10**9 + nanoseconds or None) if known & _STATX_BTIME else None


def _rename_if_free(old: str, away: int, new: str, into: int) -> None:
    # Network filesystems without the flag: a moment between the look and the move remains, a link + unlink would be worse
    # (after a crash between the two nobody can tell whether the result was published).
    try:
        os.stat(new, dir_fd=into, follow_symlinks=False)
    except FileNotFoundError:
        os.rename(old, new, src_dir_fd=away, dst_dir_fd=into)
        return
    raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), old, None, new)
