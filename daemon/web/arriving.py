"""New files in an inbox: written under a name that is nobody's, and renamed to one that is free when they are whole.

Who goes away in the middle leaves nothing, and who takes a name that somebody has already gets the next number of it.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import count
from pathlib import Path
from typing import BinaryIO

from daemon.beneath import Beneath
from daemon.errors import DaemonError
from daemon.inbox.grouping import is_tied
from daemon.inbox.telling_names import conflict_of, is_nobodys
from daemon.jobs.page.entries import link
from daemon.layout import INBOX
from daemon.names import LIMIT_BYTES, fitted, is_plain, new_id, numbered, shown
from daemon.stages import Stage


class Taken(DaemonError):
    """The name belongs to another file, and with a number behind it this one would not go with what it is meant for."""


class Arriving:
    """A file on its way into the inbox of a stage, open for writing; nothing of it is left but where `arrive` was called."""

    def __init__(self, beneath: Beneath, folder: Path, stage: Stage) -> None:
        self._beneath, self._folder, self._stage = beneath, folder, stage
        self._part = folder / f".{new_id()}{new_id()}.part"
        self.file: BinaryIO = os.fdopen(beneath.open(self._part, os.O_RDWR | os.O_CREAT | os.O_EXCL), "w+b")

    def arrive(self, name: str) -> Path:
        """Let it lie there under its name, or the next number of it, durably. Raises Taken for a companion whose name is taken."""
        self.file.flush()
        os.fsync(self.file.fileno())
        for number in count(1):
            path = self._folder / numbered(name, number)
            try:
                self._beneath.rename_noreplace(self._part, path)
            except FileExistsError:
                if is_tied(self._stage, name):
                    raise Taken(f"{shown(name)} is there already, and goes with another file; give both another name") from None
                continue
            self._beneath.fsync_folder(self._folder)
            return path
        raise AssertionError("counting does not end")

    def leave(self) -> None:
        """Close it, and take away what has not arrived."""
        self.file.close()
        with suppress(FileNotFoundError):
            self._beneath.unlink(self._part)


@contextmanager
def arriving(root: Path, folder: Path, stage: Stage) -> Iterator[Arriving]:
    """A file on its way into a folder of the spool, which leaves nothing behind where the block ends before it arrived."""
    made = Arriving(Beneath(root), folder, stage)
    try:
        yield made
    finally:
        made.leave()


def check_name(stage: Stage, name: str) -> None:
    """Raise DaemonError where a file of this name would be none that the stage takes."""
    said = shown(name)[:100]
    if not is_plain(name) or "/" in name or len(os.fsencode(name)) > LIMIT_BYTES or fitted(name, "") != name:
        raise DaemonError(f"{said!r} is no name for a file")
    if is_nobodys(name) or conflict_of(name):
        raise DaemonError(f"{said} has a name that is not taken for a file to be used; give it another one")
    lower = name.lower()
    if not lower.endswith((*stage.extensions, *stage.companions)):
        ending = os.path.splitext(lower)[1]  # noqa: PTH122 (a name, and no path)
        instead = f"; the stage {stage.instead[ending]} does" if ending in stage.instead else ""
        raise DaemonError(f"{said}: the stage {stage.name} takes no such file{instead}")


def told_of(stage: Stage, path: Path) -> dict[str, str]:
    """What is said of a file that has arrived: where it lies as people read it, and by its link, byte for byte."""
    place = f"{INBOX}/{stage.folder}/{path.name}"
    return {"said": f"dropped: {shown(place)}", "path": shown(place), "link": link(place)}
