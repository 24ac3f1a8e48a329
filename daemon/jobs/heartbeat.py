"""The heartbeat of a job: given by its thread and read by others, so that a job that hangs can be named."""

import time
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Beat:
    """What a job is doing, since when by the monotonic clock, and whether its files are already on their way out of `.work/`."""

    doing: str
    since: float
    decided: bool


class Heartbeat:
    """The last beat of one job; None until its thread has begun. One thread writes, any may read: a beat is put there whole.

    `computed` is whether it needs the compute side no more; `on_computed` is called when that is so.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic, *, on_computed: Callable[[], None] = lambda: None) -> None:
        self._clock, self._on_computed = clock, on_computed
        self.last: Beat | None = None
        self.computed = False

    def beat(self, doing: str, *, computed: bool = False, decided: bool = False) -> None:
        """The job moves: it is `doing` this from now on, or once more. What is `computed` stays so; with `decided` nobody else may
        touch its records."""
        self.last = Beat(doing, self._clock(), decided)
        if computed and not self.computed:
            self.computed = True
            self._on_computed()
