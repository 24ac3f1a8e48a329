"""What is in a file of a model: SHA-256 of a sample of it, and of all of it, each counted once for a state of the file.

A state is device, inode, size, and the times of the last change of content and of inode, of which nobody can set the last. What was
counted is remembered, in memory and in a file; whatever is wrong with that file means only that it is counted again.
"""

import hashlib
import json
import logging
import os
import re
import stat
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from daemon.compute.remote.cache import write_whole
from daemon.errors import ModelMissing

log = logging.getLogger(__name__)

BLOCK = 64 << 10
BLOCKS = 64  # beside the first, spread over the file
PIECE = 1 << 20
TRIES = 3
MOST_REMEMBERED = 4096
MOST_REMEMBERED_BYTES = 4 << 20
# The clock of a filesystem ticks, on some every two seconds: what changed just now may change once more and look the same.
FRESH_NS = 3_000_000_000

_KEY = re.compile(r"\d{1,20}(:-?\d{1,20}){4}")
_DIGEST = re.compile(r"[0-9a-f]{64}")


class State(NamedTuple):
    """What tells one state of a file from all others; times in nanoseconds of the epoch."""

    device: int
    inode: int
    bytes: int
    mtime_ns: int
    ctime_ns: int

    @property
    def key(self) -> str:
        return ":".join(map(str, self))


def state_of(descriptor: int) -> State:
    """The state of an open file. Raises OSError where it is no regular file."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise OSError("it is no regular file")
    return State(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)


@contextmanager
def opened(path: Path) -> Iterator[int]:
    """A descriptor of a file of a model to read; links are followed, as loading does. Raises ModelMissing where it is none."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError as error:
        raise ModelMissing(f"{path} cannot be read ({error.strerror})") from error
    try:
        yield descriptor
    except ConnectionError:
        raise  # of the one that the file is sent by
    except OSError as error:
        raise ModelMissing(f"{path} cannot be read ({error.strerror or error})") from error
    finally:
        os.close(descriptor)


def count_sampled(descriptor: int, size: int) -> str:
    """SHA-256 of the size, the first block and 64 blocks spread over the file; of a small file, of all of it."""
    digest = hashlib.sha256(f"{size}\n".encode())
    if size <= BLOCK * (BLOCKS + 1):
        return _fed(digest, descriptor, 0, size).hexdigest()
    _fed(digest, descriptor, 0, BLOCK)
    for number in range(1, BLOCKS + 1):
        _fed(digest, descriptor, number * (size - BLOCK) // BLOCKS, BLOCK)
    return digest.hexdigest()


def count_full(descriptor: int, size: int) -> str:
    """SHA-256 of the file."""
    return _fed(hashlib.sha256(), descriptor, 0, size).hexdigest()


def _fed(digest: "hashlib._Hash", descriptor: int, start: int, count: int) -> "hashlib._Hash":
    end = start + count
    while start < end and (piece := os.pread(descriptor, min(PIECE, end - start), start)):
        digest.update(piece)
        start += len(piece)
    return digest


COUNTS: Mapping[str, Callable[[int, int], str]] = {"sampled": count_sampled, "full": count_full}


class Fingerprints:
    """The fingerprints of files, each counted once; all methods may be called from any thread.

    `remembered` is the file that keeps them from one process to the next, `now` the clock, in nanoseconds of the epoch."""

    def __init__(self, remembered: Path | None = None, *, now: Callable[[], int] = time.time_ns) -> None:
        self._path, self._now = remembered, now
        self._known: OrderedDict[str, dict[str, str]] = OrderedDict()
        self._changing, self._new = threading.Lock(), False
        self._turns: dict[str, threading.Lock] = {}
        if remembered is not None:
            self._known.update(_read(remembered))

    def sampled(self, path: Path) -> str:
        """The SHA-256 of a sample of a file, as `count_sampled` takes it. Raises ModelMissing where it cannot be read."""
        return self._counted(path, "sampled")

    def full(self, path: Path) -> str:
        """The SHA-256 of a file. Raises ModelMissing where it cannot be read, or is changed again and again meanwhile."""
        return self._counted(path, "full")

    def save(self) -> None:
        """Keep what was counted since the last time; a folder that cannot be written to is no reason to stop."""
        with self._changing:
            if self._path is None or not self._new:
                return
            content, self._new = json.dumps(self._known, separators=(",", ":")).encode(), False
        try:
            write_whole(self._path, content)
        except OSError as error:
            log.debug("the fingerprints of models are not kept (%s)", error)

    def _counted(self, path: Path, what: str) -> str:
        for _ in range(TRIES):
            with opened(path) as descriptor:
                before = state_of(descriptor)
                with self._turn(before.key):
                    if (known := self._remembered(before.key, what)) is not None:
                        return known
                    digest = COUNTS[what](descriptor, before.bytes)
                    if state_of(descriptor) == before:
                        self._remember(before, what, digest)
                        return digest
        raise ModelMissing(f"{path} is changed while it is read; let it be written to its end, and try again")

    @contextmanager
    def _turn(self, key: str) -> Iterator[None]:
        """Who asks for the same file at the same time waits for the first, and finds what that counted."""
        with self._changing:
            turn = self._turns.setdefault(key, threading.Lock())
        with turn:
            yield
        with self._changing:
            self._turns.pop(key, None)

    def _remembered(self, key: str, what: str) -> str | None:
        with self._changing:
            if key in self._known:
                self._known.move_to_end(key)
            return self._known.get(key, {}).get(what)

    def _remember(self, state: State, what: str, digest: str) -> None:
        if abs(self._now() - state.ctime_ns) < FRESH_NS:
            return
        with self._changing:
            self._known.setdefault(state.key, {})[what] = digest
            self._known.move_to_end(state.key)
            while len(self._known) > MOST_REMEMBERED:
                self._known.popitem(last=False)
            self._new = True


def _read(path: Path) -> dict[str, dict[str, str]]:
    """What a file remembers; nothing where it is damaged, and of what is in it only what can be true."""
    try:
        with opened(path) as descriptor, os.fdopen(os.dup(descriptor), "rb") as file:
            said = json.loads(file.read(MOST_REMEMBERED_BYTES))
    except (ModelMissing, ValueError, RecursionError):
        return {}
    found = {key: digests for key, digests in said.items() if _is_one(key, digests)} if isinstance(said, dict) else {}
    return dict([*found.items()][-MOST_REMEMBERED:])


def _is_one(key: str, digests: object) -> bool:
    if _KEY.fullmatch(key) is None or not isinstance(digests, dict):
        return False
    return all(what in COUNTS and isinstance(digest, str) and _DIGEST.fullmatch(digest) for what, digest in digests.items())
