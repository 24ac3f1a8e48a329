"""The lock that makes one daemon the owner of a spool, and the sign for everybody that one lives.

The lock is for nobody else to open: who may open a file may lock it, and would keep the daemon from starting. So members of the
group see by another file whether a daemon runs, which it locks where it can, and which it never needs.

A lock is on a file, and not on its name: where somebody removes `.lock`, a second daemon makes and locks another one. So the owner
looks time and again whether the name still leads to what it has locked, and who comes second asks the other file too: whom its
lock belongs to, and whether that is who has written his process id into it, as a daemon does and a member of the group cannot.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from daemon import layout
from daemon.beneath import FolderMissing
from daemon.errors import AnotherDaemon, SpoolError
from daemon.lease import keeps_owners
from daemon.machine import machines_fault
from daemon.spool.filesystem import Filesystem

# Whoever asks whether a daemon runs holds a lock for an instant: look more than once.
LOOKS = 5
LOOK_SECONDS = 0.02
LOCKS = Path("/proc/locks")


class Locked(NamedTuple):
    """The file that the name of the lock leads to: which it is, and the process id in it."""

    device: int
    inode: int
    owner: str


log = logging.getLogger(__name__)


def lock(fs: Filesystem, root: Path) -> int:
    """Own the spool until the returned descriptor is unlocked. Raises AnotherDaemon when another process does.

    Else MachineError or SpoolError, by who is at fault that it cannot be locked.
    """
    path = root / layout.LOCK
    try:
        _put_a_strangers_aside(fs, root, path)
        return _patiently(lambda: fs.lock(path, layout.LOCK_MODE))
    except BlockingIOError:
        pass
    except PermissionError as error:
        raise SpoolError(f"{path} cannot be opened ({error.strerror}); run the daemon as the user whose it is.") from error
    except OSError as error:
        doing = f"{path} cannot be locked"
        raise machines_fault(error, doing, path) or SpoolError(f"{doing}: {error.strerror}; move away what lies there.") from error
    raise _another(root, _written_in(fs, path))


def _another(root: Path, owner: str) -> AnotherDaemon:
    who = f"process {owner}" if owner else "another process"
    return AnotherDaemon(f"A daemon already runs on {root} ({who}); stop it first, or use another spool.")


def looked_at(fs: Filesystem, root: Path) -> Locked | None:
    """What the name of the lock leads to; None where nothing is there, or that cannot be told."""
    path = root / layout.LOCK
    with suppress(OSError):
        st = fs.lstat(path)
        return Locked(st.st_dev, st.st_ino, _written_in(fs, path))
    return None


def is_still_ours(fs: Filesystem, root: Path, locked: Locked | None) -> bool:
    """Whether the name of the lock leads to the file that was locked; True also where that cannot be told now."""
    if locked is None:
        return True
    path = root / layout.LOCK
    try:
        st = fs.lstat(path)
    except FolderMissing:
        return True
    except OSError as error:
        return not isinstance(error, FileNotFoundError)
    if (st.st_dev, st.st_ino) == (locked.device, locked.inode):
        return True
    # The filesystems of a network may give a file another number when it is looked up again.
    return not keeps_owners(st.st_dev) and _written_in(fs, path) == locked.owner


def mark_alive(fs: Filesystem, root: Path, *, lock_was_there: bool) -> int | None:
    """Let others see that a daemon lives until the returned descriptor is unlocked; None where that cannot be.

    Raises AnotherDaemon where a daemon has it, which has lost its lock then. A member of the group who holds it is none.
    """
    path = root / layout.ALIVE
    try:
        return _patiently(lambda: fs.lock(path, layout.ALIVE_MODE))
    except BlockingIOError as error:
        if (owner := _daemon_that_holds(fs, path, lock_was_there=lock_was_there)) is not None:
            raise _another(root, owner) from error
        reason = error.strerror
    except OSError as error:
        reason = error.strerror
    log.warning("%s cannot be locked, so others may not see that a daemon runs: %s", path, reason)
    return None


def _daemon_that_holds(fs: Filesystem, path: Path, *, lock_was_there: bool) -> str | None:
    """The process id of the daemon that has locked the sign of life, where it was a daemon."""
    owner, holders = _written_in(fs, path), _holders(fs, path)
    if holders:
        return owner if owner in holders else None
    # Those of other machines and containers are not listed. Only the lock that was not there makes it likely.
    return owner if owner and not lock_was_there else None


def _holders(fs: Filesystem, path: Path) -> set[str]:
    """The processes here that have locked a file, by their ids."""
    try:
        inode, lines = str(fs.lstat(path).st_ino), fs.read(LOCKS).decode("ascii", "replace").splitlines()
    except OSError:
        return set()
    fields = [line.split() for line in lines if "->" not in line]
    # Not by the device: of some filesystems it is another one here than stat has it.
    return {field[4] for field in fields if len(field) > 5 and field[1] == "FLOCK" and field[5].rpartition(":")[2] == inode}


def _written_in(fs: Filesystem, path: Path) -> str:
    """The process id in a lock; empty where there is none."""
    with suppress(OSError):
        words = fs.read(path)[:20].decode("ascii", "replace").strip()
        return words if words.isdecimal() else ""
    return ""


def _patiently(lock_now: Callable[[], int]) -> int:
    for _ in range(LOOKS - 1):
        try:
            return lock_now()
        except BlockingIOError:
            time.sleep(LOOK_SECONDS)
    return lock_now()


def _put_a_strangers_aside(fs: Filesystem, root: Path, path: Path) -> None:
    """A lock that somebody else made, in a spool whose jobs are ours, is no daemon's: the jobs would be its user's."""
    with suppress(FileNotFoundError):
        if fs.is_a_strangers(path) and not fs.is_a_strangers(root / layout.WORK):
            aside = root / f"{layout.LOCK}.{fs.new_id()}"
            fs.rename_noreplace(path, aside)
            log.warning("%s was made by another user; moved aside to %s", path, aside.name)
