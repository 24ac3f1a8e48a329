"""The filesystem as the spool sees it: every operation it makes on files, the time of day, and fresh ids.

One small object, so that a test can stop the world before any of these calls, or let any of them fail, and look at what is
left. Nothing here decides anything. New folders get what the umask leaves of their mode in the layout.
"""

import ctypes
import errno
import fcntl
import os
import socket
import stat
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from daemon import names
from daemon.beneath import Beneath
from daemon.layout import OWNERS_MODE, mode_for

_RENAME_NOREPLACE = 1
_LIBC = ctypes.CDLL(None, use_errno=True)
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Filesystem:
    """Thin wrappers of the calls that the spool makes; all raise OSError as the system does.

    What lies below the root is reached by `Beneath`, whatever lies in the way; only the checks at the start look elsewhere.
    """

    def __init__(self, root: Path) -> None:
        self._beneath = Beneath(root)

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
        with self._beneath.folder(folder, os.O_RDONLY) as descriptor:
            return os.listdir(descriptor)

    def lstat(self, path: Path) -> os.stat_result:
        """What is at the path itself; symlinks are not followed."""
        if path == self._beneath.root or not self._beneath.holds(path):
            return path.lstat()
        return self._beneath.lstat(path)

    def is_a_strangers(self, path: Path) -> bool:
        """Whether what is at a path is somebody else's than root's, the spool's owner's and ours; False where none can tell."""
        return self._beneath.is_a_strangers(path)

    def stat(self, path: Path) -> os.stat_result:
        """What is at the path, or where the symlink at the path leads: for the root."""
        return path.stat()

    def may_change(self, folder: Path) -> bool:
        """Whether this process may list, enter and change a folder; OSError of EROFS where nobody may change it now."""
        with self._beneath.folder(folder) as descriptor:
            may = os.access(".", os.R_OK | os.W_OK | os.X_OK, dir_fd=descriptor)
            if not may and os.fstatvfs(descriptor).f_flag & os.ST_RDONLY:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), os.fspath(folder))
            return may

    def is_being_written(self, path: Path) -> bool | None:
        """Whether a writer holds the file now, or another program a lease on it; None when the system cannot say."""
        return self._beneath.is_being_written(path)

    def read(self, path: Path) -> bytes:
        """The whole content of one of the spool's own small files, or of the system's."""
        if not self._beneath.holds(path):
            return path.read_bytes()
        with self._beneath.plain(path) as file:
            return file.read()

    def plain(self, path: Path) -> BinaryIO:
        """A regular file, open for reading: this very file, whatever becomes of its name."""
        return self._beneath.plain(path)

    def mkdir(self, folder: Path) -> None:
        """Make one folder, with what the umask leaves of the mode that the layout has for it; its parent must be there.

        One of the daemon's own is nobody else's from its first moment: where others may write, `Beneath` would refuse it.
        """
        root = self._beneath.root
        mode = mode_for(folder.relative_to(root)) if self._beneath.holds(folder) else 0o777
        if folder == root or not self._beneath.holds(folder):
            folder.mkdir(mode)
            return
        with self._beneath.place(folder) as (name, parent):
            os.mkdir(name, mode, dir_fd=parent)

    def make_private(self, folder: Path) -> None:
        """Let nobody but the daemon's user into a folder."""
        self._beneath.make_private(folder)

    def create(self, path: Path) -> BinaryIO:
        """Make a file that must not be there yet, not even as a symlink, open for writing, reading and seeking."""
        # By an opener, so that the file has its path for a name: libraries ask for it.
        return open(path, "x+b", opener=lambda _, flags: self._beneath.open(path, flags))

    def write(self, file: BinaryIO, content: bytes) -> None:
        """Write all of the content."""
        file.write(content)
        file.flush()

    def append(self, path: Path, content: bytes) -> None:
        """Add to one of the spool's own small files, made for the daemon alone if it is missing; nothing of it is durable.

        PermissionError where it has a second name: it may be anybody's, as in `lock`.
        """
        with os.fdopen(self._beneath.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, OWNERS_MODE), "ab") as file:
            st = os.fstat(file.fileno())
            if not stat.S_ISREG(st.st_mode) or st.st_nlink != 1:
                raise PermissionError(errno.EPERM, "not a file of the daemon's own", os.fspath(path))
            file.write(content)

    def fsync(self, file: BinaryIO, _what: str) -> None:
        """Make the content of a file durable. After a failure the file is not to be trusted, nor the call repeated.

        `_what` says in words what becomes durable: the proof leaves out one such call after the other, and names it so.
        """
        file.flush()
        os.fsync(file.fileno())

    def fsync_folder(self, folder: Path, _what: str) -> None:
        """Make the names in a folder durable; `_what` says which, as for `fsync`."""
        with self._beneath.folder(folder, os.O_RDONLY) as descriptor:
            _fsync_folder(descriptor)

    def rename(self, source: Path, target: Path) -> None:
        """Move, replacing what is there: only for names inside the daemon's own folders."""
        with self._beneath.place(source) as (old, away), self._beneath.place(target) as (new, into):
            os.rename(old, new, src_dir_fd=away, dst_dir_fd=into)

    def rename_noreplace(self, source: Path, target: Path) -> None:
        """Move to a name that is free; FileExistsError when it is taken, and nothing has happened then."""
        with self._beneath.place(source) as (old, away), self._beneath.place(target) as (new, into):
            try:
                _renameat2(old, away, new, into)
            except OSError as error:
                if error.errno not in {errno.ENOSYS, errno.EINVAL}:
                    raise
                _rename_if_free(old, away, new, into)

    def unlink(self, path: Path) -> None:
        """Remove one name."""
        with self._beneath.place(path) as (name, folder):
            os.unlink(name, dir_fd=folder)

    def rmdir(self, folder: Path) -> None:
        """Remove an empty folder."""
        with self._beneath.place(folder) as (name, parent):
            os.rmdir(name, dir_fd=parent)

    def lock(self, path: Path, mode: int) -> int:
        """Own a file, made if it is missing, until `unlock`; BlockingIOError while another process owns it. It holds our pid.

        One of an older version, which others could open, gets the mode too.
        """
        fd = self._beneath.open(path, os.O_RDWR | os.O_CREAT, mode)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # A file that has a second name may be anybody's: it is locked, and left as it is.
            if os.fstat(fd).st_nlink == 1:
                with suppress(OSError):  # a filesystem without modes
                    os.fchmod(fd, mode)
                os.ftruncate(fd, 0)
                os.write(fd, f"{os.getpid()}\n".encode())
            return _kept_in_a_socket(fd)
        finally:
            os.close(fd)

    def unlock(self, fd: int) -> None:
        """Let another process own the file for which `lock` returned this descriptor."""
        os.close(fd)


def _kept_in_a_socket(fd: int) -> int:
    """Send an open file to ourselves and let it lie; a descriptor that keeps it, and its lock, until it is closed.

    The kernel flushes each descriptor of a process that ends. On FUSE (sshfs) it asks the server, and where that does not answer
    not even SIGKILL ends the wait: no daemon could stop on a share that is gone. What lies in a socket is closed without a flush.
    """
    sender, keeper = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with sender, keeper:
        socket.send_fds(sender, [b"\0"], [fd])
        return keeper.detach()


def _fsync_folder(descriptor: int) -> None:
    try:
        os.fsync(descriptor)
    except OSError as error:
        # The answer of a filesystem that syncs no folders, of a network say: there is nothing to be done, and nothing was lost.
        if error.errno != errno.EINVAL:
            raise


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
