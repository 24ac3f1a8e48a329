"""What root does after a member of the group has moved the folders of a spool about: all folders and files where they belong.

Folders are known by their inodes, files by what is in them. Links and FIFOs go, and so does what is nobody's. The daemon may run.
"""

import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import tiffsd

MARK = "innocent"
OF_JOBS = (".work", ".trash")


class Layout:
    """The folders of a spool as they were when this was made."""

    def __init__(self, spool: Path) -> None:
        self._spool = spool
        self._places = {inode: path for inode, path in _folders(spool).items() if MARK not in path.name}

    def put_right(self) -> None:
        """Put every folder back, the outermost first; then what is called innocent and is not where it belongs."""
        numbers = count()
        while misplaced := next(((place, here) for place, here in self._now() if place != here), None):
            place, here = misplaced
            if os.path.lexists(place):
                place.rename(place.with_name(f"debris-{next(numbers)}"))
            here.rename(place)
        for path, st in _all(self._spool):
            if not (stat.S_ISREG(st.st_mode) or stat.S_ISDIR(st.st_mode)):
                path.unlink()
            elif stat.S_ISREG(st.st_mode) and MARK in path.name and self._is_lost(path):
                self._put_where_it_belongs(path)
        for path in _folders(self._spool).values():
            if path.name.startswith(("hers", "debris")):
                shutil.rmtree(path, ignore_errors=True)  # one that lies in another one has gone with it

    def _now(self) -> Iterator[tuple[Path, Path]]:
        """Where each folder belongs, and where it is: in the order of their depth."""
        here, outermost_first = _folders(self._spool), sorted(self._places.items(), key=lambda found: len(found[1].parts))
        return ((place, here[inode]) for inode, place in outermost_first if inode in here)

    def _is_lost(self, path: Path) -> bool:
        """Whether it lies in a folder of hers, or in failed/: not where the daemon or a person would look for it."""
        parts = path.relative_to(self._spool).parts
        return parts[0] == "failed" or any(part.startswith(("hers", "debris")) for part in parts)

    def _put_where_it_belongs(self, path: Path) -> None:
        if (folder := _belongs(path)) is not None:
            path.rename(self._spool / folder / path.name)


def _belongs(path: Path) -> str | None:
    """The folder of an innocent file; None for what only tells of it, and for what was used."""
    if path.suffix == ".txt":
        return None if "Delete this file" in path.read_text() or path.parent.name.startswith("20") else "inbox/1-text"
    if path.suffix != ".tiff" or path.parent.name.startswith("20"):
        return None
    header = tiffsd.inspect(path)
    if header.kind is tiffsd.Kind.PICTURE:
        return "pictures"
    return "inbox/3-decode" if header.state is tiffsd.State.FINAL else "inbox/2-diffuse"


def _folders(spool: Path) -> dict[int, Path]:
    """By their inodes; those of single jobs come and go."""
    return {st.st_ino: path for path, st in _all(spool) if stat.S_ISDIR(st.st_mode) and path.parent.name not in OF_JOBS}


def _all(spool: Path) -> list[tuple[Path, os.stat_result]]:
    found = []
    for above, folders, files in os.walk(spool):
        for name in (*folders, *files):
            with suppress(FileNotFoundError):  # the daemon has moved it
                found.append((Path(above, name), Path(above, name).lstat()))
    return found
