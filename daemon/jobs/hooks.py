"""A command of the user's per event: a program and its arguments, no shell; whatever it does, it changes nothing else.

One thread runs the hooks one after another, so that none holds up a job. A hook gets a private copy of the file in a folder of its
own, the facts in its environment (names and paths to the byte, the sentence as one line), and a process group of its own, which
ends with it. What fails is said in the log and in the status. A crash of the daemon forgets the hooks that still waited: each event
is told at most once.
"""

import logging
import os
import queue
import selectors
import shutil
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from daemon.beneath import Beneath
from daemon.cores import unpinned
from daemon.errors import in_words
from daemon.layout import HOLD, PICTURES
from daemon.names import base_of, shown
from daemon.settings.config import HookOptions

DONE, FAILED, REVIEW = "done", "failed", "review"
# The folders in which a result is news for people.
TELLING = {PICTURES: DONE, HOLD: REVIEW}
WAITING_AT_MOST = 200
LOOK_SECONDS = 0.2
TAIL_BYTES = 300
# Only the daemon itself speaks to systemd.
NOT_PASSED_ON = frozenset({"NOTIFY_SOCKET", "WATCHDOG_USEC", "WATCHDOG_PID"})

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Event:
    """What happened to the file at `place`; `name` is what people had dropped, `reason` the sentence of a failure."""

    kind: str
    stage: str
    name: str
    place: Path
    reason: str = ""


@dataclass(frozen=True)
class _Waiting:
    event: Event
    command: list[str]
    file: BinaryIO | None  # opened at once: the file may be moved before its turn comes

    def close(self) -> None:
        if self.file:
            self.file.close()


@dataclass
class Hooks:
    """The hooks of one daemon; `options` gives the configuration in force, `on_end` is called when one has ended."""

    root: Path
    options: Callable[[], HookOptions]
    on_end: Callable[[], None]
    _queue: "queue.Queue[_Waiting | None]" = field(default_factory=lambda: queue.Queue(WAITING_AT_MOST))
    _failures: dict[str, str] = field(default_factory=dict)
    _closing: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def published(self, stage: str, name: str, paths: Iterable[Path]) -> None:
        """Tell of the files that a job published: one event for each artifact, of a picture's files the last."""
        kinds = {path: TELLING.get(path.relative_to(self.root).parts[0]) for path in paths}
        places = {base_of(path.name): path for path, kind in kinds.items() if kind}
        for path in places.values():
            self._tell(Event(kinds[path] or "", stage, name, path))

    def failed(self, stage: str, name: str, folder: Path, reason: str) -> None:
        """Tell of a job that failed; `folder` is where its files are now."""
        self._tell(Event(FAILED, stage, name, folder / name, reason))

    def _tell(self, event: Event) -> None:
        """Have the hook of an event called soon, where there is one. Returns at once, from any thread, and never fails."""
        command = self.options().command(event.kind)
        if command is None:
            return
        waiting = _Waiting(event, command, self._opened(event.place))
        try:
            self._queue.put_nowait(waiting)
        except queue.Full:
            waiting.close()
            self._note(event.kind, f"{WAITING_AT_MOST} hooks wait already; it was not called for {shown(event.name)}")
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name="hooks", daemon=True)
                self._thread.start()

    def _opened(self, place: Path) -> BinaryIO | None:
        """The file itself, for reading; None where it is gone, or is no file."""
        try:
            return Beneath(self.root).plain(place)
        except OSError:
            return None

    def busy(self) -> bool:
        """Whether a hook runs or waits."""
        return self._queue.unfinished_tasks > 0

    def complaints(self) -> tuple[str, ...]:
        """The last failure of each event's hook, until it succeeds again."""
        with self._lock:
            return tuple(f"the hook '{kind}' {failure}" for kind, failure in sorted(self._failures.items()))

    def close(self) -> None:
        """Kill the hook that runs, and forget those that wait."""
        self._closing.set()
        if left := self._queue.qsize():
            log.warning("%d hooks are not called, because the daemon stops", left)
        if self._thread is not None:
            self._queue.put(None)  # the thread empties the queue, so there will be room
            self._thread.join()

    def _serve(self) -> None:
        while waiting := self._queue.get():
            if not self._closing.is_set():
                self._call(waiting)
            waiting.close()
            self._queue.task_done()
            self.on_end()

    def _call(self, waiting: _Waiting) -> None:
        kind = waiting.event.kind
        try:
            with tempfile.TemporaryDirectory(prefix="tiffsd-hook-", ignore_cleanup_errors=True) as folder:
                copy = _private_copy(waiting, Path(folder))
                failure = self._run(waiting.command, Path(folder), {**_inherited(), **self._facts(waiting.event, copy)})
        except (OSError, ValueError, subprocess.SubprocessError) as error:
            failure = f"cannot be called: {in_words(error)}"
        if failure:
            self._note(kind, f"{failure} (at {shown(waiting.event.name)})")
        else:
            with self._lock:
                self._failures.pop(kind, None)

    def _run(self, command: list[str], folder: Path, environment: dict[str, str]) -> str | None:
        """Run to the end, or to the end of its time; what went wrong, in words."""
        seconds = self.options().seconds
        with unpinned():
            process = subprocess.Popen(
                command,
                cwd=folder,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        assert process.stdout is not None
        with process.stdout as said:
            os.set_blocking(said.fileno(), False)
            try:
                ended, tail = self._listened(process.pid, said.fileno(), time.monotonic() + seconds)
            finally:
                # Before the process is waited for, while its number cannot be anybody else's yet.
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                code = process.wait()
            words = shown((tail + (said.read(TAIL_BYTES) or b"")).decode(errors="replace").strip())
        if not ended:
            return "was killed, because the daemon stops" if self._closing.is_set() else f"was killed after {seconds:g} s"
        if code:
            return f"ended with {f'code {code}' if code > 0 else f'signal {-code}'}{f': {words}' if words else ''}"
        return None

    def _listened(self, pid: int, said: int, deadline: float) -> tuple[bool, bytes]:
        """Whether it ended by itself before the deadline, and the last it said; what it says must not fill memory."""
        tail = b""
        end = os.pidfd_open(pid)
        try:
            with selectors.DefaultSelector() as selector:
                selector.register(end, selectors.EVENT_READ)
                selector.register(said, selectors.EVENT_READ)
                while time.monotonic() < deadline and not self._closing.is_set():
                    heard = {key.fd for key, _ in selector.select(min(LOOK_SECONDS, max(0.0, deadline - time.monotonic())))}
                    if said in heard:
                        chunk = os.read(said, 65536)
                        tail = (tail + chunk)[-TAIL_BYTES:]
                        if not chunk:
                            selector.unregister(said)
                    if end in heard:
                        return True, tail
        finally:
            os.close(end)
        return False, tail

    def _facts(self, event: Event, copy: Path | None) -> dict[str, str]:
        return {
            "TIFFSD_EVENT": event.kind,
            "TIFFSD_STAGE": event.stage,
            "TIFFSD_NAME": event.name,
            "TIFFSD_FILE": str(copy or ""),
            "TIFFSD_PLACE": str(event.place),
            "TIFFSD_REASON": shown(event.reason),
            "TIFFSD_SPOOL": str(self.root),
        }

    def _note(self, kind: str, failure: str) -> None:
        log.error("the hook '%s' %s", kind, failure)
        with self._lock:
            self._failures[kind] = failure


def _inherited() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in NOT_PASSED_ON}


def _private_copy(waiting: _Waiting, folder: Path) -> Path | None:
    if waiting.file is None:
        return None
    copy = folder / waiting.event.place.name
    with copy.open("xb") as target:
        shutil.copyfileobj(waiting.file, target)
    return copy
