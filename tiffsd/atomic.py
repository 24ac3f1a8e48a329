"""Files that take the place of others at once: whole, or not at all, and on the disk."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from tiffsd.header import new_id


@contextmanager
def replacing(path: Path) -> Iterator[BinaryIO]:
    """A file to write to that takes the place of `path` at the end; then both its content and its name are on the disk.

    Raises IsADirectoryError where that is a folder, and OSError that names it where it cannot be written.
    """
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder, and a file is to be written; name a file")
    part = path.with_name(f".{new_id()}.part")
    try:
        with _begun(part, path) as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
    _sync_folder(path.parent)


def _begun(part: Path, path: Path) -> BinaryIO:
    try:
        return part.open("xb")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None


def _sync_folder(folder: Path) -> None:
    """Make the names in a folder durable, where the system has a way: Windows has none, nor is there one where we may not look."""
    if not hasattr(os, "O_DIRECTORY"):
        return
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except PermissionError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        # The answer of a filesystem that syncs no folders, of a network say: there is nothing to be done, and nothing was lost.
        if error.errno != errno.EINVAL:
            raise
    finally:
        os.close(descriptor)
