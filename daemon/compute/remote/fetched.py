"""The models that a machine has fetched: a folder of each in its cache, within a bound; the one not used for longest goes first.

    models/DIGEST/      whole and checked, each published by one rename; whoever computes with it holds a lock on it
    incoming/DIGEST/    what came so far of one; it is gone on with, whoever sends the rest
    incoming/lock       held by the one process that writes

Only the program writes here, and names of files come out of references, which are checked.
"""

import fcntl
import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon.compute.remote.cache import FILE_MODE, FOLDER_MODE, sync_folder
from daemon.compute.remote.references import Reference
from daemon.errors import DaemonError

FETCHED, INCOMING, LOCK = "models", "incoming", "lock"
GB = 1e9
WAIT_SECONDS = 1.0


class NotTaken(DaemonError):
    """A model cannot be taken here, or was not taken there; the text is one sentence."""


def place_in(folder: Path, reference: Reference) -> Path:
    """Where the model is in the folder of its files: the folder, or the one file in it."""
    return folder / reference.files[0].name if reference.is_file else folder


@contextmanager
def locked(path: Path, kind: int) -> Iterator[bool]:
    """Whether a lock on a folder could be had at once; it is held until the end of the block."""
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(descriptor, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            yield False
        else:
            yield True
    finally:
        os.close(descriptor)


class FetchedModels:
    """The folder of them within the cache folder; they take `most_bytes` together at most. `machine` is its name for sentences."""

    def __init__(self, cache: Path, most_bytes: int, machine: str) -> None:
        self._cache, self._most_bytes, self._machine = cache, most_bytes, machine
        self.folder, self.incoming = cache / FETCHED, cache / INCOMING

    @contextmanager
    def writing(self, waiting: Callable[[], None]) -> Iterator[None]:
        """A context in which nobody else writes; while somebody does, `waiting` is called every second. Raises OSError."""
        for folder in (self._cache, self.folder, self.incoming):  # of which each gets its mode
            folder.mkdir(parents=True, exist_ok=True, mode=FOLDER_MODE)
        lock = os.open(self.incoming / LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, FILE_MODE)
        try:
            while not _taken(lock):
                waiting()
                time.sleep(WAIT_SECONDS)
            yield
        finally:
            os.close(lock)

    def published(self, reference: Reference) -> Path:
        """Where a model lies when it has come."""
        return self.folder / reference.digest

    def begin(self, reference: Reference) -> Path:
        """The folder that its files are written into, with what came of them before. Raises NotTaken where it is too large."""
        sentence = f"{self._machine} lacks {reference.in_words()}"
        if not self._most_bytes:
            raise NotTaken(
                f"{sentence} and takes no models from other machines; put it there and name it in config.yaml there, or set "
                "fetch_gb under `compute` in that"
            )
        if reference.bytes > self._most_bytes:
            raise NotTaken(f"{sentence}, and fetch_gb under `compute` of its config.yaml allows {self._most_bytes / GB:g} GB")
        part = self.incoming / reference.digest
        if not self._made_room(reference.bytes, part):
            raise NotTaken(
                f"{sentence}, and the models that it has fetched and computes with now take too much of the "
                f"{self._most_bytes / GB:g} GB that fetch_gb under `compute` of its config.yaml allows"
            )
        missing = reference.bytes - _bytes_in(part)
        if missing > (free := shutil.disk_usage(self.incoming).free):
            raise NotTaken(f"{sentence}, and the disk of {self._cache} there has {free / GB:.2f} GB left")
        for folder in (part, *{(part / file.name).parent for file in reference.files}):
            folder.mkdir(exist_ok=True, mode=FOLDER_MODE)
        return part

    def publish(self, reference: Reference) -> None:
        """Let what came be there, all files at once; they are on the disk. Raises NotTaken where a damaged one is in use."""
        part, whole = self.incoming / reference.digest, self.published(reference)
        if whole.exists() and not self._removed(whole):
            raise NotTaken(f"{self._machine} computes with a damaged copy of {reference.in_words()}; try again later")
        for folder in {part / Path(file.name).parent for file in reference.files} | {part, self.incoming}:
            sync_folder(folder)
        part.rename(whole)
        os.utime(whole)
        sync_folder(self.folder)

    def forget(self, reference: Reference) -> None:
        """Throw away what came of a model."""
        shutil.rmtree(self.incoming / reference.digest, ignore_errors=True)

    def _made_room(self, needed: int, part: Path) -> bool:
        """Take away what was not used for longest until so much more may be there; first what was begun and never came."""
        begun = [folder for folder in _oldest_first(self.incoming) if folder != part]
        for folder in (*begun, *_oldest_first(self.folder)):
            if self._used_bytes(part) + needed <= self._most_bytes:
                break
            self._removed(folder)
        return self._used_bytes(part) + needed <= self._most_bytes

    def _used_bytes(self, part: Path) -> int:
        """All but what came of the one that is begun."""
        return _bytes_in(self.folder) + _bytes_in(self.incoming) - _bytes_in(part)

    def _removed(self, folder: Path) -> bool:
        """Take a model away, unless a process computes with it."""
        with locked(folder, fcntl.LOCK_EX) as ours:
            if ours:
                gone = self.incoming / f"gone-{folder.name}"
                shutil.rmtree(gone, ignore_errors=True)  # of a crash
                folder.rename(gone)
                shutil.rmtree(gone)
            return ours


def _taken(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _oldest_first(folder: Path) -> list[Path]:
    folders = [folder / name for name in os.listdir(folder) if (folder / name).is_dir()]
    return sorted(folders, key=lambda path: path.stat().st_mtime_ns)


def _bytes_in(folder: Path) -> int:
    found = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            found += path.lstat().st_size if path.is_file() else 0
    return found
