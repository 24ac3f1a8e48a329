"""What runs inside a worker process: one call after the other comes in by a pipe, its progress and its outcome go out.

    in    ("run", stage, [(id, arrays, settings), ...])   ("cancel", id)
    out   ("computing", [id, ...])   ("progress", id, step, steps)   ("estimate", id, array)
          ("done", id, arrays, facts)   ("failed", id, kind, sentence, traceback)   ("broken", sentence, traceback)
          ("log", ...), see `worker_log.py`

Computing tells whose clock runs: nobody's while a part of a model is read. Progress is told of the first step of a job, of the
last, and ten times a second. Several calls in one message run as one batch; where that fails, each runs alone and fails, or not,
for itself. What lacked memory is tried once more where models could be thrown out that it does not use; it begins anew with its
seeds, so that this changes no bit. After "broken" the process ends: the error is one after which the device computes nothing any
more (`faults.py`). A message may come while another is worked on: it waits. Arrays are numpy on the pipe and torch inside. Facts
say too what a call took: "seconds", of which "loading_seconds" went into its models. The
process ends when its parent does. It ignores SIGINT and SIGTERM, which a terminal or systemd send to the whole group: the parent
decides when a job stops.
"""

import ctypes
import faulthandler
import importlib
import logging
import os
import signal
import sys
import time
import traceback
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from daemon import stray
from daemon.compute.faults import breaks_device, figures, is_out_of_memory
from daemon.compute.pipe import ArrayPipe
from daemon.compute.protocol import Arrays
from daemon.compute.worker_log import Outgoing, log_to
from daemon.errors import Cancelled, DaemonError, OutOfMemory
from daemon.models.stage_settings import StageSettings

if TYPE_CHECKING:
    import torch

    from daemon.models import Progress

Job = tuple[int, Arrays, StageSettings]
JobSize = tuple[str, str, tuple[tuple[str, tuple[int, ...]], ...]]

log = logging.getLogger("daemon.compute.worker")  # which is the main module here

PR_SET_PDEATHSIG = 1
BROKEN = "broken"
TOO_LARGE_SECONDS = 600.0  # that a size is known to be too large for: the device may have had other guests
TELL_SECONDS = 0.1  # between two words about a job: nobody reads faster, and each takes a core from what is computed


class Worker:
    """Answers the calls that come in by the pipe, until it is closed."""

    def __init__(self, pipe: ArrayPipe, *, budget_bytes: int, gpu_bytes: int | None = None) -> None:
        from daemon.models.registry import Models

        self._pipe = pipe
        self._models = Models(budget_bytes, gpu_bytes=gpu_bytes)
        self._models.on_loading = self._tell_loading
        self._numbers: list[int] = []
        self._waiting: deque[tuple[str, list[Job]]] = deque()
        self._cancelled: set[int] = set()
        self._too_large: dict[JobSize, float] = {}  # and until when

    def serve(self) -> None:
        while True:
            while self._pipe.poll() or not self._waiting:
                self._take(self._pipe.recv())
            stage, jobs = self._waiting.popleft()
            for answer in self._answers(stage, jobs):
                self._pipe.send(answer)
                if answer[0] == BROKEN:
                    os._exit(1)  # the end of a broken context may hang, or be a crash

    def _take(self, message: tuple[Any, ...]) -> None:
        if message[0] == "cancel":
            self._cancelled.add(message[1])
        else:
            self._cancelled.difference_update(number for number, _, _ in message[2])  # of another try
            self._waiting.append((message[1], message[2]))

    def _answers(self, stage: str, jobs: Sequence[Job]) -> Iterator[tuple[Any, ...]]:
        together = self._answer(stage, jobs)
        if len(jobs) > 1 and together[0][0] == "failed":
            yield from (self._answer(stage, [job])[0] for job in jobs)
        else:
            yield from together

    def _answer(self, stage: str, jobs: Sequence[Job]) -> list[tuple[Any, ...]]:
        """What came of jobs that run as one: an answer for each, or one failure for all."""
        answers = self._tried(stage, jobs)
        # Not within a handler: what the error holds of the run would be memory that is not free yet.
        if len(jobs) == 1 and answers[0][2:3] == (OutOfMemory.__name__,):
            return self._tried_with_room(stage, jobs[0], answers)
        return answers

    def _tried(self, stage: str, jobs: Sequence[Job]) -> list[tuple[Any, ...]]:
        numbers = [number for number, _, _ in jobs]
        call, progress = numbers[0], self._progress(numbers)
        try:
            self._check_wanted(numbers)
            return [("done", number, *result) for number, result in zip(numbers, self._run(stage, jobs, progress), strict=True)]
        except (EOFError, ConnectionError):
            raise
        # The border of the process: what cannot cross it as an exception crosses it as a message, and job.py sorts it.
        except Exception as error:  # noqa: BLE001
            return [self._answer_to(error, call, device=jobs[0][2]["model"]["device"])]

    def _answer_to(self, error: Exception, call: int, *, device: str) -> tuple[Any, ...]:
        if is_out_of_memory(error):
            sentence = f"the device had not enough memory for this job ({figures(error, device)})"
            return self._failed(call, OutOfMemory.__name__, sentence)
        if isinstance(error, DaemonError):
            return self._failed(call, type(error).__name__, str(error))
        if breaks_device(error):
            return BROKEN, f"the device {device} failed in the middle of the job ({_first_line(error)})", traceback.format_exc()
        kind = "OSError" if isinstance(error, OSError) else type(error).__name__
        return self._failed(call, kind, f"{type(error).__name__}: {error}")

    def _tried_with_room(self, stage: str, job: Job, answers: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
        """Try again with no model loaded but those that it uses; for a size that was too large even then, none is let go."""
        size, now = _size(stage, job), time.monotonic()
        if now < self._too_large.get(size, now):
            return answers
        if self._models.let_go_of_others():
            answers = self._tried(stage, [job])
        if answers[0][2:3] == (OutOfMemory.__name__,):
            self._too_large[size] = now + TOO_LARGE_SECONDS
        return answers

    def _progress(self, numbers: Sequence[int]) -> "Progress":
        """What a stage calls after each step of some jobs: it tells of them, and stops them where nobody wants them any more."""
        due = 0.0

        def progress(step: int, steps: int, estimate: "torch.Tensor | None" = None, /) -> None:
            nonlocal due
            if estimate is not None:
                for number in numbers:
                    self._pipe.send(("estimate", number, estimate.numpy()))
            if step == steps or time.monotonic() >= due:
                due = time.monotonic() + TELL_SECONDS
                for number in numbers:
                    self._pipe.send(("progress", number, step, steps))
            self._check_wanted(numbers)

        return progress

    def _tell_loading(self, loading: bool) -> None:
        self._pipe.send(("computing", [] if loading else self._numbers))

    def _check_wanted(self, numbers: Sequence[int]) -> None:
        while self._pipe.poll():
            self._take(self._pipe.recv())
        if self._cancelled.issuperset(numbers):
            raise Cancelled("the job was cancelled")

    def _run(self, stage: str, jobs: Sequence[Job], progress: "Progress") -> list[tuple[Any, Any]]:
        import torch

        from daemon.models.compute_format import facts_of, set_tf32
        from daemon.models.processor import computed_on
        from daemon.models.registry import ModelSpec

        module = importlib.import_module(f"daemon.stages.{stage}")
        self._numbers = [number for number, _, _ in jobs]
        self._models.begin()
        self._tell_loading(False)
        tensors, settings = [_as_tensors(arrays) for _, arrays, _ in jobs], jobs[0][2]
        fast = bool(settings["model"].get("fast"))
        set_tf32(fast)
        began, loaded_before = time.monotonic(), self._models.loading_seconds
        with torch.inference_mode():  # small models spend some per cent of their time on what no_grad still keeps
            if len(jobs) > 1:
                done = module.run_together(self._models, tensors, [settings for _, _, settings in jobs], progress)
            else:
                done = [module.run(self._models, tensors[0], jobs[0][2], progress)]
        took = {"seconds": time.monotonic() - began, "loading_seconds": self._models.loading_seconds - loaded_before}
        wide = fast and self._models.family(ModelSpec.of(settings)).wide
        said = {**facts_of(settings, len(jobs), wide=wide), "software": computed_on(settings["model"]["device"]), **took}
        return [({name: tensor.numpy() for name, tensor in out.items()}, {**facts, **said}) for out, facts in done]

    def _failed(self, call: int, kind: str, sentence: str) -> tuple[Any, ...]:
        return "failed", call, kind, sentence, traceback.format_exc()


def _as_tensors(arrays: Arrays) -> "dict[str, torch.Tensor]":
    import torch

    return {name: torch.from_numpy(np.require(array, requirements=["C", "W"])) for name, array in arrays.items()}


def _size(stage: str, job: Job) -> JobSize:
    """What makes two jobs need the same memory, as far as that can be told."""
    _, arrays, settings = job
    shapes = tuple(sorted((name, array.shape) for name, array in arrays.items()))
    return stage, repr([settings["model"], settings.get("width"), settings.get("height")]), shapes


def _first_line(error: BaseException) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def main(pipe_fd: int, parent: int, threads: int, budget_bytes: int, level: int = logging.WARNING, gpu_bytes: int = 0) -> None:
    """Serve the pipe; `threads` 0 leaves torch its default, `level` is the log's. `budget_bytes` bounds the loaded models,
    `gpu_bytes` those on a GPU, where 0 is for what is free there."""
    _end_with(parent)
    faulthandler.enable()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with suppress(EOFError, ConnectionError):
        pipe = Outgoing(pipe_fd)
        log_to(pipe, level)
        stray.catch_all()
        _configure_torch(threads)
        Worker(pipe, budget_bytes=budget_bytes, gpu_bytes=gpu_bytes or None).serve()


def _end_with(parent: int) -> None:
    with suppress(OSError, AttributeError):
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit()
    # Where the kernel must kill for memory, it shall take the worker, not the front process.
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("500")


def _configure_torch(threads: int) -> None:
    import torch

    from daemon.models.compute_format import set_tf32

    if threads:
        torch.set_num_threads(threads)
    torch.set_grad_enabled(False)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
    set_tf32(False)
    log.debug("torch %s computes with %d threads", torch.__version__, torch.get_num_threads())


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
