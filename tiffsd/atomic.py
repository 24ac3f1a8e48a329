"""Files that take the place of others at once: whole, or not at all."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from tiffsd.header import new_id


@contextmanager
def replacing(path: Path) -> Iterator[IO[bytes]]:
    """A file to write to that takes the place of `path` at the end.

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


def _begun(part: Path, path: Path) -> IO[bytes]:
    try:
        return part.open("xb")
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None
