"""The layout of a spool: its folders and files by name, and who may write where.

Whoever may write in a folder may replace what lies in it, folders too. So members of the group write where they drop, edit,
approve, cancel and take away; the folders that only hold such folders are the daemon's, and a job is nobody else's at all.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum
from pathlib import PurePath

INBOX, HOLD, FAILED, DONE = "inbox", "hold", "failed", "done"
EMBEDDINGS, RUNNING, STEPS, PICTURES, PREVIEWS = "embeddings", "running", "steps", "pictures", "previews"
WORK, KEEP, TRASH = ".work", ".keep", ".trash"
PROOFS = f"{KEEP}/proofs"  # made when there is one

BY_STAGE = (INBOX, HOLD, FAILED)  # with a folder in it for each stage
OF_MEMBERS = (EMBEDDINGS, RUNNING, STEPS, PICTURES, PREVIEWS)
# What is the daemon's alone, at the top of a spool: nobody else may have made it, or may look into it.
PRIVATE = (WORK, KEEP, TRASH)

# What people put into a folder, in any case: into an inbox, so that its stage rests; into a hold folder, so that its gate is on.
PAUSE_SIGN, HOLD_SIGN = "PAUSE", "HOLD"

# Locked while a daemon runs: the one keeps a second one out, the other shows members that one lives, and is never needed.
LOCK, LOCK_MODE = ".lock", 0o600
ALIVE, ALIVE_MODE = ".alive", 0o640
# What the daemon says of itself.
STATUS = "status.json"
# Whose results the daemon's own files are, and what was dropped lately: for it alone to write.
OWNERS, RECENT, OWN_MODE = ".owners", ".recent", 0o600


class Writers(Enum):
    """Who may change what lies in a folder, by its mode; with set-gid, what anybody makes there belongs to the group."""

    MEMBERS = 0o2770
    DAEMON = 0o2750
    DAEMON_ALONE = 0o700  # and nobody else may look


@dataclass(frozen=True)
class Folder:
    """One folder; `path` is below the root of the spool, "." for the root itself."""

    path: str
    writers: Writers


def folders(stages: Iterable[str]) -> list[Folder]:
    """Every folder of a spool whose stages have folders of these names; a folder stands behind the one that it lies in."""
    names = list(stages)
    found = [Folder(".", Writers.DAEMON)]
    for kind in BY_STAGE:
        found += [Folder(kind, Writers.DAEMON), *(Folder(f"{kind}/{name}", Writers.MEMBERS) for name in names)]
    found += [Folder(DONE, Writers.DAEMON), *(Folder(name, Writers.MEMBERS) for name in OF_MEMBERS)]
    return [*found, *(Folder(name, Writers.DAEMON_ALONE) for name in PRIVATE)]


def mode_for(path: PurePath) -> int:
    """The mode to make a folder with, of which the umask takes its part; `path` is below the root of the spool.

    A group shares a spool where the umask leaves it its bits, and then what holds its folders is still for the daemon to change.
    """
    if str(path) in PRIVATE:
        return Writers.DAEMON_ALONE.value
    return 0o755 if str(path) in (".", *BY_STAGE, DONE) else 0o777


def tmpfiles(root: str, stages: Iterable[str], *, user: str, group: str) -> list[str]:
    """The lines by which systemd-tmpfiles makes the folders, and mends those of an older version; see tmpfiles.d(5).

    The default ACLs are for those whose umask is 022 or 077: what they make is still open to the group. They stand behind the
    folders, so each folder is named: a default ACL is inherited only by what comes later.
    """
    every = folders(stages)
    shared = [folder for folder in every if folder.writers is not Writers.DAEMON_ALONE]
    where = {folder: root if folder.path == "." else f"{root}/{folder.path}" for folder in every}
    wide = max(map(len, where.values()))
    acl = "default:user::rwx,default:group::rwx,default:other::---"
    return [
        *(f"d  {where[folder]:{wide}} {folder.writers.value:04o} {user} {group} -" for folder in every),
        *(f"a+ {where[folder]:{wide}} -    -      -      - {acl}" for folder in shared),
        *(f"z  {f'{root}/{name}':{wide}} {mode:04o} {user} {group} -" for name, mode in ((LOCK, LOCK_MODE), (ALIVE, ALIVE_MODE))),
    ]
