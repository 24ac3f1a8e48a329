"""Several drops are claimed at a time: a claim waits for the disk five times, and many together wait little longer than one."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from daemon.inbox.grouping import Drop
from daemon.service.repeats import Same
from daemon.spool.spool import Claim, Spool

AT_ONCE = 8


@dataclass(frozen=True)
class Wanted:
    """A drop whose turn it is, with the proof that goes along; and as what it is to be put away, where it is to run no more."""

    stage: str
    drop: Drop
    repeat: Same | None


class Claims:
    """Claims of one spool. The main thread asks and waits, so that nothing else looks at the folders meanwhile."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self._threads = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="claim")

    def make(self, drops: Sequence[tuple[str, Drop]]) -> list[Claim | OSError | None]:
        """Claim drops of stages, and return for each what `Spool.claim` does, or the OSError that it raises."""
        if len(drops) == 1:
            return [self._make(drops[0])]
        return list(self._threads.map(self._make, drops))

    def close(self) -> None:
        """End the threads."""
        self._threads.shutdown(wait=False)

    def _make(self, drop: tuple[str, Drop]) -> Claim | OSError | None:
        try:
            return self._spool.claim(*drop)
        except OSError as error:
            return error
