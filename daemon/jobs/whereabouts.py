"""Where a job is on its way: told by its thread and read by others, so that one that stands still can be named."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Place:
    """What a job is doing, since when by the monotonic clock, and whether its files are already on their way out of `.work/`."""

    doing: str
    since: float
    decided: bool


class Whereabouts:
    """The place of one job; None until its thread has begun. One thread tells, any may read: a place is put there as a whole."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.place: Place | None = None

    def at(self, doing: str, *, decided: bool = False) -> None:
        """The job moves: it is `doing` this from now on, or once more. With `decided` nobody else may touch its records."""
        self.place = Place(doing, self._clock(), decided)
