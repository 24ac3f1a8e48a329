"""What the far end says beside the worker's answers, from a thread of its own: signs of life, and its log.

Nobody waits for it: who reads what the daemon says must not be held up by a connection on which nothing goes out any more.
"""

import queue
import threading
from contextlib import suppress
from typing import Any

from daemon.compute.remote.framing import FramedPipe

BEAT = ("beat",)
MOST_WAITING = 1000


class Speaker:
    """Sends a beat every so many seconds, and what it is given in between."""

    def __init__(self, pipe: FramedPipe) -> None:
        self._pipe = pipe
        self._waiting: queue.SimpleQueue[tuple[Any, ...]] = queue.SimpleQueue()

    def start(self, heartbeat_seconds: float) -> None:
        """Begin to speak."""
        threading.Thread(target=self._speak, args=[heartbeat_seconds], name="speaker", daemon=True).start()

    def say(self, message: tuple[Any, ...]) -> None:
        """Send a message soon; where nobody has listened for very long it is lost."""
        if self._waiting.qsize() < MOST_WAITING:
            self._waiting.put(message)

    def send_record(self, record: tuple[Any, ...]) -> None:
        """Send a record of the log, as `worker_log.PipeHandler` has it."""
        self.say(record)

    def _speak(self, heartbeat_seconds: float) -> None:
        with suppress(OSError):  # who reads finds out too
            while True:
                self._pipe.send(self._next(heartbeat_seconds))

    def _next(self, seconds: float) -> tuple[Any, ...]:
        try:
            return self._waiting.get(timeout=seconds)
        except queue.Empty:
            return BEAT
