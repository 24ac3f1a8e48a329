"""The operating system as the spool sees it: every file operation it makes, and the time of day.

One small object, so that a test can stop the world before any of these calls, or let any of them fail, and look at what is
left. Nothing here decides anything. New folders get the mode that the umask leaves, so that a group can share the spool.
"""

import ctypes
import errno
import os
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

_AT_FDCWD = -100
_RENAME_NOREPLACE = 1
_LIBC = ctypes.CDLL(None, use_errno=True)


BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Ops:
    """Thin wrappers of the calls that the spool makes; all raise OSError as the system does."""

    def now(self) -> datetime:
        """The time of day, aware, for names and records; never for deciding."""
        return datetime.now(UTC)

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

    def read(self, path: Path) -> bytes:
        """The whole content of one of the spool's own small files."""
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            return file.read()

    def mkdir(self, folder: Path) -> None:
        """Make one folder; its parent must be there."""
        folder.mkdir()

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
