"""What lies at a path that a configuration names, as far as this user may look.

Python's own questions raise an error where a folder above may not be entered. Here that counts as nothing there, as it is for this
user, and the sentence on it says why.
"""

import os
from contextlib import suppress
from pathlib import Path

HOMES = {Path("/home"), Path("/root"), Path("/run/user")}


def is_there(path: str | Path) -> bool:
    """Whether anything is seen there."""
    with suppress(OSError):
        return Path(path).exists()
    return False


def is_file(path: str | Path) -> bool:
    """Whether a file is seen there."""
    with suppress(OSError):
        return Path(path).is_file()
    return False


def is_folder(path: str | Path) -> bool:
    """Whether a folder is seen there."""
    with suppress(OSError):
        return Path(path).is_dir()
    return False


def closed_above(path: str | Path) -> Path | None:
    """The first folder above a path that this user may not enter; None where all of them may be entered, or are not there."""
    above = [folder for folder in reversed(Path(path).absolute().parents) if is_folder(folder)]
    return next((folder for folder in above if not os.access(folder, os.X_OK)), None)


def why_not_seen(path: str | Path) -> str | None:
    """The sentence on a folder that keeps this user from what lies at a path; None where nothing does."""
    closed = closed_above(path)
    if closed is None:
        return None
    hidden = " (the sandbox of a service hides homes: ProtectHome=)" if closed in HOMES or HOMES & {*closed.parents} else ""
    return f"{closed} may not be entered by the user that runs this{hidden}; let that user enter it, or put it elsewhere"
