"""Whose fault it is that a worker ended: that of the job which it ran, or that of the machine."""

from collections.abc import Hashable

from daemon.errors import WorkerDied, WorkersDie


class Blame:
    """The ends of fresh workers in one place, in a row, by stage: of such as had finished nothing of that stage yet.

    A job that ends each worker it is given, because it needs more memory than there is, say, ends fresh ones too: as long as it is
    always the same job, it is that job's fault, and its tries are counted. Where fresh workers end at different jobs and nothing of
    the stage is done in between, it is the machine's, the jobs go back uncounted, and the stage rests. Two jobs that are both at
    fault look the same until another is done between them; so a job goes back a few times only (`daemon/jobs/retry_budget.py`).
    """

    def __init__(self) -> None:
        self._jobs: dict[str, set[Hashable]] = {}
        self._proven: set[str] = set()

    def worker_started(self) -> None:
        """A fresh worker was started."""
        self._proven.clear()

    def call_finished(self, stage: str) -> None:
        """The worker has finished a call of the stage: the machine is well."""
        self._proven.add(stage)
        self._jobs.pop(stage, None)

    def judged(self, stage: str, job: Hashable, error: WorkerDied) -> WorkerDied | WorkersDie:
        """The error with which a call of this job is to fail, at which the worker ended with `error`."""
        if stage in self._proven:
            return error
        jobs = self._jobs.setdefault(stage, set())
        jobs.add(job)
        if len(jobs) == 1:
            return error
        return WorkersDie(f"{error}; fresh workers have ended at {len(jobs)} different files in a row")
