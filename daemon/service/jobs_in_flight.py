"""The jobs in flight, each with a thread of its own.

A thread that hangs can be neither ended nor freed: a stop leaves it behind.
"""

import logging
from collections.abc import Callable, Collection, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait

from daemon.errors import in_words
from daemon.jobs.outcome import JobResult, Outcome
from daemon.service.supervisor import ActiveJob, Places
from daemon.spool.spool import Claim, Spool

log = logging.getLogger(__name__)


class JobsInFlight:
    """The jobs of one spool that were launched and not reaped yet, at the places that there are for them."""

    def __init__(self, spool: Spool, places: Places) -> None:
        self._spool, self._places = spool, places
        self._threads = ThreadPoolExecutor(places.all, thread_name_prefix="job")
        self._jobs: dict[Future[JobResult], ActiveJob] = {}

    def __len__(self) -> int:
        return len(self._jobs)

    @property
    def active(self) -> Collection[ActiveJob]:
        """All of them."""
        return self._jobs.values()

    def free(self) -> int:
        """How many more may be launched."""
        return self._places.free(self.active)

    def stages(self) -> set[str]:
        """The stages of the jobs."""
        return {job.claim.stage for job in self.active}

    def launch(self, job: ActiveJob, act: Callable[[], JobResult], *, over: Callable[[], None]) -> None:
        """Let a job act in a thread of its own, which calls `over` at its end."""
        future = self._threads.submit(act)
        self._jobs[future] = job
        future.add_done_callback(lambda _: over())

    def reaped(self) -> Iterator[tuple[Claim, JobResult]]:
        """Take out the jobs that are over, and tell what has become of each."""
        for future in [future for future in self._jobs if future.done()]:
            claim, error = self._jobs.pop(future).claim, future.exception()
            yield claim, JobResult(Outcome.UNFINISHED, str(error)) if error else future.result()

    def not_over(self, timeout: float) -> list[ActiveJob]:
        """Wait so many seconds for the jobs to be over, and tell those that are not."""
        return [self._jobs[future] for future in wait(self._jobs, timeout=timeout).not_done]

    def discount_attempts(self) -> None:
        """Note of the jobs that hang that they have done no harm, so that the next start does not count their attempts."""
        for job in [job for job in list(self.active) if job.may_be_discounted()]:
            try:
                self._spool.discount_attempt(job.claim)
            except OSError as error:
                log.error("%s: its attempt stays counted: %s", job.label, in_words(error))

    def close(self, *, patient: bool) -> None:
        """End the threads; who is patient waits for the jobs."""
        self._threads.shutdown(wait=patient, cancel_futures=True)
