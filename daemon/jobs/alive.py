"""Whether a daemon lives on a spool, for everybody to ask who may not open its lock."""

import fcntl
import json
from pathlib import Path

from daemon.beneath import Beneath
from daemon.layout import ALIVE, LOCK, STATUS


def is_alive(root: Path) -> bool:
    """Whether a daemon runs on a spool, as far as this user can tell."""
    # The lock itself is for the daemon's user to open only; a daemon of an older version has nothing else.
    looks = [_is_locked(root, name) for name in (ALIVE, LOCK)]
    return True in looks or (looks[0] is None and _said_to_be_alive(root))


def _is_locked(root: Path, name: str) -> bool | None:
    """Whether somebody holds a lock on a file; None to whom may not look."""
    try:
        with Beneath(root).plain(root / name) as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except PermissionError:
        return None
    except OSError:
        return False
    return False


def _said_to_be_alive(root: Path) -> bool:
    """What the daemon has said last: to be believed by those who cannot look for themselves."""
    try:
        with Beneath(root).plain(root / STATUS) as file:
            return json.load(file).get("alive") is True
    except (OSError, ValueError, AttributeError):
        return False
