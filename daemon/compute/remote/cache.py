"""The folder in which a machine keeps what it can do without: fingerprints of models, and models that were fetched.

What is written there is written whole: it is on the disk before its name is there."""

import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

FOLDER_MODE, FILE_MODE = 0o700, 0o600
FINGERPRINTS = "fingerprints.json"


def cache_folder(environ: Mapping[str, str] = os.environ) -> Path:
    """Where it is: what systemd says of the service, or in the cache of whoever runs the program."""
    if said := environ.get("CACHE_DIRECTORY"):
        return Path(said.partition(":")[0])  # there may be several
    return Path(environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "tiffsd"


def write_whole(path: Path, content: bytes) -> None:
    """Write a small file that takes the place of the one that was there, now or not at all. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.rename(path)
    except BaseException:
        with suppress(OSError):
            part.unlink()
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Let the names in a folder be on the disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
