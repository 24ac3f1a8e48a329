"""The programs of others that some tests drive: whether they are here, and what they run in."""

import os
import shutil
import sys
from pathlib import Path

# Debian has them on the PATH of root only.
SYSTEM_FOLDERS = ("/usr/sbin", "/sbin")


def is_here(part: str) -> bool:
    """Whether this machine has a command, or a file whose absolute path fits the pattern: a command is seldom the whole program."""
    if part.startswith("/"):
        return bool(the_file(part))
    return shutil.which(part, path=outside()["PATH"]) is not None


def the_file(pattern: str) -> str:
    """The first file whose absolute path fits the pattern, or nothing."""
    return str(next(iter(sorted(Path("/").glob(pattern[1:]))), ""))


def outside(**more: str) -> dict[str, str]:
    """An environment for them, without ours: a Python inside an editor takes the `python3` on the PATH for its own."""
    ours = ("PYTHON", "VIRTUAL_ENV")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    folders = [folder for folder in kept["PATH"].split(os.pathsep) if not _is_ours(folder)]
    return {**kept, "PATH": os.pathsep.join([*folders, *SYSTEM_FOLDERS]), **more}


def _is_ours(folder: str) -> bool:
    """Whether a folder of the PATH is that of the environment that runs the tests, or of another that was activated."""
    environments = {os.environ.get("VIRTUAL_ENV")} | ({sys.prefix} if sys.prefix != sys.base_prefix else set())
    return any(environment and Path(folder).resolve() == Path(environment, "bin").resolve() for environment in environments)
