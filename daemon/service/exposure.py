"""Whether others could put folders of theirs in place of the daemon's, in words, with the command that mends it.

What they would gain is little, because no link of theirs is followed (see `daemon/beneath.py`); but they could stop the daemon, and
two walls are better than one. Folders that members write in are not looked at: there they are at home.
"""

import grp
import logging
import os
import pwd
import shlex
import stat
from collections.abc import Callable, Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon import layout
from daemon.errors import in_words
from daemon.lease import keeps_owners
from daemon.names import shown
from daemon.spool.filesystem import Filesystem
from daemon.spool.hardlinks import unprotected_links
from daemon.stages import Stage

log = logging.getLogger(__name__)

SHOWN_NAMES = 3
# In a container these stand for all whom it does not know: of a file of theirs nobody can say whose it is.
UNKNOWN = Path("/proc/sys/fs/overflowuid")  # a group of the same number

Members = Callable[[int, Collection[int]], list[str]]


@dataclass(frozen=True)
class Found:
    """A folder that must stay where it is; what lies above the spool is not the daemon's to give away or to close."""

    path: Path
    st: os.stat_result
    above: bool

    @property
    def words(self) -> str:
        """The path, as part of a command."""
        return shlex.quote(shown(str(self.path)))


def members_beside(group: int, trusted: Collection[int]) -> list[str]:
    """The users in a group but those of these ids; empty also where the machine does not know the group."""
    try:
        named = set(grp.getgrgid(group).gr_mem)
    except KeyError:
        return []
    users = {user.pw_name: user.pw_uid for user in pwd.getpwall() if user.pw_gid == group}
    for name in named - users.keys():
        users[name] = -1  # where it is not known, it is not trusted
        with suppress(KeyError):
            users[name] = pwd.getpwnam(name).pw_uid
    return sorted(name for name, user in users.items() if user not in trusted)


def warn(root: Path, stages: Iterable[Stage]) -> tuple[str, ...]:
    """Say in the log what others could do to a spool, with the commands that keep them from it; the same sentences."""
    folders = [stage.folder for stage in stages]
    links = unprotected_links(Filesystem(root), [root / layout.INBOX / folder for folder in folders])
    try:
        exposed = complaints(root, folders)
    except OSError as error:
        exposed = [f"whether others could replace folders of the daemon's cannot be told: {in_words(error)}"]
    sentences = (*exposed, links) if links else tuple(exposed)
    for sentence in sentences:
        log.warning("%s", sentence)
    return sentences


def complaints(root: Path, stages: Iterable[str], *, members: Members = members_beside) -> list[str]:
    """One sentence for each way in which others could replace the folders of a spool, or the spool. Raises OSError."""
    found = _looked_at(root.resolve(), stages)
    trusted = {0, os.geteuid(), root.stat().st_uid, _unknown()}
    sentences = [_of_an_owner(folder) for folder in found if folder.st.st_uid not in trusted]
    # Where a folder is sticky, who may write in it can replace only what is his own.
    open_to = [folder for folder in found if not folder.st.st_mode & stat.S_ISVTX]
    everybodys = [folder for folder in open_to if folder.st.st_mode & stat.S_IWOTH]
    sentences += _of_writers("everybody", everybodys, "o-w")
    shared = [folder for folder in open_to if folder.st.st_mode & stat.S_IWGRP and folder.st.st_gid != _unknown()]
    others = {group: members(group, trusted) for group in {folder.st.st_gid for folder in shared}}
    writers = {folder: [*others[folder.st.st_gid], *_listed(folder.path)] for folder in shared}
    names = sorted(set().union(*writers.values()))
    more = f" and {len(names) - SHOWN_NAMES} others" if len(names) > SHOWN_NAMES else ""
    return sentences + _of_writers(", ".join(names[:SHOWN_NAMES]) + more, [folder for folder in shared if writers[folder]], "g-w")


def _looked_at(top: Path, stages: Iterable[str]) -> list[Found]:
    own = [top / folder.path for folder in layout.folders(stages) if folder.writers is not layout.Writers.MEMBERS]
    found = [Found(path, path.lstat(), above=True) for path in reversed(top.parents)]
    found += [Found(path, path.lstat(), above=False) for path in own]
    return [folder for folder in found if keeps_owners(folder.st.st_dev)]


def _unknown() -> int:
    try:
        return int(UNKNOWN.read_text(encoding="ascii"))
    except (OSError, ValueError):
        return -1


def _listed(path: Path) -> list[str]:
    """With an access control list the bits of the group are the most that anybody named there may."""
    return ["somebody in an access control list"] * ("system.posix_acl_access" in os.listxattr(path))


def _of_an_owner(folder: Found) -> str:
    way_out = "put the spool elsewhere" if folder.above else f"run `chown {_user(os.geteuid())} {folder.words}`"
    return f"{shown(str(folder.path))} belongs to {_user(folder.st.st_uid)}, who can replace what lies in it; {way_out}"


def _of_writers(who: str, folders: list[Found], change: str) -> list[str]:
    """One sentence for those above the spool, which others may need to write in, and one for the daemon's own."""
    above, own = [folder for folder in folders if folder.above], [folder for folder in folders if not folder.above]
    return [
        f"{who} can replace folders of the daemon's by folders of their own; run "
        f"`chmod {'+t' if some is above else change} {' '.join(folder.words for folder in some)}`"
        for some in (above, own)
        if some
    ]


def _user(uid: int) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:
        return str(uid)
