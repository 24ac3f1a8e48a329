"""The log of a worker process: its records are made there and handled in the front, and cross by the pipe, between the answers.

    out   ("log", name, level, message, traceback)

Message and traceback are text, formatted where the record was made; None stands for no traceback.
"""

import logging
import logging.handlers
import threading
from collections import deque
from contextlib import suppress
from typing import Any, Protocol

from daemon.compute.pipe import ArrayPipe
from daemon.names import shown

LONGEST = 4000  # characters of a message, and of the end of a traceback
MOST_WAITING = 1000


class Outgoing(ArrayPipe):
    """The worker's end of the pipe; each message goes out whole.

    A record never waits for its turn: who has the pipe takes it along. A record that comes while the same thread sends (from a
    `__del__`, say) would wait for ever otherwise.
    """

    def __init__(self, handle: int) -> None:
        super().__init__(handle)
        self._sending = threading.Lock()
        self._records: deque[Any] = deque(maxlen=MOST_WAITING)

    def send(self, obj: Any) -> None:
        """Send an answer, after the records that were made before it."""
        with self._sending:
            self._send_records()
            super().send(obj)
        self._send_waiting()

    def send_record(self, record: Any) -> None:
        """Send a record of the log now, or let who has the pipe do it; where nobody reads any more it is lost."""
        self._records.append(record)
        with suppress(OSError):
            self._send_waiting()

    def _send_waiting(self) -> None:
        # Once more after each release: one may have come just before it.
        while self._records and self._sending.acquire(blocking=False):
            try:
                self._send_records()
            finally:
                self._sending.release()

    def _send_records(self) -> None:
        while self._records:
            super().send(self._records.popleft())


class TakesRecords(Protocol):
    """What a record of the log can be given to, and does not wait."""

    def send_record(self, record: Any) -> None: ...


class PipeHandler(logging.handlers.QueueHandler):
    """Sends records to the front, which has the log."""

    def __init__(self, pipe: TakesRecords) -> None:
        super().__init__(queue=None)  # type: ignore[arg-type]
        self._pipe = pipe
        self._traces = logging.Formatter()

    def prepare(self, record: logging.LogRecord) -> Any:
        """Override: a message that is formatted, because what it was made of may not cross the pipe."""
        trace = self._traces.formatException(record.exc_info)[-LONGEST:] if record.exc_info else None
        return "log", record.name, record.levelno, record.getMessage()[:LONGEST], trace

    def enqueue(self, record: Any) -> None:
        """Override: send it."""
        self._pipe.send_record(record)


def log_to(pipe: Outgoing, level: int) -> None:
    """Send what is logged in this process through the pipe: of tiffsd from `level` up, of libraries what people should know."""
    libraries = logging.INFO if level < logging.INFO else max(level, logging.WARNING)
    logging.basicConfig(level=libraries, handlers=[PipeHandler(pipe)], force=True)
    logging.getLogger("daemon").setLevel(level)


def relay(name: str, level: int, message: str, trace: str | None) -> None:
    """Handle a record of a worker in this process, as one of its own."""
    logger = logging.getLogger(name)
    if logger.isEnabledFor(level):
        record = logger.makeRecord(name, level, "(worker)", 0, shown(message), (), None)
        record.exc_text = trace
        logger.handle(record)
