"""Whether the jobs move. One that hangs is named; where all places are taken by such jobs, the daemon is not well.

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

STALL_SECONDS = 120.0

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ActiveJob:
    """A job that was launched, and its heartbeat."""

    claim: Claim
    heartbeat: Heartbeat

    @property
    def label(self) -> str:
        """What people know the job by."""
        return f"{self.claim.stage} {shown(self.claim.names['principal'])}"

    def is_stalled(self, now: float) -> bool:
        """Whether it has begun, and not moved for so long; `now` is of the monotonic clock."""
        beat = self.heartbeat.last
        return beat is not None and now - beat.since >= STALL_SECONDS

    def may_be_discounted(self) -> bool:
        """Whether it has begun, and nothing is decided."""
        beat = self.heartbeat.last
        return beat is not None and not beat.decided


@dataclass(frozen=True)
class Places:
    """How many jobs there are at most: `slots` that are computed or are still to be, `all` with those whose results are written.

    A job of few milliseconds for a GPU may wait for the disk for hundreds: where those that write held slots, GPUs would be idle.
    """

    slots: int

    @property
    def all(self) -> int:
        return 2 * self.slots

    def free(self, jobs: Collection[ActiveJob]) -> int:
        """How many more may be begun beside these."""
        computing = sum(not job.heartbeat.computed for job in jobs)
        return min(self.slots - computing, self.all - len(jobs))


class Supervisor:
    """Looks after the jobs of a daemon with so many places for them; `clock` gives the time of day, for people."""

    def __init__(self, places: Places, *, clock: Callable[[], datetime] = datetime.now) -> None:
        self._places, self._clock = places, clock
        self._all_stalled = False
        self._reported: dict[str, tuple[str, str]] = {}  # job -> label, sentence

    def report_stalled(self, jobs: Collection[ActiveJob], now: float) -> None:
        """Find the jobs that hang, and say in the log what is news; `now` is of the monotonic clock."""
        stalled = {job.claim.job: job for job in jobs if job.is_stalled(now)}
        self._all_stalled = self._places.free(stalled.values()) <= 0
        for name in self._reported.keys() - stalled.keys():
            log.info("%s: no longer stalled", self._reported.pop(name)[0])
        for name, job in stalled.items():
            if name not in self._reported:
                self._reported[name] = job.label, self._sentence(job, now)
                log.error("%s", self._reported[name][1])

    def complaints(self) -> tuple[str, ...]:
        """Of each job that hangs: which, at what, since when, and what to do."""
        return tuple(sentence for _, sentence in self._reported.values())

    def stalled_jobs(self) -> int:
        """How many jobs hang."""
        return len(self._reported)

    def all_stalled(self) -> bool:
        """Whether jobs that hang keep all others from working."""
        return self._all_stalled

    def _sentence(self, job: ActiveJob, now: float) -> str:
        beat = job.heartbeat.last
        assert beat is not None
        since = self._clock() - timedelta(seconds=now - beat.since)
        return (
            f"{job.label}: stalled since {since:%H:%M:%S} while {beat.doing}; check whether a network share or a disk does not "
            "answer: the job resumes when it does, and starts over when the daemon is restarted"
        )
