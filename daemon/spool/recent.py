"""The drops of the last while: what was in their files and where those lie, to know them when somebody comes back to them.

Who copies over a network comes back to what was copied: sets its time, asks for its hash, and where it is gone, because the
daemon has taken it, copies it once more. Others go on writing into a file that was taken for finished. So the daemon keeps a line
of JSON for each drop that was used, or has failed, in `.recent`, for itself and for a later one. A line counts until other files
lie where it says. One that is lost, in a power cut, costs a run more; so none is waited for, and one that cannot be written
is done without.

    {"at": 1764475200.0, "stage": "text", "stem": "cat", "place": "done/2026-11-30", "late": false, "members":
     {"principal": {"dropped": "cat.txt", "lies": "cat-2.txt", "mark": [inode, size, mtime_ns], "sha256": "...",
                   "born": 1764475190000000000}}}

    at        seconds of the epoch, when the drop was claimed
    place     the folder that its files lie in by now; empty while its job runs
    late      whether somebody may still write into its files
    sha256    of what the job has read, null where it has read nothing
    born      when the file was made, in nanoseconds of the epoch, null where the system does not say: by that a file that was moved
              is told from a copy of it
"""

import hashlib
import io
import json
import threading
from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO

from daemon.inbox.grouping import PRINCIPAL, Drop
from daemon.layout import DONE, FAILED, RECENT
from daemon.names import is_plain
from daemon.spool.atomic import atomic_replace
from daemon.spool.claims import Claim
from daemon.spool.filesystem import Filesystem
from daemon.spool.records import Fingerprint

MOST_KNOWN = 5_000  # drops that are remembered, the latest ones
# A file with nothing in it but holes is as large as somebody likes, and would take hours.
MOST_HASHED_BYTES = 256 * 2**20
BLOCK_BYTES = 1 << 20
LATE_SECONDS = 600.0  # after its claim somebody may still write into a file that he had open then


@dataclass(frozen=True, slots=True)
class RecentFile:
    """One file: its name as it was dropped and where it lies now, what it was like, its content, when it was made; see above."""

    dropped: str
    lies: str
    mark: Fingerprint
    sha256: str | None = None
    born: int | None = None


@dataclass(frozen=True, slots=True)
class RecentDrop:
    """The files of one job by role; see above."""

    at: float
    stage: str
    stem: str
    place: str
    late: bool
    members: Mapping[str, RecentFile]

    @property
    def runs(self) -> bool:
        """Whether its job is not over yet."""
        return not self.place

    @property
    def has_failed(self) -> bool:
        """Whether its job has failed; one that was used lies in done/."""
        return self.place.startswith(f"{FAILED}/")

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing in its principal."""
        return self.members[PRINCIPAL].mark[1] == 0


class RecentDrops:
    """The recent drops of one spool; any thread may ask and tell."""

    def __init__(self, root: Path, fs: Filesystem) -> None:
        self._path, self._fs = root / RECENT, fs
        self._lock = threading.Lock()
        self._running: dict[str, RecentDrop] = {}  # by job
        self._over: deque[RecentDrop] = deque()
        self._by_name: dict[tuple[str, str], list[RecentDrop]] = {}  # stage, name of the principal -> those that are over
        self._by_place: dict[tuple[str, str], RecentDrop] = {}  # folder, name there -> whose file lies there
        self._lines = 0

    def read(self) -> None:
        """Take up what an earlier daemon has written, as far as it can be read; the inverse of `add`."""
        try:
            if self._fs.is_a_strangers(self._path):
                return
            lines = self._fs.read(self._path).splitlines()
        except OSError:
            return
        with self._lock:
            self._over.clear()
            self._by_name.clear()
            self._by_place.clear()
            for line in lines:
                with suppress(ValueError, KeyError, TypeError, AttributeError):  # the last one, of a crash
                    self._keep(_drop_of(json.loads(line)))
            self._lines = len(lines)

    def begin(self, claim: Claim, at: float) -> None:
        """Remember files whose job begins, whose content nobody knows yet."""
        members = {role: RecentFile(name, name, claim.fingerprints.get(role, (0, 0, 0))) for role, name in claim.names.items()}
        with self._lock:
            self._running[claim.job] = RecentDrop(at, claim.stage, claim.stem, "", late=False, members=members)

    def note(
        self, job: str, marks: Mapping[str, Fingerprint], contents: Mapping[str, str | None], born: Mapping[str, int | None]
    ) -> None:
        """Note what a job has read, by role: the content, what the file was like before, and when it was made."""
        with self._lock:
            drop = self._running[job]
            known = {
                role: replace(file, mark=marks[role], sha256=contents[role], born=born[role]) for role, file in drop.members.items()
            }
            self._running[job] = replace(drop, members=known)

    def running(self, job: str) -> RecentDrop | None:
        """What is known of a job that runs."""
        with self._lock:
            return self._running.get(job)

    def end(self, job: str) -> None:
        """Forget a job that runs no more."""
        with self._lock:
            self._running.pop(job, None)

    def add(self, drop: RecentDrop) -> None:
        """Remember files whose job is over, for later daemons too."""
        with self._lock:
            self._keep(drop)
            with suppress(OSError):
                self._write(drop)

    def alike(self, stage: str, drop: Drop) -> list[RecentDrop]:
        """Those that run or are over and had files of these names and sizes, or more beside them; the latest first."""
        name = drop.principal.path.name
        with self._lock:
            known = [*self._by_name.get((stage, name), ()), *(run for run in self._running.values() if run.stage == stage)]
        return sorted((past for past in known if _is_alike(past, drop)), key=lambda past: -past.at)

    def late(self, now: float) -> list[RecentDrop]:
        """Those that are over, and into whose files somebody may still write; `now` in seconds of the epoch."""
        with self._lock:
            return [drop for drop in self._over if drop.late and abs(now - drop.at) < LATE_SECONDS]

    def empty_failures(self, stage: str, name: str) -> list[RecentDrop]:
        """Those of a principal of that name that have failed because it was empty."""
        with self._lock:
            return [drop for drop in self._by_name.get((stage, name), ()) if drop.has_failed and drop.is_empty]

    def has_run(self, stage: str, name: str) -> bool:
        """Whether a principal of that name was used, or is being used."""
        with self._lock:
            over = any(not drop.has_failed for drop in self._by_name.get((stage, name), ()))
            return over or any(_key(drop) == (stage, name) for drop in self._running.values())

    def forget(self, drop: RecentDrop) -> None:
        """Forget files whose job is over, in this daemon: they lie elsewhere, or are different now."""
        with self._lock:
            self._forget(drop)

    def gone(self, drop: RecentDrop) -> None:
        """Note that files that were used have left done/: nobody writes into them there any more, but copies of them may come."""
        with self._lock:
            if any(known is drop for known in self._over):
                self._forget(drop)
                self._keep(replace(drop, late=False))

    def _forget(self, drop: RecentDrop) -> None:
        self._over = deque(known for known in self._over if known is not drop)
        self._unlist(drop)

    def _keep(self, drop: RecentDrop) -> None:
        for place in _places(drop):
            if (before := self._by_place.get(place)) is not None:
                self._forget(before)  # what lies there now is this one's
            self._by_place[place] = drop
        self._over.append(drop)
        self._by_name.setdefault(_key(drop), []).append(drop)
        if len(self._over) > MOST_KNOWN:
            self._unlist(self._over.popleft())

    def _unlist(self, drop: RecentDrop) -> None:
        for place in _places(drop):
            if self._by_place.get(place) is drop:
                del self._by_place[place]
        left = [known for known in self._by_name.pop(_key(drop), ()) if known is not drop]
        if left:
            self._by_name[_key(drop)] = left

    def _write(self, drop: RecentDrop) -> None:
        if self._lines < 2 * MOST_KNOWN:
            self._fs.append(self._path, _line(drop))
            self._lines += 1
        else:
            atomic_replace(self._fs, self._path, b"".join(map(_line, self._over)))
            self._lines = len(self._over)


def digest_of(file: BinaryIO) -> str | None:
    """The SHA-256 of a file that is open at its start; None where it is larger than is read for that."""
    if file.seek(0, io.SEEK_END) > MOST_HASHED_BYTES:
        return None
    file.seek(0)
    digest, left = hashlib.sha256(), MOST_HASHED_BYTES
    while block := file.read(min(BLOCK_BYTES, left + 1)):
        left -= len(block)
        if left < 0:
            return None  # somebody makes it larger while it is read
        digest.update(block)
    return digest.hexdigest()


def paths_of(drop: RecentDrop, root: Path) -> Iterator[tuple[str, Path]]:
    """Where the files of a job that is over lie, by role."""
    return ((role, root / drop.place / file.lies) for role, file in drop.members.items())


def _places(drop: RecentDrop) -> list[tuple[str, str]]:
    return [(drop.place, file.lies) for file in drop.members.values()]


def _is_alike(past: RecentDrop, drop: Drop) -> bool:
    """Whether these files were among those, by name and size: who comes back may come back to some of them."""
    looks = {role: (file.dropped, file.mark[1]) for role, file in past.members.items()}
    return all(looks.get(member.role) == (member.path.name, member.mark[2]) for member in drop.members)


def _key(drop: RecentDrop) -> tuple[str, str]:
    return drop.stage, drop.members[PRINCIPAL].dropped


def _line(drop: RecentDrop) -> bytes:
    members = {role: _fields(file) for role, file in drop.members.items()}
    return json.dumps(_fields(drop) | {"members": members}).encode() + b"\n"


def _fields(one: RecentDrop | RecentFile) -> dict[str, Any]:
    return {name: getattr(one, name) for name in one.__slots__}


def _drop_of(said: Mapping[str, Any]) -> RecentDrop:
    members = {str(role): _file_of(file) for role, file in said["members"].items()}
    drop = RecentDrop(float(said["at"]), str(said["stage"]), str(said["stem"]), str(said["place"]), bool(said["late"]), members)
    if PRINCIPAL not in members or not _are_plain([drop.stem, *drop.place.split("/")]) or not drop.place.startswith((DONE, FAILED)):
        raise ValueError("it names no files that were used or have failed")
    return drop


def _file_of(said: Mapping[str, Any]) -> RecentFile:
    inode, size, mtime = said["mark"]
    sha256 = None if said["sha256"] is None else str(said["sha256"])
    born = None if said.get("born") is None else int(said["born"])
    file = RecentFile(str(said["dropped"]), str(said["lies"]), (int(inode), int(size), int(mtime)), sha256, born)
    if not _are_plain([file.dropped, file.lies]):
        raise ValueError("it names a file outside of its folder")
    return file


def _are_plain(words: Iterable[str]) -> bool:
    return all(map(is_plain, words))
