"""The operating system as the spool sees it: every file operation it makes, the time of day, and fresh ids.

One small object, so that a test can stop the world before any of these calls, or let any of them fail, and look at what is
left. Nothing here decides anything. New folders get the mode that the umask leaves, so that a group can share the spool.
"""

import ctypes
import errno
import fcntl
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from daemon import lease, names

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Ops:
    """Thin wrappers of the calls that the spool makes; all raise OSError as the system does."""

    def now(self) -> datetime:
        """The time of day, aware, for names and records; never for deciding."""
        return datetime.now(UTC)

    def new_id(self) -> str:
        """A fresh id: 8 hex digits."""
        return names.new_id()

    def boot(self) -> str:
        """What names this run of the machine; empty where the system does not say."""
        try:
            return BOOT_ID.read_text(encoding="ascii").strip()
        except OSError:
            return ""

    def list(self, folder: Path) -> list[str]:
        """The names in a folder, in no order."""
        return os.listdir(folder)

    def lstat(self, path: Path) -> os.stat_result:
        """What is at the path itself; symlinks are not followed."""
        return path.lstat()

    def stat(self, path: Path) -> os.stat_result:
        """What is at the path, or where the symlink at the path leads."""
        return path.stat()

    def may_change(self, folder: Path) -> bool:
        """Whether this process may list, enter and change a folder."""
        return os.access(folder, os.R_OK | os.W_OK | os.X_OK)

    def is_being_written(self, path: Path) -> bool | None:
        """Whether a writer holds the file now; None when the system cannot say."""
        return lease.is_being_written(path)

    def read(self, path: Path) -> bytes:
        """The whole content of one of the spool's own small files."""
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return file.read()

    def mkdir(self, folder: Path) -> None:
        """Make one folder; its parent must be there."""
        folder.mkdir()

    def make_private(self, folder: Path) -> None:
        """Let nobody but the daemon's user into a folder."""
        folder.chmod(0o700)

    def create(self, path: Path) -> BinaryIO:
        """Make a file that must not be there yet, not even as a symlink, open for writing, reading and seeking."""
        return path.open("x+b")

    def write(self, file: BinaryIO, content: bytes) -> None:
        """Write all of the content."""
        file.write(content)
        file.flush()

    def fsync(self, file: BinaryIO) -> None:
        """Make the content of a file durable. After a failure the file is not to be trusted, nor the call repeated."""
        file.flush()
        os.fsync(file.fileno())

    def fsync_folder(self, folder: Path) -> None:
        """Make the names in a folder durable."""
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)

    def rename(self, source: Path, target: Path) -> None:
        """Move, replacing what is there: only for names inside the daemon's own folders."""
        source.rename(target)

    def rename_noreplace(self, source: Path, target: Path) -> None:
        """Move to a name that is free; FileExistsError when it is taken, and nothing has happened then."""
        try:
            _renameat2(source, target)
        except OSError as error:
            if error.errno not in {errno.ENOSYS, errno.EINVAL}:
                raise
            _rename_if_free(source, target)

    def unlink(self, path: Path) -> None:
        """Remove one name."""
        path.unlink()

    def rmdir(self, folder: Path) -> None:
        """Remove an empty folder."""
        folder.rmdir()

    def lock(self, path: Path) -> int:
        """Own a file, made if it is missing, until `unlock`; BlockingIOError while another process owns it. Holds our pid."""
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            os.ftruncate(fd, 0)
            os.write(fd, f"{os.getpid()}\n".encode())
        except OSError:
            os.close(fd)
            raise
        return fd

    def unlock(self, fd: int) -> None:
        """Let another process own the file that `lock` returned."""
        os.close(fd)


def _renameat2(source: Path, target: Path) -> None:
    call = getattr(_LIBC, "renameat2", None)
    if call is None:
        raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))
    if call(_AT_FDCWD, os.fsencode(source), _AT_FDCWD, os.fsencode(target), _RENAME_NOREPLACE) != 0:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code), os.fspath(source), None, os.fspath(target))


def _rename_if_free(source: Path, target: Path) -> None:
    # Network filesystems without the flag: a moment between the look and the move remains, a link + unlink would be worse
    # (after a crash between the two nobody can tell whether the result was published).
    if os.path.lexists(target):
        raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), os.fspath(source), None, os.fspath(target))
    source.rename(target)
