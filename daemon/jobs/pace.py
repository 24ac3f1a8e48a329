"""How fast a job goes, and how long it will take: by the steps that it tells of itself."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Progress:
    """A job at one of its steps; `per_second` is None while that is not known."""

    step: int
    steps: int
    per_second: float | None = None

    @property
    def seconds_left(self) -> float | None:
        """What the rest will take at this pace."""
        return (self.steps - self.step) / self.per_second if self.per_second else None

    @property
    def pace(self) -> str:
        """Pace and time left in words; empty while they are not known."""
        if self.per_second is None or self.seconds_left is None:
            return ""
        rate = f"{self.per_second:.0f}" if self.per_second >= 10 else f"{self.per_second:.2g}"
        return f"{rate} steps/s, {in_words(self.seconds_left)} left"

    def __str__(self) -> str:
        return ", ".join(filter(None, [f"step {self.step} of {self.steps}", self.pace]))


class Pace:
    """The pace of one loop after the other, since the first step of each: what came before was loading."""

    def __init__(self, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._first: tuple[int, float] | None = None
        self._last = (0, 0)

    def at(self, step: int, steps: int) -> Progress:
        """The loop at its next step."""
        now = self._clock()
        if self._first is None or steps != self._last[1] or step < self._last[0]:
            self._first = (step, now)
        self._last = (step, steps)
        done, seconds = step - self._first[0], now - self._first[1]
        return Progress(step, steps, done / seconds if done and seconds > 0 else None)


def in_words(seconds: float) -> str:
    """A time in the unit that fits it: 48 s, 12 min, 3.1 h."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
