"""The lock that makes one daemon the owner of a spool, and the sign for everybody that one lives.

The lock is for nobody else to open: who may open a file may lock it, and would keep the daemon from starting. So members of the
group see by another file whether a daemon runs, which it locks where it can, and which it never needs.
"""

import logging
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from daemon import layout
from daemon.errors import AnotherDaemon, SpoolError
from daemon.machine import machines_fault
from daemon.spool.filesystem import Filesystem

# Whoever asks whether a daemon runs holds a lock for an instant: look more than once.
LOOKS = 5
LOOK_SECONDS = 0.02

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
        raise SpoolError(f"{path} cannot be opened ({error.strerror}); give it to the daemon's user.") from error
    except OSError as error:
        doing = f"{path} cannot be locked"
        raise machines_fault(error, doing, path) or SpoolError(f"{doing}: {error.strerror}; move away what lies there.") from error
    owner = ""
    with suppress(OSError):
        owner = fs.read(path)[:20].decode("ascii", "replace").strip()
    who = f"process {owner}" if owner else "another process"
    raise AnotherDaemon(f"A daemon already runs on {root} ({who}); stop it first, or use another spool.")


def mark_alive(fs: Filesystem, root: Path) -> int | None:
    """Let others see that a daemon lives until the returned descriptor is unlocked; None where that cannot be."""
    try:
        return _patiently(lambda: fs.lock(root / layout.ALIVE, layout.ALIVE_MODE))
    except OSError as error:
        log.warning("%s cannot be locked, so others may not see that a daemon runs: %s", root / layout.ALIVE, error.strerror)
        return None


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
