"""Whether the person at the command line may look into a spool: who may not sees nothing, and must not be told that it is empty."""

import os
import stat
from pathlib import Path

from daemon.errors import SpoolError
from daemon.jobs.running import group_name, user_name
from daemon.layout import INBOX
from daemon.models.there import closed_above


def check_may_enter(root: Path) -> None:
    """Raise SpoolError, with the way in, where a spool is there and this user may not look into it."""
    closed = closed_above(root / INBOX / "file")
    if closed is None:
        return
    found, you = closed.stat(), user_name(os.geteuid())
    group = group_name(found.st_gid)
    if found.st_mode & stat.S_IXGRP and found.st_gid:  # nobody is to join root's group
        way_in = f"`sudo usermod -aG {group} {you}`, then log in anew"
    else:
        way_in = f"only {user_name(found.st_uid)} may"
    raise SpoolError(f"{closed} may not be entered by you ({you}), so nothing can be said of the spool: {way_in}")
