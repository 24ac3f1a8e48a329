"""Words that would pass the log by: what child processes write, what nobody catches, what libraries warn of. Here they get into it.

Each line of a child is a record, shown as what it is: one line, of a bounded length, and not more of them than people can read.
"""

import logging
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable
from types import TracebackType
from typing import IO

from daemon.names import shown

log = logging.getLogger(__name__)

LONGEST_BYTES = 500
# A traceback with its threads, or what a C library says of each of some tensors, is said whole; what goes on for ever is not.
LINES, WINDOW_SECONDS = 100, 60.0
CHUNK_BYTES = 1 << 16


def overhear(said: IO[bytes], who: str) -> threading.Thread:
    """Log what a child writes into a pipe, until all have closed it; the thread that does it."""
    thread = threading.Thread(target=_listen, args=[said, who], name=f"hears the {who}", daemon=True)
    thread.start()
    return thread


def _listen(said: IO[bytes], who: str) -> None:
    heard = Lines(who)
    with said:
        while chunk := os.read(said.fileno(), CHUNK_BYTES):
            heard.take(chunk)
    heard.end()


class Lines:
    """Bytes as they come -> lines in the log, each as a terminal would show it in the end: of a bar that is drawn anew the last."""

    def __init__(self, who: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._who, self._clock = shown(who), clock
        self._rest = b""
        self._count = self._left_out = 0
        self._until = 0.0

    def take(self, chunk: bytes) -> None:
        *lines, rest = (self._rest + chunk).split(b"\n")
        for line in lines:
            self._say(line)
        self._rest = rest[-2 * LONGEST_BYTES :]

    def end(self) -> None:
        """Say what has no line break behind it."""
        self._say(self._rest)
        self._say_left_out()

    def _say(self, line: bytes) -> None:
        seen = line.rstrip(b"\r").rpartition(b"\r")[2].rstrip()
        if not seen:
            return
        if (now := self._clock()) >= self._until:
            self._say_left_out()
            self._until = now + WINDOW_SECONDS
        self._count += 1
        if self._count > LINES:
            self._left_out += 1
            return
        words = seen[:LONGEST_BYTES].decode(errors="backslashreplace") + "..." * (len(seen) > LONGEST_BYTES)
        log.warning("%s: %s", self._who, shown(words))

    def _say_left_out(self) -> None:
        if self._left_out:
            log.warning("%s: %d more lines, which are left out", self._who, self._left_out)
        self._count = self._left_out = 0


def catch_all() -> None:
    """Make records of what nobody catches, in the main thread, in others and where objects are deleted, and of warnings."""
    sys.excepthook = _uncaught
    threading.excepthook = _uncaught_in_thread
    sys.unraisablehook = _unraisable
    warnings.formatwarning = _one_line
    logging.captureWarnings(True)


def _uncaught(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if issubclass(kind, KeyboardInterrupt):
        log.error("interrupted")
        return
    log.critical("internal error in tiffsd, which ends: %s", _named(error), exc_info=(kind, error, trace))


def _uncaught_in_thread(ended: threading.ExceptHookArgs) -> None:
    if ended.exc_value is not None and not issubclass(ended.exc_type, SystemExit):
        name = ended.thread.name if ended.thread else "without a name"
        exc_info = (ended.exc_type, ended.exc_value, ended.exc_traceback)
        log.error("internal error in tiffsd, the thread %r ends: %s", name, _named(ended.exc_value), exc_info=exc_info)


def _unraisable(failed: "sys.UnraisableHookArgs") -> None:
    if failed.exc_value is not None:
        exc_info = (failed.exc_type, failed.exc_value, failed.exc_traceback)
        log.error("internal error in tiffsd, where nobody could be told: %s", _named(failed.exc_value), exc_info=exc_info)


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}"


def _one_line(message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None) -> str:
    """Replace warnings.formatwarning, which writes two lines."""
    del line
    return f"{category.__name__}: {message} ({filename}:{lineno})"
