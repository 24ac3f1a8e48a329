"""The filesystem as the spool sees it: every operation it makes on files, the time of day, and fresh ids.

One small object, so that a test can stop the world before any of these calls, or let any of them fail, and look at what is
left. Nothing here decides anything. New folders get what the umask leaves of their mode in the layout.
"""

import errno
import fcntl
import os
import socket
import stat
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import BinaryIO

from daemon import names
from daemon.beneath import Beneath
from daemon.layout import OWN_MODE, mode_for
from daemon.walking import Kept

BUFFER_BYTES = 1 << 16
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Filesystem:
    """Thin wrappers of the calls that the spool makes; all raise OSError as the system does.

    What lies below the root is reached by `Beneath`, whatever lies in the way; only the checks at the start look elsewhere.
    """

    def __init__(self, root: Path) -> None:
        self._beneath, self._root = Beneath(root), root
        self._kept: Kept | None = None
        self._left_out: frozenset[str] = frozenset()

    def now(self) -> datetime:
        """The time of day, aware, for names and records; never for deciding."""
        return datetime.now(UTC)

    def new_id(self) -> str:
        """A fresh id: 8 hex digits."""
        return names.new_id()

    def boot(self) -> str:
        """What names this run of the machine; empty where the system does not say."""
        return _boot()

    def list(self, folder: Path) -> list[str]:
        """The names in a folder, in no order."""
        return self._beneath.names(folder)

    def kinds(self, folder: Path) -> dict[str, bool]:
        """The names in a folder, in no order, each with whether it is a folder itself; a symlink is none."""
        return self._beneath.kinds(folder)

    def lstat(self, path: Path) -> os.stat_result:
        """What is at the path itself; symlinks are not followed."""
        return self._beneath.lstat(path) if self._beneath.is_below(path) else path.lstat()

    def born(self, path: Path) -> int | None:
        """When a file was made, in nanoseconds of the epoch, whatever was done to it since; None where the system does not say."""
        return self._beneath.born(path)

    def is_a_strangers(self, path: Path) -> bool:
        """Whether what is at a path is somebody else's than root's, the spool's owner's and ours; False where none can tell."""
        return self._beneath.is_a_strangers(path)

    def stat(self, path: Path) -> os.stat_result:
        """What is at the path, or where the symlink at the path leads: for the root."""
        return path.stat()

    def may_change(self, folder: Path) -> bool:
        """Whether this process may list, enter and change a folder; OSError of EROFS where nobody may change it now."""
        return self._beneath.may_change(folder)

    def is_being_written(self, path: Path) -> bool | None:
        """Whether a writer holds the file now, or another program a lease on it; None when the system cannot say."""
        return self._beneath.is_being_written(path)

    def read(self, path: Path) -> bytes:
        """The whole content of one of the spool's own small files, or of the system's."""
        if not self._beneath.is_below(path):
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
        if self._beneath.is_below(folder):
            self._beneath.mkdir(folder, mode_for(folder.relative_to(self._root)))
        else:  # the root, and the folders above it
            folder.mkdir(mode_for(Path()) if folder == self._root else 0o777)

    def make_private(self, folder: Path) -> None:
        """Let nobody but the daemon's user into a folder."""
        self._beneath.make_private(folder)

    def create(self, path: Path) -> BinaryIO:
        """Make a file that must not be there yet, not even as a symlink, open for writing, reading and seeking."""
        # By an opener, so that the file has its path for a name: libraries ask for it. With a size, nobody asks for a terminal.
        return open(path, "x+b", BUFFER_BYTES, opener=lambda _, flags: self._beneath.open(path, flags))

    def write(self, file: BinaryIO, content: bytes) -> None:
        """Write all of the content."""
        file.write(content)
        file.flush()

    def append(self, path: Path, content: bytes) -> None:
        """Add to one of the spool's own small files, made for the daemon alone if it is missing; nothing of it is durable.

        PermissionError where it has a second name: it may be anybody's, as in `lock`.
        """
        with os.fdopen(self._beneath.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, OWN_MODE), "ab") as file:
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

    def fsync_folder(self, folder: Path, what: str) -> None:
        """Make the names in a folder durable; `what` says which, as for `fsync`."""
        if what not in self._left_out:
            self._beneath.fsync_folder(folder)

    def leave_out(self, syncs: frozenset[str]) -> None:
        """Sync no folders any more of which these words say what becomes durable."""
        self._left_out = syncs

    def rename(self, source: Path, target: Path) -> None:
        """Move, replacing what is there: only for names inside the daemon's own folders."""
        self._beneath.rename(source, target)

    def rename_noreplace(self, source: Path, target: Path) -> None:
        """Move to a name that is free; FileExistsError when it is taken, and nothing has happened then."""
        self._beneath.rename_noreplace(source, target)

    def unlink(self, path: Path) -> None:
        """Remove one name."""
        self._beneath.unlink(path)

    def rmdir(self, folder: Path) -> None:
        """Remove an empty folder."""
        self._beneath.rmdir(folder)

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

    def keep_folders(self) -> None:
        """Keep the folders at the top open, so that all walks are shorter, until `let_folders_go`; only while the lock is ours.

        An open folder is a mount that is busy, as an open lock is.
        """
        self._kept = Kept(self._root)

    def let_folders_go(self) -> None:
        """Keep no folder open any more."""
        self._kept = None


@cache
def _boot() -> str:
    try:
        return BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _kept_in_a_socket(fd: int) -> int:
    """Send an open file to ourselves and let it lie; a descriptor that keeps it, and its lock, until it is closed.

    The kernel flushes each descriptor of a process that ends. On FUSE (sshfs) it asks the server, and where that does not answer
    not even SIGKILL ends the wait: no daemon could stop on a share that is gone. What lies in a socket is closed without a flush.
    """
    sender, keeper = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with sender, keeper:
        socket.send_fds(sender, [b"\0"], [fd])
        return keeper.detach()
