"""The records of one job in `.work/`: small JSON records, each written whole or not at all.

    claim.json     who the job is, and which files it took        written before it takes them
    attempt.json   how often the job was started                  written before each start
    entrusted.json which start was dispatched to a worker         while a worker has it; when a stop cannot wait for it
    commit.json    what is published where                        from here on only forward
    fail.json      why the job failed, and what people are told   from here on only to failed/

A record is written beside its place, synced, renamed, and the folder synced. So a record that is there but is not what was
written, by its SHA-256, means a damaged disk, not a crash: `DamagedRecord`. Only entrusted.json is not synced: it need not outlive
the machine, and counts for the run of the machine that it names.
"""

import hashlib
import json
import os
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from daemon import names
from daemon.beneath import FolderMissing
from daemon.layout import HOLD, INBOX
from daemon.spool.atomic import atomic_replace
from daemon.spool.filesystem import Filesystem
from daemon.spool.places import inside

CLAIM = "claim.json"
ATTEMPT = "attempt.json"
DISPATCHED = "entrusted.json"
COMMIT = "commit.json"
FAIL = "fail.json"
RECORDS = frozenset({CLAIM, ATTEMPT, DISPATCHED, COMMIT, FAIL})

Record = dict[str, Any]
Fingerprint = tuple[int, int, int]  # inode, size, mtime_ns: what a rename leaves as it was


def fingerprint_of(st: os.stat_result) -> Fingerprint:
    """The fingerprint of a file, by what the system says of it."""
    return st.st_ino, st.st_size, st.st_mtime_ns


class DamagedRecord(Exception):
    """A record is there, and is not what was written."""


@dataclass(frozen=True)
class Publication:
    """One output: `source` is its name in out/, `folder` a folder of the spool ("inbox/2-diffuse"), `name` its name there."""

    source: str
    folder: str
    name: str

    def __post_init__(self) -> None:
        inside = not self.folder.startswith("/") and ".." not in self.folder.split("/")
        if not (names.is_plain(self.source) and names.is_plain(self.name) and self.folder and inside):
            raise ValueError(f"{self} does not name a file of out/ and a place in the spool.")


@dataclass(frozen=True)
class ClaimRecord:
    """What claim.json says; `names` and `fingerprints` by role, `owner` as `owners.py` has it.

    `places` are the folders of the spool, by role, in which those waited that did not lie in the inbox of the stage:
    "hold/2-diffuse".
    """

    stage: str
    stem: str
    id: str
    names: dict[str, str]
    fingerprints: dict[str, Fingerprint]
    owner: int | None = None
    places: dict[str, str] = field(default_factory=dict)


def write(fs: Filesystem, folder: Path, name: str, record: Record, *, durable: bool = True) -> None:
    """Write a record and make it durable, its name included, unless only this run of the machine needs to know it."""
    write_text(fs, folder, name, as_text({"sha256": _digest(record), **record}), durable=durable)
    if durable:
        fs.fsync_folder(folder, f"{name}: its place")


def as_text(record: Record) -> str:
    """A record as JSON, for the daemon and for people."""
    return json.dumps(record, indent=1, default=str) + "\n"


def _digest(record: Record) -> str:
    return hashlib.sha256(json.dumps(record, sort_keys=True, default=str).encode()).hexdigest()


def write_text(fs: Filesystem, folder: Path, name: str, text: str, *, durable: bool = True) -> None:
    """Write a small text, whole or not at all; the content is durable if wanted, the name not yet."""
    atomic_replace(fs, inside(folder, name), text.encode("utf-8", "backslashreplace"), f"{name}: content" if durable else None)


def read(fs: Filesystem, folder: Path, name: str) -> Record | None:
    """The record, or None where there is none. Raises DamagedRecord."""
    try:
        record = json.loads(fs.read(inside(folder, name)))
    except FolderMissing:
        raise  # the job is out of reach, and what is written of it is not known
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DamagedRecord(f"{name} is not JSON: {error}") from error
    if not isinstance(record, dict):
        raise DamagedRecord(f"{name} holds {type(record).__name__} where a record was expected")
    if record.pop("sha256", None) != _digest(record):
        raise DamagedRecord(f"{name} is not what was written")
    return record


def write_claim(fs: Filesystem, folder: Path, claim: ClaimRecord) -> None:
    """Write claim.json; the inverse of `read_claim`."""
    write(fs, folder, CLAIM, {"version": 1, **vars(claim)})


def read_claim(fs: Filesystem, folder: Path) -> ClaimRecord | None:
    """Who the job is, or None if it never came so far. Raises DamagedRecord."""
    record = read(fs, folder, CLAIM)
    if record is None:
        return None
    try:
        members = {str(role): str(name) for role, name in record["names"].items()}
        prints = {str(role): (int(a), int(b), int(c)) for role, (a, b, c) in record["fingerprints"].items()}
        owner = None if record.get("owner") is None else int(record["owner"])
        places = {str(role): str(place) for role, place in record.get("places", {}).items()}
        claim = ClaimRecord(str(record["stage"]), str(record["stem"]), str(record["id"]), members, prints, owner, places)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedRecord(f"{CLAIM} is incomplete: {error!r}") from error
    if not members or not all(map(names.is_plain, [*members.values(), claim.stem])):
        raise DamagedRecord(f"{CLAIM} names no files, or files outside the job")
    if not all(map(is_waiting_place, places.values())):
        raise DamagedRecord(f"{CLAIM} names a place in which no files wait")
    return claim


def is_waiting_place(place: str) -> bool:
    """Whether a folder, by its path below the root of the spool, is one in which files wait: an inbox, or one in hold/."""
    parts = PurePosixPath(place).parts
    return len(parts) == 2 and parts[0] in (INBOX, HOLD) and all(map(names.is_plain, parts))


def write_attempts(fs: Filesystem, folder: Path, attempts: int) -> None:
    """Write attempt.json; the inverse of `read_attempts`."""
    write(fs, folder, ATTEMPT, {"attempts": attempts})


def read_attempts(fs: Filesystem, folder: Path, *, if_unreadable: int) -> int:
    """How often the job was started; a damaged count is only a count."""
    try:
        record = read(fs, folder, ATTEMPT)
        return 0 if record is None else int(record["attempts"])
    except (DamagedRecord, KeyError, TypeError, ValueError):
        return if_unreadable


def write_dispatched(fs: Filesystem, folder: Path, attempt: int, *, boot: str) -> None:
    """Write entrusted.json: which start was dispatched, on which run of the machine; the inverse of `read_dispatched`."""
    write(fs, folder, DISPATCHED, {"attempt": attempt, "boot": boot}, durable=False)


def read_dispatched(fs: Filesystem, folder: Path) -> tuple[int, str] | None:
    """Which start of the job lay with a worker, on which run of the machine; None where that is not known."""
    try:
        record = read(fs, folder, DISPATCHED)
        return None if record is None else (int(record["attempt"]), str(record["boot"]))
    except (DamagedRecord, KeyError, TypeError, ValueError):
        return None


def clear_dispatched(fs: Filesystem, folder: Path) -> None:
    """Remove entrusted.json, where it is."""
    with suppress(FileNotFoundError):
        fs.unlink(inside(folder, DISPATCHED))


def write_commit(fs: Filesystem, folder: Path, publications: list[Publication], day: str) -> None:
    """Write commit.json; the inverse of `read_commit`."""
    write(fs, folder, COMMIT, {"day": day, "publications": [vars(publication) for publication in publications]})


def read_commit(fs: Filesystem, folder: Path) -> tuple[list[Publication], str] | None:
    """The publications and the day of the archive, or None before the commit. Raises DamagedRecord."""
    record = read(fs, folder, COMMIT)
    if record is None:
        return None
    try:
        publications = [Publication(**publication) for publication in record["publications"]]
        day = str(record["day"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DamagedRecord(f"{COMMIT} is incomplete: {error!r}") from error
    if not names.is_plain(day):
        raise DamagedRecord(f"{COMMIT} names no day")
    return publications, day


@dataclass(frozen=True)
class Failure:
    """What fail.json says: where the files go, and the two reports that lie beside them there."""

    folder: str
    name: str
    sentence_name: str
    text: str
    facts_name: str
    facts: Record


def write_failure(fs: Filesystem, folder: Path, failure: Failure) -> None:
    """Write fail.json; the inverse of `read_failure`."""
    write(fs, folder, FAIL, vars(failure))


def read_failure(fs: Filesystem, folder: Path) -> Failure | None:
    """Why the job failed, or None if it did not. Raises DamagedRecord."""
    record = read(fs, folder, FAIL)
    if record is None:
        return None
    try:
        failure = Failure(**record)
    except TypeError as error:
        raise DamagedRecord(f"{FAIL} is incomplete: {error}") from error
    places = [*failure.folder.split("/"), failure.name, failure.sentence_name, failure.facts_name]
    if not all(isinstance(place, str) and names.is_plain(place) for place in places):
        raise DamagedRecord(f"{FAIL} names no place for the files")
    return failure
