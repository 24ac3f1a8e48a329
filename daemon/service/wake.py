"""A bell that wakes the main loop: rung by other threads and by signal handlers, which must never wait for a lock."""

import time
from contextlib import suppress
from queue import Empty, SimpleQueue


class Bell:
    """Not a threading.Event: a handler that sets one while the main thread holds its lock waits for itself for ever."""

    def __init__(self) -> None:
        self._rings: SimpleQueue[None] = SimpleQueue()

    def ring(self) -> None:
        """Wake who sleeps, or who is the next to."""
        self._rings.put(None)

    def hush(self) -> None:
        """Forget the rings so far."""
        with suppress(Empty):
            while True:
                self._rings.get_nowait()

    def sleep_until(self, due: float) -> bool:
        """Sleep until it rings, at the longest until `due` of the monotonic clock; whether it rang."""
        try:
            self._rings.get(timeout=max(0.0, due - time.monotonic()))
        except Empty:
            return False
        return True
