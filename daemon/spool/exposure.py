"""Whether others could put folders of theirs in place of the daemon's, in words, with the command that mends it.

What they would gain is little, because no link of theirs is followed (see `daemon/beneath.py`); but they could stop the daemon, and
two walls are better than one. Folders that members write in are not looked at: there they are at home.
"""

import grp
import os
import pwd
import shlex
import stat
from collections.abc import Callable, Collection, Iterable
from pathlib import Path

from daemon import layout
from daemon.lease import keeps_owners
from daemon.names import shown

SHOWN_NAMES = 3

Members = Callable[[int, Collection[int]], list[str]]


def members_beside(group: int, trusted: Collection[int]) -> list[str]:
    """The users in a group but those of these ids; empty also where the machine does not know the group."""
    try:
        entry = grp.getgrgid(group)
    except KeyError:
        return []
    named = {user.pw_name: user.pw_uid for user in pwd.getpwall() if user.pw_gid == group or user.pw_name in entry.gr_mem}
    return sorted(name for name, user in named.items() if user not in trusted)


def complaints(root: Path, stages: Iterable[str], *, members: Members = members_beside) -> list[str]:
    """One sentence for each way in which others could replace the folders of a spool, or the spool. Raises OSError."""
    top = root.resolve()
    trusted = {0, os.geteuid(), top.stat().st_uid}
    fixed = [top / folder.path for folder in layout.folders(stages) if folder.writers is not layout.Writers.MEMBERS]
    found = [(path, path.lstat()) for path in (*reversed(top.parents), *fixed)]
    found = [(path, st) for path, st in found if keeps_owners(st.st_dev)]
    # Where a folder is sticky, who may write in it can replace only what is his own.
    open_to = [(path, st) for path, st in found if not st.st_mode & stat.S_ISVTX]
    sentences = [
        f"{shown(str(path))} belongs to {_user(st.st_uid)}, who can replace what lies in it; run `chown {_user(os.geteuid())} "
        f"{shlex.quote(shown(str(path)))}`, or put the spool elsewhere"
        for path, st in found
        if st.st_uid not in trusted
    ]
    if everybodys := [path for path, st in open_to if st.st_mode & stat.S_IWOTH]:
        sentences.append(_sentence("everybody", everybodys, "o-w"))
    shared = {path: _writers(path, members(st.st_gid, trusted)) for path, st in open_to if st.st_mode & stat.S_IWGRP}
    if groups := {path: who for path, who in shared.items() if who}:
        names = sorted(set().union(*groups.values()))
        others = f" and {len(names) - SHOWN_NAMES} others" if len(names) > SHOWN_NAMES else ""
        sentences.append(_sentence(", ".join(names[:SHOWN_NAMES]) + others, list(groups), "g-w"))
    return sentences


def _sentence(who: str, paths: list[Path], change: str) -> str:
    places = " ".join(shlex.quote(shown(str(path))) for path in paths)
    return f"{who} can replace folders of the daemon's by folders of their own; run `chmod {change} {places}`"


def _writers(path: Path, members: list[str]) -> list[str]:
    """Who may write where its group may; with an access control list the group's bits are the most that anybody named there may."""
    return [*members, "somebody in an access control list"] if "system.posix_acl_access" in os.listxattr(path) else members


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
