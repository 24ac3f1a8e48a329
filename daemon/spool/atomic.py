"""Files in the spool that are there whole, or not at all: written beside their place, and renamed.

The one way in which the daemon writes whole files below the root, in operations that a test may stop anywhere. To paths that a
person names on the command line `tiffsd/atomic.py` writes in the same way.
"""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from daemon import names
from daemon.spool.filesystem import Filesystem
from daemon.spool.places import beside


@contextmanager
def atomic_write(fs: Filesystem, path: Path, durable: str | None, *, replaces: bool = True) -> Iterator[BinaryIO]:
    """A file to write into; it is at `path` when the block ends without an error, and nothing is there or left of it otherwise.

    `durable` says what it is, as for `Filesystem.fsync`: its content is on the disk before its name is there. With None it may be
    lost with the machine. The name is durable when its folder is synced. Where it `replaces` nothing, a name that is taken is
    FileExistsError.
    """
    part = beside(path, names.fitted(f".{path.name}", ".part"))
    try:
        with _begun(fs, part) as file:
            yield file
            if durable is not None:
                fs.fsync(file, durable)
        if replaces:
            fs.rename(part, path)
        else:
            fs.rename_noreplace(part, path)
    except BaseException:
        with suppress(OSError):
            fs.unlink(part)
        raise


def atomic_replace(fs: Filesystem, path: Path, content: bytes, durable: str | None = None) -> None:
    """Write a small file that takes the place of the one that was there; `durable` as for `atomic_write`."""
    with atomic_write(fs, path, durable) as file:
        fs.write(file, content)


def _begun(fs: Filesystem, part: Path) -> BinaryIO:
    try:
        return fs.create(part)
    except FileExistsError:
        fs.unlink(part)  # of a crash
        return fs.create(part)
