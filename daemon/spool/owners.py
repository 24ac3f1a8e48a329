"""Whose the daemon's own results are: for each, by its inode, the owner of the file that a person dropped first.

Of a result the system says only that the daemon made it. So that one person's work takes turns with that of others in every
stage, the owner goes from job to job in the daemon's own records: in claim.json, and from there, for each result, as a line of
`.owners`. It is never read from a result, which others may change. It decides whose turn it is and nothing else; so no line is
waited for until it is on the disk, and one that cannot be written is done without.

    {"inode": 1234, "owner": 1000}    owner: a user id, or null where it is not known
"""

import json
import os
from contextlib import suppress
from pathlib import Path

from daemon.layout import OWNERS
from daemon.spool.atomic import atomic_replace
from daemon.spool.filesystem import Filesystem

MOST_KNOWN = 50_000  # results that are remembered, the latest ones


class Owners:
    """The owners of the files of one spool, as user ids; None stands for whoever is not known."""

    def __init__(self, root: Path, fs: Filesystem) -> None:
        self._path, self._fs = root / OWNERS, fs
        self._known: dict[int, int] = {}
        self._lines = 0

    def read(self) -> None:
        """Take up what an earlier daemon recorded, as far as it can be read; the inverse of `record`."""
        try:
            if self._fs.is_a_strangers(self._path):
                return
            lines = self._fs.read(self._path).splitlines()
        except OSError:
            return
        self._known.clear()
        for line in lines:
            with suppress(ValueError, KeyError, TypeError):  # the last one, of a crash
                said = json.loads(line)
                self._keep(int(said["inode"]), None if said["owner"] is None else int(said["owner"]))
        self._lines = len(lines)

    def of(self, st: os.stat_result) -> int | None:
        """Who dropped this file, or that from which the daemon made it."""
        return st.st_uid if st.st_uid != os.geteuid() else self._known.get(st.st_ino)

    def record(self, inode: int, owner: int | None) -> None:
        """Remember whose a result is, for later daemons too. Nothing is written where nothing is known of a file of this inode."""
        if owner is None and inode not in self._known:
            return
        self._keep(inode, owner)
        with suppress(OSError):
            self._write(_line(inode, owner))

    def _keep(self, inode: int, owner: int | None) -> None:
        self._known.pop(inode, None)
        if owner is not None:
            self._known[inode] = owner
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]

    def _write(self, line: bytes) -> None:
        if self._lines < 2 * MOST_KNOWN:
            self._fs.append(self._path, line)
            self._lines += 1
        else:
            atomic_replace(self._fs, self._path, b"".join(_line(*known) for known in self._known.items()))
            self._lines = len(self._known)


def _line(inode: int, owner: int | None) -> bytes:
    return json.dumps({"inode": inode, "owner": owner}).encode() + b"\n"
