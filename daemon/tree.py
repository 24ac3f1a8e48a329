"""The folders of a spool: which there are, whether they can keep its promises, and the lock that makes one daemon its owner."""

import fcntl
import os
import stat
import time
from collections.abc import Mapping
from pathlib import Path

from daemon import names
from daemon.errors import SpoolError

_BY_STAGE = ("inbox", "hold", "failed")
_COMMON = ("embeddings", "running", "steps", "pictures", "done", "previews")
_PRIVATE = (".work", ".trash")  # .keep is only the daemon's too, but harmless to look into


def all_folders(root: Path, inboxes: Mapping[str, str]) -> list[Path]:
    """Every folder of a spool whose inboxes are named by stage."""
    by_stage = [root / kind / name for kind in _BY_STAGE for name in inboxes.values()]
    return [*by_stage, *(root / kind for kind in (*_COMMON, ".keep", *_PRIVATE))]


def create(root: Path, inboxes: Mapping[str, str]) -> None:
    """Make every folder that is missing."""
    for folder in all_folders(root, inboxes):
        folder.mkdir(parents=True, exist_ok=True)
    for private in _PRIVATE:
        (root / private).chmod(0o700)


def check(root: Path, inboxes: Mapping[str, str]) -> None:
    """Raise SpoolError, with a sentence, where the folders cannot keep the spool's promises."""
    for name in inboxes.values():
        if not names.is_plain(name) or name.startswith("."):
            raise SpoolError(f"The inbox {names.shown(name)!r} must be one plain folder name; inboxes lie side by side.")
    seen: dict[tuple[int, int], Path] = {}
    for folder in [root, *(root / kind for kind in _BY_STAGE), *all_folders(root, inboxes)]:
        st = _check_folder(folder, may_be_link=folder == root)
        if other := seen.get((st.st_dev, st.st_ino)):
            raise SpoolError(f"{folder} and {other} are the same folder, so results would run in circles; give each its own.")
        if seen and st.st_dev != next(iter(seen))[0]:
            raise SpoolError(f"{folder} is on another filesystem than {root}; all folders of a spool must be on one.")
        seen[st.st_dev, st.st_ino] = folder


def _check_folder(folder: Path, *, may_be_link: bool) -> os.stat_result:
    try:
        st = folder.stat(follow_symlinks=may_be_link)
    except OSError as error:
        raise SpoolError(f"{folder} cannot be used ({error.strerror}); `tiffsd init` makes the folders of a spool.") from error
    if stat.S_ISLNK(st.st_mode):
        raise SpoolError(f"{folder} is a symbolic link, and the folders of a spool must be real; move the whole spool instead.")
    if not stat.S_ISDIR(st.st_mode):
        raise SpoolError(f"{folder} is a file where a folder of the spool must be; move it away.")
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        raise SpoolError(f"{folder} is not writable for the daemon; give its user or group write permission.")
    return st


def lock(root: Path) -> int:
    """Own the spool as long as the returned descriptor is open. Raises SpoolError when another process does."""
    path = root / ".lock"
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644)
    except OSError as error:
        raise SpoolError(f"{path} cannot be opened ({error.strerror}); give the daemon's user write permission there.") from error
    if not _locked(fd):
        owner = os.read(fd, 20).decode("ascii", "replace").strip()
        os.close(fd)
        who = f"process {owner}" if owner else "another process"
        raise SpoolError(f"A daemon already runs on {root} ({who}); stop it first, or use another spool.")
    os.ftruncate(fd, 0)
    os.write(fd, f"{os.getpid()}\n".encode())
    return fd


def _locked(fd: int) -> bool:
    # Whoever asks for the status of a spool holds the lock for an instant: look more than once.
    for _ in range(5):
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.02)
        else:
            return True
    return False
