"""Whether the jobs move. One that stands still is named; where all places are taken by such jobs, the daemon is not well.

A thread that hangs, in a network share that is gone say, can be neither ended nor freed. So a person is told, and where nobody else
can work any more the watchdog is not pinged: systemd then starts the daemon again, the hanging attempts count, and a job that hangs
each time goes to `failed/` as any other that ends the daemon does.
"""

import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

from daemon.jobs.heartbeat import Heartbeat
from daemon.names import shown
from daemon.spool.spool import Claim

STANDSTILL_SECONDS = 120.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Flight:
    """A job that was launched, and where it tells that it moves."""

    claim: Claim
    heartbeat: Heartbeat

    @property
    def label(self) -> str:
        """What people know the job by."""
        return f"{self.claim.stage} {shown(self.claim.names['principal'])}"

    def stands_still(self, now: float) -> bool:
        """Whether it has begun, and not moved for so long; `now` is of the monotonic clock."""
        place = self.heartbeat.last
        return place is not None and now - place.since >= STANDSTILL_SECONDS

    def may_be_discounted(self) -> bool:
        """Whether it has begun, and nothing is decided."""
        place = self.heartbeat.last
        return place is not None and not place.decided


class Supervisor:
    """Looks after the jobs of a daemon with so many places for them; `clock` gives the time of day, for people."""

    def __init__(self, slots: int, *, clock: Callable[[], datetime] = datetime.now) -> None:
        self._slots, self._clock = slots, clock
        self._said: dict[str, str] = {}

    def look(self, flights: Collection[Flight], now: float) -> None:
        """See who stands still, and say in the log what is news; `now` is of the monotonic clock."""
        still = {flight.claim.job: flight for flight in flights if flight.stands_still(now)}
        for job in self._said.keys() - still.keys():
            log.info("%s: no longer so", self._said.pop(job))
        for job, flight in still.items():
            if job not in self._said:
                self._said[job] = self._sentence(flight, now)
                log.error("%s", self._said[job])

    def complaints(self) -> tuple[str, ...]:
        """Of each job that stands still: which, at what, since when, and what to do."""
        return tuple(self._said.values())

    def standing_still(self) -> int:
        """How many jobs stand still."""
        return len(self._said)

    def all_stand_still(self) -> bool:
        """Whether jobs that stand still keep all others from working."""
        return len(self._said) >= self._slots

    def _sentence(self, flight: Flight, now: float) -> str:
        place = flight.heartbeat.last
        assert place is not None
        since = self._clock() - timedelta(seconds=now - place.since)
        return (
            f"{flight.label} has stood still since {since:%H:%M:%S}, {place.doing}; see whether a network share or a disk does not "
            "answer: the job goes on when it does, and begins anew when the daemon is started again"
        )
