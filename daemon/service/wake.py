"""An event that wakes the main loop: set by other threads and by signal handlers, which must never wait for a lock."""

import time
from contextlib import suppress
from queue import Empty, SimpleQueue


class WakeEvent:
    """Not a threading.Event: a handler that sets one while the main thread holds its lock waits for itself for ever."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[None] = SimpleQueue()

    def set(self) -> None:
        """Wake who sleeps, or who is the next to."""
        self._queue.put(None)

    def clear(self) -> None:
        """Forget that it was set."""
        with suppress(Empty):
            while True:
                self._queue.get_nowait()

    def sleep_until(self, due: float) -> bool:
        """Sleep until it is set, at the longest until `due` of the monotonic clock; whether it was."""
        try:
            self._queue.get(timeout=max(0.0, due - time.monotonic()))
        except Empty:
            return False
        return True
