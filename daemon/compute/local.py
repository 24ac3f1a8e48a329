"""Where the maths runs: worker processes on this machine, each spawned for the first call it gets and ended after an idle time.

The front side, without torch. Calls are served in the order of their submission, each by the first worker that is free; those of
one batch key run together. A worker that dies fails the call it was running with WorkerDied, or WorkersDie (`blame.py`); those
behind it go on with a fresh one, and so do those that ran with it as a batch, each alone. A supervisor calls `tick(now)` now and
then.
"""

import itertools
import os
import threading
import time
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Future
from functools import partial
from typing import Any

from daemon.compute.calls import Call, Queue, StageError
from daemon.compute.process import WorkerProcess
from daemon.compute.protocol import Arrays, OnBegin, OnEstimate, OnProgress, Result
from daemon.compute.worker_handle import AnyWorker, Place, WorkerHandle
from daemon.errors import Stopped
from daemon.models.stage_settings import StageSettings

__all__ = ["LocalWorkers", "StageError"]

WORKER = "daemon.compute.worker"
USUAL_BUDGET_BYTES = 16 * 10**9


class LocalWorkers:
    """Worker processes on this machine: an engine (`Compute` in `protocol.py`).

    `threads` is how many torch computes with in each (None: its default), `idle_seconds` how long a worker without calls is kept,
    `batch` how many calls of one key run together. `budget_bytes` is how many bytes of models all of them keep loaded in the
    memory of the machine, and each on a GPU (None: a default, and what is free there). `gpus` are the GPUs that they see, one each;
    none is for all. `job_seconds` asks for how long a call may compute; None is for as long as it likes. Nothing is started before
    the first call.
    """

    def __init__(
        self,
        device: str = "cpu",
        *,
        workers: int = 1,
        threads: int | None = None,
        idle_seconds: float = 300.0,
        budget_bytes: int | None = None,
        batch: int = 1,
        gpus: Sequence[str] = (),
        job_seconds: Callable[[], float | None] = lambda: None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.changed = threading.Condition()
        self.queue = Queue(batch)
        self.closing = False
        self._threads = threads or (max(1, (os.cpu_count() or 1) // workers) if workers > 1 else 0)
        self._budget_bytes = (budget_bytes or USUAL_BUDGET_BYTES) // workers
        self._gpu_bytes = budget_bytes or 0
        self._idle_seconds = idle_seconds
        self._job_seconds = job_seconds
        self._numbers = itertools.count(1)
        self._open: dict[int, Call] = {}
        self._said: dict[str, Any] = {}
        places = [Place(device, number, gpu) for number, gpu in enumerate(gpus or [None] * workers)]
        self._workers: list[WorkerHandle] = [WorkerHandle(self, place, clock=clock) for place in places]

    def submit(
        self,
        stage: str,
        arrays: Arrays,
        settings: StageSettings,
        *,
        key: str | None = None,
        on_begin: OnBegin | None = None,
        on_progress: OnProgress | None = None,
        on_estimate: OnEstimate | None = None,
        job: Hashable = None,
    ) -> Call:
        """Queue one run of a stage, as `Compute.submit` says."""
        number = next(self._numbers)
        call = Call(
            number,
            stage,
            arrays,
            settings,
            key=key,
            on_begin=on_begin,
            on_progress=on_progress,
            on_estimate=on_estimate,
            cancel=self.cancel,
        )
        call.job = job
        with self.changed:
            if self.closing:
                raise Stopped("no more work is taken, because the daemon is stopping")
            for handle in self._workers:
                handle.start()
            self._open[number] = call
            self.queue.add(call)
            self.changed.notify_all()
        call.future.add_done_callback(partial(self._over, number))
        return call

    def _over(self, number: int, served: "Future[Result]") -> None:
        self._open.pop(number, None)
        if served.exception() is None and "numbers" in (facts := served.result()[1]):
            self._said = {"numbers": facts["numbers"]}

    def cancel(self, call: Call, reason: Exception) -> None:
        """Fail a call with `reason`, as `Call.cancel` says."""
        with self.changed:
            call.reason = call.reason or reason
            self.queue.remove(call)
            for handle in self._workers:
                if handle.holds(call):
                    handle.cancel(call)
                if handle.running is call and len(handle.in_flight[0]) == 1:
                    return  # until its next step
        call.fail(reason)

    def tick(self, now: float) -> None:
        """End the workers that have been idle for the idle time, and the calls that compute for too long.

        `now` is any clock in seconds that only grows. A call that began between two ticks counts from the second."""
        job_seconds = self._job_seconds()
        with self.changed:
            for handle in self._workers:
                handle.tick(now, self._idle_seconds)
                handle.limit(now, job_seconds)

    def describe(self) -> dict[str, Any]:
        """Return what there is to say: device, pid, alive, busy, stage, since (epoch seconds) and queued, of the first worker;
        where there may be several, of each under "workers"; and the "numbers" of the last fast job."""
        with self.changed:
            said = [handle.describe() for handle in self._workers]
            queued = len(self._open) - sum(worker["busy"] for worker in said)
        first = next((worker for worker in said if worker["busy"]), next((worker for worker in said if worker["alive"]), said[0]))
        return {**first, "queued": queued, **self._said} | ({"workers": said} if len(said) > 1 else {})

    def close(self, *, grace_seconds: float = 10.0) -> None:
        """Cancel all calls with Stopped and end the workers, by force if the calls they run take longer than the grace."""
        with self.changed:
            self.closing = True
            calls = list(self._open.values())
            self.changed.notify_all()
        for call in calls:
            call.cancel(Stopped("the daemon is stopping"))
        deadline = time.monotonic() + grace_seconds
        for handle in self._workers:
            handle.join(max(0.0, deadline - time.monotonic()))

    def spawn(self, place: Place) -> AnyWorker:
        """A fresh worker process."""
        budgets = {"budget_bytes": self._budget_bytes, "gpu_bytes": self._gpu_bytes}
        return WorkerProcess(WORKER, threads=self._threads, gpu=place.gpu, **budgets)

    def prefers_another(self, handle: WorkerHandle) -> bool:
        """Whether the next call should go to another worker: to one with nothing to do before one that has; of those to the one
        that computed its like last, or else to one that runs already."""
        call = self.queue.first(handle.fits)
        if call is None:
            return False  # there is nothing to take
        free = [other for other in self._workers if not other.in_flight and other is not handle and other.fits(call)]
        if handle.in_flight:
            return any(other.is_coming() for other in free)
        return any(other.is_there() and other.warmth(call) > handle.warmth(call) for other in free)
