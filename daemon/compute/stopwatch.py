"""For how long a worker has computed what it computes, by the ticks of who supervises it."""

from collections.abc import Sequence
from enum import Enum, auto

# What a step has to end after the time is over, before its worker is ended: nothing is gained by a long one.
GRACE_SECONDS = 5.0


class Due(Enum):
    """What is to be done about a computation: nothing yet, stop it at its next step, or end its worker."""

    NOTHING = auto()
    STOP = auto()
    END = auto()


class Stopwatch:
    """`numbers` are the calls that are computed now, together or alone; none while a model is loaded."""

    def __init__(self) -> None:
        self.numbers: Sequence[int] = ()
        self._since: float | None = None
        self._stopped_at: float | None = None

    def begin(self, numbers: Sequence[int]) -> None:
        """These calls begin to be computed, or go on after a model was loaded for them."""
        self.numbers, self._since, self._stopped_at = numbers, None, None

    def look(self, now: float, most_seconds: float | None) -> Due:
        """What is to be done now; the time begins at the first look after `begin`. STOP is said once."""
        if not self.numbers:
            return Due.NOTHING
        self._since = now if self._since is None else self._since
        if most_seconds is None or now - self._since < most_seconds:
            return Due.NOTHING
        if self._stopped_at is None:
            self._stopped_at = now
            return Due.STOP
        return Due.END if now - self._stopped_at >= GRACE_SECONDS else Due.NOTHING
