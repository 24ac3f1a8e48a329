"""The shutdown of the daemon, within a time, whatever hangs.

A thread that hangs in the system, in a network share that is gone say, can be neither ended nor waited for. So each step of the end
has a thread of its own and a moment until which it is waited for, counted from the moment when the end was asked for; who cannot
wait for the rest leaves the process. What cannot be interrupted at all (state D) ends with the machine or the share only.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping

from daemon.errors import in_words

# All in seconds since the end was asked for. The step that is computed has the most of them; a step that takes longer loses its
# worker, never its file. The units promise 30 s, of which three may pass before a signal is seen (`signals.LOOK_SECONDS`).
DRAINED = 17.0
DISCOUNTED = 18.5
CLOSED = 23.0
GIVEN_BACK = 24.0
STATUS_WRITTEN = 25.0
RELEASED = 25.5
LAST_CHANCE = 24.0
DEADLINE = 26.0
# Of the time of a step, for one that is begun late.
LEAST_SECONDS = 0.1

log = logging.getLogger(__name__)

ShutdownStep = Callable[[], None]


class Shutdown:
    """One shutdown of one daemon; `hanging` names what did not end with it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.hanging: list[str] = []
        self._clock = clock
        self._asked_at: float | None = None

    def ask(self) -> None:
        """Begin to count, where that has not begun. May be called from a signal handler."""
        if self._asked_at is None:
            self._asked_at = self._clock()

    def past(self, moment: float) -> bool:
        """Whether the end was asked for, and so many seconds have passed since."""
        return self._asked_at is not None and self._clock() - self._asked_at >= moment

    def left_until(self, moment: float) -> float:
        """How many seconds are left until so many have passed since the end was asked for."""
        return max(LEAST_SECONDS, moment - (self._clock() - (self._asked_at or self._clock())))

    def do(self, steps: Mapping[str, ShutdownStep], *, until: float) -> None:
        """Do the steps, by name, beside each other, and wait for them until that moment; an OSError is said in the log."""
        threads = [threading.Thread(target=_done, args=[name, step], name=name, daemon=True) for name, step in steps.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(self.left_until(until))
            if thread.is_alive():
                self.give_up(thread.name)

    def give_up(self, what: str) -> None:
        """Note that something hangs, and is not waited for any longer."""
        self.hanging.append(what)
        log.error("%s: does not stop; abandoned", what)


def _done(name: str, step: ShutdownStep) -> None:
    try:
        step()
    except OSError as error:
        log.error("%s: %s", name, in_words(error))
