"""When the inboxes are scanned, and how many files are claimed in between.

What happens in a folder asks for a scan. The first event scans at once, later ones coalesce; with very many files a scan is dear,
and most time is kept for work. Where nothing happens the folders are looked at anyway, since an event is a hint only.
"""

import math
import threading
import time
from collections.abc import Callable, Iterable

COALESCE_SECONDS = 0.05
PAUSE_PER_SCAN = 20.0
# Where a scan is cheap, its pause ends also with so many claims, or one for each worker: who comes anew must be seen before a long
# backlog goes on.
CLAIMS_PER_SCAN, CHEAP_SCAN_SECONDS = 2, 0.1
LEARNING_SECONDS = 1.0  # until the next look, while there are files that were not read yet


class ScanPace:
    """The scans of a daemon with so many workers; `wanted` is set where something happened. All moments are monotonic."""

    def __init__(self, workers: int, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.wanted = threading.Event()
        self._next, self._not_before = 0.0, 0.0
        self._claimed, self._most_claims = 0, math.inf
        self._most_where_cheap = max(CLAIMS_PER_SCAN, workers)
        self._began = 0.0

    def is_due(self, now: float) -> bool:
        """Whether the folders are to be scanned now."""
        return now >= self._next or (self.wanted.is_set() and now >= self._not_before)

    def moments(self) -> list[float]:
        """When the next scan may be due."""
        return [self._next, *[self._not_before] * self.wanted.is_set()]

    def begin(self) -> bool:
        """Begin a scan; whether something has happened since the last one."""
        news = self.wanted.is_set()
        self.wanted.clear()
        self._began = self._clock()
        return news

    def end(self, now: float, *, rescan_seconds: float, dues: Iterable[float | None], unread: bool) -> None:
        """Note that a scan is over, when the files in it are due again, and whether there are some that were not read yet."""
        took = self._clock() - self._began
        self._not_before = now + max(COALESCE_SECONDS, PAUSE_PER_SCAN * took)
        self._claimed, self._most_claims = 0, self._most_where_cheap if took < CHEAP_SCAN_SECONDS else math.inf
        learning = [max(now + LEARNING_SECONDS, self._not_before)] * unread
        self._next = min([now + rescan_seconds, *[due for due in dues if due is not None], *learning])

    def by(self, moment: float) -> None:
        """Have the next scan at that moment at the latest."""
        self._next = min(self._next, moment)

    def rest_until(self, moment: float) -> None:
        """Have no scan before that moment, unless something happens from now on."""
        self._next = moment
        self.wanted.clear()

    def note_claims(self, number: int) -> None:
        """Count what was claimed since the last scan."""
        self._claimed += number

    def comes_first(self, now: float) -> bool:
        """Whether a scan is to come before more is claimed; it is due then."""
        if self.wanted.is_set() and self._claimed >= self._most_claims:
            self._not_before = now
            return True
        return False
