"""Where the maths runs: a local worker process, spawned for the first call and ended after an idle time.

The front side, without torch. Calls are served one at a time in the order of their submission. A worker that dies fails the
call it was running with WorkerDied; the calls behind it go on with a fresh worker. A supervisor calls `tick(now)` now and then.
"""

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future, InvalidStateError, ThreadPoolExecutor, wait
from contextlib import suppress
from multiprocessing.connection import Pipe
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from daemon import errors
from daemon.errors import DaemonError, Stopped, WorkerDied

Arrays = Mapping[str, NDArray[Any]]
Facts = Mapping[str, Any]
Result = tuple[Arrays, Facts]
OnProgress = Callable[[int, int], None]
OnEstimate = Callable[[NDArray[np.float32]], None]

GIB = 1 << 30
WORKER = "daemon.worker"


class StageError(Exception):
    """A stage raised what it should not have: we are at fault. The worker's traceback is in the notes."""


class Call:
    """One submitted call; `future` gives (arrays, facts), or raises what the stage raised."""

    def __init__(
        self, number: int, message: tuple[Any, ...], local: "Local", on_progress: OnProgress | None, on_estimate: OnEstimate | None
    ):
        self.number, self.message = number, message
        self.on_progress, self.on_estimate = on_progress or _silent, on_estimate or _silent
        self.future: Future[Result] = Future()
        self.reason: Exception | None = None
        self.sent = False
        self._local = local

    def cancel(self, reason: Exception) -> None:
        """Fail the call with `reason`: at once if it waits, at its next step if it runs, not at all if it is done."""
        self._local.cancel(self, reason)

    def settle(self, served: "Future[Result]") -> None:
        error = served.exception()
        if error is not None:
            self.fail(error)
            return
        with suppress(InvalidStateError):
            self.future.set_result(served.result())

    def fail(self, error: BaseException) -> None:
        with suppress(InvalidStateError):  # it was cancelled while it waited
            self.future.set_exception(error)


class Local:
    """One worker process on this machine for one device.

    `threads` is how many torch computes with (None: its default), `idle_seconds` how long a worker without calls is kept, and
    `budget_bytes` how many bytes of models it keeps loaded. Nothing is started before the first call.
    """

    def __init__(
        self,
        device: str = "cpu",
        *,
        threads: int | None = None,
        idle_seconds: float = 300.0,
        budget_bytes: int = 8 * GIB,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._device, self._threads, self._budget_bytes = device, threads or 0, budget_bytes
        self._idle_seconds, self._clock = idle_seconds, clock
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._open: dict[int, Call] = {}
        self._running: Call | None = None
        self._since: float | None = None
        self._idle_since: float | None = None
        self._worker: _Process | None = None
        self._closed = False
        # One thread, and the same to the end: the kernel ends a worker together with the thread that spawned it.
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix=f"compute-{device}")

    def submit(
        self,
        stage: str,
        arrays: Arrays,
        settings: Mapping[str, Any],
        *,
        on_progress: OnProgress | None = None,
        on_estimate: OnEstimate | None = None,
    ) -> Call:
        """Queue one run of a stage. Raises Stopped once closed.

        Both are called from another thread: `on_progress(step, steps)`, and `on_estimate(latents)` with a loop's estimate of the
        finished latents where the settings ask for it."""
        number = next(self._numbers)
        message = ("run", number, stage, dict(arrays), self._on_device(settings))
        call = Call(number, message, self, on_progress, on_estimate)
        with self._lock:
            if self._closed:
                raise Stopped("no more work is taken, because the daemon is stopping")
            self._open[number] = call
            served = self._thread.submit(self._serve, call)
        call.future.add_done_callback(lambda _: self._open.pop(number, None))
        served.add_done_callback(call.settle)
        return call

    def cancel(self, call: Call, reason: Exception) -> None:
        """Fail a call of this worker with `reason`, as `Call.cancel` says."""
        with self._lock:
            call.reason = call.reason or reason
            if self._running is call:
                self._ask_to_cancel(call)
                return
        call.fail(reason)

    def tick(self, now: float) -> None:
        """End the worker if it has been idle for the idle time; `now` is any clock in seconds that only grows."""
        with self._lock:
            if self._worker is None or self._open or self._closed:
                self._idle_since = None
            elif self._idle_since is None:
                self._idle_since = now
            elif now - self._idle_since >= self._idle_seconds:
                self._idle_since = None
                self._thread.submit(self._end_if_idle)

    def describe(self) -> dict[str, Any]:
        """Return what there is to say of the worker: device, pid, alive, busy, stage, since (epoch seconds) and queued."""
        with self._lock:
            worker, running = self._worker, self._running
            alive = worker is not None and worker.alive()
            return {
                "device": self._device,
                "pid": worker.pid if worker is not None and alive else None,
                "alive": alive,
                "busy": running is not None,
                "stage": running.message[2] if running else None,
                "since": self._since,
                "queued": len(self._open) - (running is not None),
            }

    def close(self, *, grace_seconds: float = 10.0) -> None:
        """Cancel all calls with Stopped and end the worker, by force if the call it runs takes longer than the grace."""
        with self._lock:
            self._closed = True
            calls = list(self._open.values())
        for call in calls:
            call.cancel(Stopped("the daemon is stopping"))
        with suppress(RuntimeError):  # closed twice
            ended = self._thread.submit(self._end_worker)
            if wait([ended], timeout=grace_seconds).not_done and self._worker is not None:
                self._worker.kill()
        self._thread.shutdown()

    def _on_device(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        return {**settings, "model": {**settings["model"], "device": settings["model"].get("device") or self._device}}

    def _serve(self, call: Call) -> Result:
        if not self._begin(call):
            raise call.reason or Stopped("the call was cancelled")
        answer = None
        try:
            answer = self._ask(self._started(), call)
        finally:
            with self._lock:
                self._running, self._since = None, self._clock()
            if answer is None:
                self._end_worker(kill=True)
        return _result(answer, call.reason)

    def _begin(self, call: Call) -> bool:
        with self._lock:
            if call.reason is None:
                self._running, self._since = call, self._clock()
            return call.reason is None

    def _started(self) -> "_Process":
        if self._worker is None or not self._worker.alive():
            self._end_worker()
            self._worker = _Process(self._threads, self._budget_bytes)
        return self._worker

    def _ask(self, worker: "_Process", call: Call) -> tuple[Any, ...]:
        try:
            worker.pipe.send(call.message)
            with self._lock:
                call.sent = True
                if call.reason is not None:
                    self._ask_to_cancel(call)
            return self._listen(worker, call)
        except (EOFError, ConnectionError) as error:
            raise call.reason or WorkerDied(worker.epitaph()) from error

    def _listen(self, worker: "_Process", call: Call) -> tuple[Any, ...]:
        while True:
            answer: tuple[Any, ...] = worker.pipe.recv()
            if answer[0] == "progress":
                call.on_progress(*answer[2:])
            elif answer[0] == "estimate":
                call.on_estimate(answer[2])
            else:
                return answer

    def _ask_to_cancel(self, call: Call) -> None:
        # Before it is sent, the thread that sends it does this itself: a pipe takes one sender at a time.
        if call.sent and self._worker is not None:
            with suppress(ConnectionError):
                self._worker.pipe.send(("cancel", call.number))

    def _end_if_idle(self) -> None:
        if not self._open:
            self._end_worker()

    def _end_worker(self, *, kill: bool = False) -> None:
        with self._lock:
            worker, self._worker = self._worker, None
        if worker is not None:
            worker.end(kill=kill)


class _Process:
    """The worker process and the pipe to it."""

    def __init__(self, threads: int, budget_bytes: int) -> None:
        self.pipe, theirs = Pipe()
        # A plain child instead of multiprocessing's: that one would import the command line's main module again.
        arguments = map(str, (theirs.fileno(), os.getpid(), threads, budget_bytes))
        self._popen = subprocess.Popen(
            [sys.executable, "-P", "-m", WORKER, *arguments],
            pass_fds=[theirs.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=2,
            env=_environment(),
        )
        theirs.close()

    @property
    def pid(self) -> int:
        return self._popen.pid

    def alive(self) -> bool:
        return self._popen.poll() is None

    def kill(self) -> None:
        self._popen.kill()

    def end(self, *, kill: bool) -> None:
        """Close the pipe, which ends an idle worker, and wait for it; `kill` is for one that is not idle."""
        if kill:
            self._popen.kill()
        self.pipe.close()
        try:
            self._popen.wait(timeout=5)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()

    def epitaph(self) -> str:
        """Return the sentence on how the process ended."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=5)
        code = self._popen.returncode
        how = f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"
        guess = "; it may have needed more memory than the machine has" if code == -signal.SIGKILL else ""
        return f"the worker process {how} in the middle of the job{guess}"


def _environment() -> dict[str, str]:
    ours = str(Path(__file__).resolve().parents[1])
    paths = [ours, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "DIFFUSERS_VERBOSITY": "error",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }


def _result(answer: tuple[Any, ...], reason: Exception | None) -> Result:
    if answer[0] == "done":
        return answer[2], answer[3]
    _, _, kind, sentence, trace = answer
    if kind == "Cancelled" and reason is not None:
        raise reason
    cls = getattr(errors, kind, None)
    if isinstance(cls, type) and issubclass(cls, DaemonError):
        raise cls(sentence)
    error = OSError(sentence) if kind == "OSError" else StageError(sentence)
    error.add_note(trace)
    raise error


def _silent(*_: Any) -> None:
    pass
