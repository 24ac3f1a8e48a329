"""What has been kept long enough is deleted: used inputs, failed jobs, previews, single steps, kept originals.

By age, and the oldest first where a folder has grown too large. A sweep runs in a thread of its own, so that it holds up nothing.
Nothing in pictures/ and embeddings/ is ever deleted, and no original whose artifact still waits for a stage or a person: an editor
may have dropped from it what only the original can give back.
"""

import logging
import math
import stat
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import date, datetime
from itertools import chain
from pathlib import Path

from daemon.errors import InUse, in_words
from daemon.inbox.telling_names import is_housekeeping
from daemon.layout import DONE, EMBEDDINGS, FAILED, HOLD, INBOX, KEEP, PREVIEWS, PROOFS, STEPS, TRASH, WORK
from daemon.names import fitted, id_of, portable, shown, stem_of, without_id
from daemon.settings.config import RetentionLimit, RetentionLimits
from daemon.spool.failures import clear_if_emptied
from daemon.spool.filesystem import Filesystem
from daemon.spool.proofs import latents_of
from daemon.spool.transitions import THROWN

SWEEP_SECONDS = 3600.0
FIRST_SWEEP_SECONDS = 60.0  # after a start, which has better things to do
DAY_SECONDS = 86400.0
EMPTIED_SECONDS = 600.0  # after which nobody puts back what was taken out of the folder of a failed job, and has gone
# In the order in which artifacts wander on, so that one that moves during a look is met again further on.
WAITING = (HOLD, INBOX, WORK, FAILED, EMBEDDINGS)
LOOKS_AT_MOST = 5

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Kept:
    """A file, or the folder of a failed job; `since` is in seconds of the epoch."""

    path: Path
    since: float
    size: int
    is_folder: bool


class Retention:
    """The sweeps over one spool. `limits` gives the configuration in force, `ids` by what a waiting file is known."""

    def __init__(
        self, root: Path, fs: Filesystem, *, limits: Callable[[], RetentionLimits], ids: Callable[[Path], set[str]]
    ) -> None:
        self._root, self._fs, self._limits, self._ids = root, fs, limits, ids
        self._due: float | None = None
        self._thread: threading.Thread | None = None
        self._stopping = threading.Event()
        self._complaint: str | None = None

    def tick(self, now: float) -> None:
        """Begin a sweep where one is due; `now` is of the monotonic clock."""
        if self._due is None:
            self._due = now + FIRST_SWEEP_SECONDS
        if now < self._due or (self._thread and self._thread.is_alive()):
            return
        self._due = now + SWEEP_SECONDS
        self._thread = threading.Thread(target=lambda: self.sweep(time.time()), name="retention", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """End the sweep that runs, after the file it is at."""
        self._stopping.set()
        if self._thread:
            self._thread.join()

    def complaints(self) -> tuple[str, ...]:
        """What the last sweep could not delete, and why."""
        return (self._complaint,) if self._complaint else ()

    def sweep(self, now: float) -> None:
        """Delete what is over its time or its size; `now` in seconds of the epoch."""
        deleted, complaint = 0, None
        try:
            for kept in self._overdue(self._limits(), now):
                if self._stopping.is_set():
                    break
                try:
                    self._delete(kept)
                    deleted += 1
                except FileNotFoundError:
                    continue  # somebody was quicker
                except OSError as error:
                    complaint = f"{shown(str(kept.path))} has passed its retention limit and cannot be deleted: {error.strerror}"
        except OSError as error:
            complaint = f"what has passed its retention limit cannot be looked for: {in_words(error)}"
        if complaint and complaint != self._complaint:
            log.error("%s", complaint)
        if deleted:
            log.info(
                "retention: deleted %d %s past their limit (retention in config.yaml)", deleted, "item" if deleted == 1 else "items"
            )
        self._complaint = complaint

    def _overdue(self, limits: RetentionLimits, now: float) -> Iterator[Kept]:
        yield from _over(self._used(), limits.done, now)
        self._clear_days(limits.done, now)
        failed = [kept for inbox in self._entries(self._root / FAILED) for kept in self._products(inbox) if kept.is_folder]
        self._clear_emptied(failed, now)
        yield from _over(failed, limits.failed, now)
        yield from _over(self._products(self._root / PREVIEWS), limits.previews, now)
        yield from _over(self._products(self._root / STEPS), limits.steps, now)
        yield from self._originals(limits.originals, now)

    def _originals(self, limit: RetentionLimit, now: float) -> list[Kept]:
        kept = [one for folder in (KEEP, PROOFS) for one in self._kept(self._root / folder) if not one.is_folder]
        waiting = self._ids_that_wait() if _over(kept, limit, now) else None
        if waiting is None:
            return []
        return _over(kept, limit, now, needed=lambda name: not waiting.isdisjoint({id_of(name), stem_of(name), latents_of(name)}))

    def _ids_that_wait(self) -> set[str] | None:
        """The ids of all artifacts that wait, looked for until a second look finds nothing new; None where one always does.

        None too while another program holds one of them: who can tell which original that needs?
        """
        known: dict[tuple[int, str], set[str]] = {}
        for look in range(LOOKS_AT_MOST):
            before = len(known)
            for inode, path in chain.from_iterable(self._files_below(self._root / name) for name in WAITING):
                key = inode, path.name
                if key not in known:
                    try:
                        known[key] = self._ids(path)
                    except InUse:
                        return None
            if look and len(known) == before:
                return set().union(*known.values())
        return None

    def _used(self) -> Iterator[Kept]:
        for day in self._days():
            yield from (replace(kept, since=_end_of(day)) for kept in self._kept(day) if not kept.is_folder)

    def _days(self) -> list[Path]:
        return [path for path in self._entries(self._root / DONE) if _is_day(path.name)]

    def _clear_days(self, limit: RetentionLimit, now: float) -> None:
        for day in self._days():
            if limit.days is not None and now - _end_of(day) > limit.days * DAY_SECONDS:
                with suppress(OSError):  # somebody keeps something there
                    self._fs.rmdir(day)

    def _clear_emptied(self, failed: Iterable[Kept], now: float) -> None:
        """Take away what is left of failed jobs whose files somebody took out of there: where they wait or run again, their reports
        are worth reading for a day, else for some minutes."""
        longer = [kept for kept in failed if now - kept.since > EMPTIED_SECONDS]
        waiting = self._stems_that_wait() if longer else set()
        for kept in longer:
            if now - kept.since > DAY_SECONDS or without_id(kept.path.name) not in waiting:
                with suppress(OSError):
                    clear_if_emptied(self._fs, self._root, kept.path)

    def _stems_that_wait(self) -> set[str]:
        return {portable(stem_of(path.name)) for name in (HOLD, INBOX, WORK) for _, path in self._files_below(self._root / name)}

    def _products(self, folder: Path) -> Iterator[Kept]:
        """What the daemon made in a folder: the mark by which Syncthing knows a folder again must stay, for example."""
        return (kept for kept in self._kept(folder) if not is_housekeeping(kept.path.name))

    def _kept(self, folder: Path) -> Iterator[Kept]:
        for path in self._entries(folder):
            with suppress(FileNotFoundError):  # taken away in the same moment
                st = self._fs.lstat(path)
                is_folder = stat.S_ISDIR(st.st_mode)
                size = sum(kept.size for kept in self._kept(path)) if is_folder else st.st_size
                yield Kept(path, st.st_mtime, size, is_folder)

    def _files_below(self, folder: Path) -> Iterator[tuple[int, Path]]:
        """All files below a folder, however deep, each with its inode."""
        for path in self._entries(folder):
            with suppress(FileNotFoundError):  # it moved on
                st = self._fs.lstat(path)
                if stat.S_ISDIR(st.st_mode):
                    yield from self._files_below(path)
                else:
                    yield st.st_ino, path

    def _entries(self, folder: Path) -> list[Path]:
        """What lies in a folder; symbolic links are not followed."""
        try:
            return [folder / name for name in self._fs.list(folder)] if stat.S_ISDIR(self._fs.lstat(folder).st_mode) else []
        except FileNotFoundError:
            return []

    def _delete(self, kept: Kept) -> None:
        if not kept.is_folder:
            self._fs.unlink(kept.path)
            return
        if self._fs.lstat(kept.path).st_mtime != kept.since:
            return  # somebody is busy with it
        for inner in list(self._kept(kept.path)):
            if inner.is_folder:
                self._delete(inner)
        # One rename decides between this and a retry; what a crash leaves there the next start deletes.
        trash = self._root / TRASH / fitted(kept.path.name, THROWN)
        self._fs.rename_noreplace(kept.path, trash)
        for path in self._entries(trash):
            self._fs.unlink(path)
        self._fs.rmdir(trash)


def _over(
    kept: Iterable[Kept], limit: RetentionLimit, now: float, *, needed: Callable[[str], bool] = lambda _: False
) -> list[Kept]:
    """Those that are over the time or, from the oldest on, over the size, but none whose name is needed; the oldest first."""
    if limit.days is None and limit.gb is None:
        return []
    oldest_first = sorted(kept, key=lambda one: one.since)
    left = sum(one.size for one in oldest_first)
    most = math.inf if limit.gb is None else limit.gb * 1e9
    longest = math.inf if limit.days is None else limit.days * DAY_SECONDS
    over = []
    for one in oldest_first:
        if left <= most and now - one.since <= longest:
            break
        if not needed(one.path.name):
            left -= one.size
            over.append(one)
    return over


def _is_day(name: str) -> bool:
    try:
        return date.fromisoformat(name).isoformat() == name
    except ValueError:
        return False


def _end_of(day: Path) -> float:
    """The moment after which nothing is archived in the folder of a day."""
    return datetime.fromisoformat(day.name).timestamp() + DAY_SECONDS
