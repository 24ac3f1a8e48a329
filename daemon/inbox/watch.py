"""Watching folders: an event is only a hint to look again, and the scan is the truth.

inotify loses events on overflow, stops with a deleted folder, reports wrong paths for a moved one, and may not be had at all.
So nothing is read from an event but that there was one; `healthy`, called at every tick, rebuilds what has died; and without
inotify the periodic scan alone is enough. This is the only import of watchdog.
"""

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from watchdog.events import (
    DirDeletedEvent,
    FileClosedEvent,
    FileCreatedEvent,
    FileDeletedEvent,
    FileMovedEvent,
    FileSystemEvent,
    FileSystemEventHandler,
)
from watchdog.observers import Observer
from watchdog.observers.api import BaseObserver

from daemon.errors import in_words

log = logging.getLogger(__name__)
# watchdog calls it an error that a thread of it which is stopped was waiting, as each is at each stop.
logging.getLogger("watchdog.observers.inotify").addFilter(lambda record: "thread is inactive" not in record.getMessage())

RETRY_SECONDS = 30.0
LOOK_SECONDS = 1.0  # between two looks at whether the folders are those that are watched

# A file that is only being written to, read, or touched is not news.
_NEWS: list[type[FileSystemEvent]] = [FileClosedEvent, FileCreatedEvent, FileDeletedEvent, FileMovedEvent, DirDeletedEvent]

_Identity = tuple[int, int] | None


class Watcher:
    """Calls `wake` (which must be quick and may be called from any thread) when something happens in one of the folders.

    `due` is when `healthy` has more to look at than at its last call, by the monotonic clock.
    """

    def __init__(self, folders: Sequence[Path], wake: Callable[[], None]) -> None:
        self._folders = tuple(folders)
        self._handler = _Waker(wake)
        self._wake = wake
        self._observer: BaseObserver | None = None
        self._watched: tuple[_Identity, ...] = ()
        self._retry_at, self._look_at, self.due = 0.0, 0.0, math.inf
        self._said = ""

    @property
    def scanning_only(self) -> bool:
        """Whether there are no events at present, so that only the periodic scan finds files."""
        return self._observer is None

    def start(self) -> None:
        """Begin to watch. Where the system refuses, says so once in the log and leaves it to the periodic scan."""
        self._watch(time.monotonic())

    def stop(self) -> None:
        """Stop watching."""
        observer, self._observer, self.due = self._observer, None, math.inf
        if observer is not None:
            _end(observer)

    def healthy(self, now: float | None = None) -> bool:
        """Whether files will be found: watches that died or whose folders were replaced are built anew first.

        True also while inotify is not to be had: the scan finds everything then, and inotify is tried again every 30 seconds.
        False only when a dead watch could not be replaced at all. `now` is in seconds of the monotonic clock.
        """
        now = time.monotonic() if now is None else now
        if self._observer is None:
            if now >= self._retry_at:
                return self._watch(now)
            return True
        if self._is_alive(self._observer) and self._are_watched(now):
            return True
        log.info("the folder watch ended or a folder was replaced; watching again")
        self.stop()
        self._wake()  # nobody knows what happened in between
        return self._watch(now)

    def _watch(self, now: float) -> bool:
        self._retry_at = now + RETRY_SECONDS
        self._watched = tuple(map(_identity, self._folders))
        try:
            self._observer = self._build()
        except OSError as error:
            self._say(f"no file events ({in_words(error)}); scanning the folders periodically instead")
        except RuntimeError as error:  # no thread to be had
            self._say(f"the folders cannot be watched: {error}")
            return False
        else:
            self._said = ""
        return True

    def _build(self) -> BaseObserver:
        observer = Observer()
        try:
            for folder, identity in zip(self._folders, self._watched, strict=True):
                if identity is not None:
                    observer.schedule(self._handler, str(folder), recursive=False, event_filter=_NEWS)
            observer.start()
        except (OSError, RuntimeError):
            _end(observer)
            raise
        return observer

    def _is_alive(self, observer: BaseObserver) -> bool:
        # watchdog 7 reads inotify in one more thread, without which all the others wait for ever.
        reader = getattr(observer, "_inotify_fd", observer)
        return observer.is_alive() and reader.is_alive() and all(emitter.is_alive() for emitter in observer.emitters)

    def _are_watched(self, now: float) -> bool:
        """Whether the folders are those that are watched. Where all were there a moment ago, that is left for a later call."""
        if now < self._look_at and None not in self._watched:
            self.due = self._look_at
            return True
        self._look_at, self.due = now + LOOK_SECONDS, math.inf
        return self._watched == tuple(map(_identity, self._folders))

    def _say(self, sentence: str) -> None:
        if sentence != self._said:
            log.warning("%s (fs.inotify.max_user_instances and max_user_watches may be raised with sysctl)", sentence)
            self._said = sentence


class _Waker(FileSystemEventHandler):
    def __init__(self, wake: Callable[[], None]) -> None:
        self._wake = wake

    def dispatch(self, event: FileSystemEvent) -> None:
        # An exception here would end watchdog's thread, and with it all events, without a word.
        del event
        with suppress(Exception):
            self._wake()


def _end(observer: BaseObserver) -> None:
    observer.stop()
    if observer.is_alive():
        observer.join()


def _identity(folder: Path) -> _Identity:
    try:
        st = folder.stat()
    except OSError:
        return None
    return st.st_dev, st.st_ino
