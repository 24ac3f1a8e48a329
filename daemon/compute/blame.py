"""Whose fault it is that a worker ended: that of the job which it ran, or that of the machine."""

from collections.abc import Hashable

from daemon.errors import WorkerDied, WorkersDie


class Blame:
    """The ends of fresh workers in one place, in a row: of such as had finished nothing yet.

    A job that ends each worker it is given, because it needs more memory than there is, say, ends fresh ones too: as long as it is
    always the same job, it is that job's fault, and its tries are counted. Where fresh workers end at different jobs and nothing is
    done in between, it is the machine's, the jobs go back uncounted, and their stage rests. Two jobs that are both at fault look
    the same; they go back a few times only (`daemon/jobs/patience.py`), and the first that is done between them tells them apart.
    """

    def __init__(self) -> None:
        self._jobs: set[Hashable] = set()
        self._proven = False

    def begun(self) -> None:
        """A fresh worker was started."""
        self._proven = False

    def done(self) -> None:
        """The worker has finished a call: the machine is well."""
        self._proven = True
        self._jobs.clear()

    def judged(self, job: Hashable, error: WorkerDied) -> WorkerDied | WorkersDie:
        """The error with which a call of this job is to fail, at which the worker ended with `error`."""
        if self._proven:
            return error
        self._jobs.add(job)
        if len(self._jobs) == 1:
            return error
        return WorkersDie(f"{error}; fresh workers have ended at {len(self._jobs)} different files in a row")
