"""One worker and what lies with it: a thread that spawns it, hands it calls and ends it, and one that listens to its answers.

All that the handles share is guarded by one condition, `changed`: the queue that they take from, and what each has in flight. Two
batches lie with a worker at a time, the one that it runs and the next, so that it does not wait for this process between the two.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from daemon.compute.blame import Blame
from daemon.compute.calls import Call, Queue, StageError
from daemon.compute.stopwatch import Due, Stopwatch
from daemon.compute.worker_log import relay
from daemon.errors import Cancelled, DaemonError, DeviceBroken, TooLong, WorkerDied
from daemon.models.stage_settings import StageSettings

log = logging.getLogger(__name__)

MOST_IN_FLIGHT = 2
Step = Callable[[], None]


class MessagePipe(Protocol):
    """A worker's pipe as its handle uses it. Raises EOFError at its end, and OSError where it is broken."""

    def send(self, message: tuple[Any, ...], /) -> None: ...

    def recv(self) -> tuple[Any, ...]: ...

    def close(self) -> None: ...


class AnyWorker(Protocol):
    """A worker as its handle knows it, wherever it runs: `process.py` and `remote/worker.py` say what each of these does."""

    @property
    def pipe(self) -> MessagePipe: ...

    @property
    def pid(self) -> int: ...

    @property
    def how_it_ended(self) -> str: ...

    def alive(self) -> bool: ...

    def kill(self) -> None: ...

    def end(self, *, kill: bool) -> None: ...

    def exit_reason(self) -> str: ...


class Pool(Protocol):
    """What a worker's handle asks of its pool: the queue, whether it ends, and whether another worker should have the next call."""

    changed: threading.Condition
    queue: Queue
    closing: bool

    def spawn(self, place: "Place") -> AnyWorker: ...

    def prefers_another(self, handle: "WorkerHandle") -> bool: ...


@dataclass(frozen=True)
class Place:
    """Where a worker computes: its device, which of several it is, and the one GPU that it sees, as CUDA_VISIBLE_DEVICES has it."""

    device: str
    number: int = 0
    gpu: str | None = None

    @property
    def name(self) -> str:
        """The device as people know it."""
        return f"{self.device}:{self.number}" if self.gpu and self.device == "cuda" else self.device


class WorkerHandle:
    """One worker process on one device, or the place for one."""

    def __init__(self, pool: Pool, place: Place, *, clock: Callable[[], float] = time.time) -> None:
        self.place, self.device = place, place.name
        self._likes: dict[str, int] = {}  # what the process has computed, and as which of its calls it did so last
        self._sent = 0
        self.in_flight: deque[list[Call]] = deque()  # with the worker; it runs the first
        self.worker: AnyWorker | None = None
        self.since: float | None = None
        self._pool, self._clock = pool, clock
        self._listener: threading.Thread | None = None
        self._lost: tuple[BaseException | None] | None = None  # why the listener ended, where it has
        self._idle_since: float | None = None
        self._ends_idle = False
        self._cancels: deque[int] = deque()
        self._stopwatch, self._blame = Stopwatch(), Blame()
        self._last_words: DeviceBroken | None = None  # of a worker that ends itself
        self._thread = threading.Thread(target=self._serve, name=f"compute-{self.device}", daemon=True)

    def start(self) -> None:
        """Start the thread, once; it starts the process when there is a call for it."""
        if not self._thread.is_alive():
            self._thread.start()

    def join(self, seconds: float) -> None:
        """Wait for the end, once the pool is closing; after so many seconds its worker is killed."""
        if self._thread.is_alive():
            self._thread.join(seconds)
            if self._thread.is_alive() and (worker := self.worker):
                worker.kill()
            self._thread.join()

    @property
    def running(self) -> Call | None:
        """The call that the worker computes, the first of them where they are several."""
        return self.in_flight[0][0] if self.in_flight else None

    def warmth(self, call: Call) -> tuple[bool, bool, int]:
        """How likely the worker has the models of a call: the more, the higher; under `changed`."""
        last = self._likes.get(call.like, 0) if self.worker else 0
        return bool(last), self.worker is not None, last - self._sent if last else 0

    def fits(self, call: Call) -> bool:
        """Whether the worker can compute a call, as far as that is known; under `changed`."""
        del call
        return True

    def is_there(self) -> bool:
        """Whether the worker could have a call now; under `changed`."""
        return True

    def is_coming(self) -> bool:
        """Whether it could have one now, or soon, as far as that is known; under `changed`."""
        return True

    def holds(self, call: Call) -> bool:
        """Whether a call lies with the worker."""
        return any(call in batch for batch in self.in_flight)

    def cancel(self, call: Call) -> None:
        """Tell the worker not to go on with a call; under `changed`."""
        self._cancels.append(call.number)
        self._pool.changed.notify_all()

    def tick(self, now: float, idle_seconds: float) -> None:
        """End the worker where it has had nothing to do for so long; under `changed`."""
        if self.worker is None or self.in_flight or self._pool.closing:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now
        elif now - self._idle_since >= idle_seconds:
            self._idle_since, self._ends_idle = None, True
            self._pool.changed.notify_all()

    def limit(self, now: float, most_seconds: float | None) -> None:
        """Stop what computes for longer than so many seconds, with its worker where it does not stop; under `changed`."""
        due = self._stopwatch.look(now, most_seconds)
        if due is Due.END and self.worker is not None:
            self.worker.kill()
        if due is not Due.STOP or most_seconds is None:
            return
        calls = self._computing()
        for call in calls:
            if len(calls) == 1:
                call.reason = call.reason or TooLong(_too_long(most_seconds))
            self.cancel(call)

    def describe(self) -> dict[str, Any]:
        """What there is to say of the worker; under `changed`."""
        alive = self.worker is not None and self.worker.alive()
        running = self.running
        return {
            "device": self.device,
            "pid": self.worker.pid if self.worker is not None and alive else None,
            "alive": alive,
            "busy": running is not None,
            "stage": running.stage if running else None,
            "since": self.since,
        }

    def _serve(self) -> None:
        step: Step | None = _wait
        while step:
            step()
            with self._pool.changed:
                while (step := self._next()) is _wait:
                    self._pool.changed.wait(self._seconds_to_wait())

    def _seconds_to_wait(self) -> float | None:
        """After which the thread looks again though nothing has changed."""
        return None

    def _next(self) -> Step | None:
        """What the thread has to do next; None where it is over."""
        if self._lost:
            return self._on_worker_death
        if self._cancels:
            return self._send_cancel
        if self._pool.closing and not self.in_flight:
            return self._end if self.worker else None
        if self._ends_idle:
            return self._end_if_idle
        if (
            self.is_there()
            and not self._pool.closing
            and len(self.in_flight) < MOST_IN_FLIGHT
            and not self._pool.prefers_another(self)
        ):
            batch = self._pool.queue.take(whole_only=bool(self.in_flight), fits=self.fits)
            if batch:
                self._take(batch)
                return lambda: self._send(batch)
        return _wait

    def _take(self, batch: list[Call]) -> None:
        self.in_flight.append(batch)
        self._idle_since, self._ends_idle = None, False
        self._sent += 1
        self._likes[batch[0].like] = self._sent
        if len(self.in_flight) == 1:
            self.since = self._clock()

    def _send(self, batch: list[Call]) -> None:
        with _Ending(partial(self._note_unsent, batch)):
            jobs = [(call.number, call.arrays, self._settings_of(call)) for call in batch]
            self._started().pipe.send(("run", batch[0].stage, jobs))

    def _settings_of(self, call: Call) -> StageSettings:
        return call.settings_on(self.place.device)

    def _note_unsent(self, batch: list[Call], error: BaseException | None) -> None:
        """Fail calls that no worker could be given, where no process can be started, say."""
        if error is None or isinstance(error, ConnectionError):
            return  # the listener finds out too that a worker has died
        with self._pool.changed:
            self.in_flight.remove(batch)
        for call in batch:
            call.fail(error)

    def _send_cancel(self) -> None:
        number = self._cancels.popleft()
        if self.worker is not None:
            with suppress(ConnectionError):
                self.worker.pipe.send(("cancel", number))

    def _started(self) -> AnyWorker:
        if self.worker is not None and not self.worker.alive() and len(self.in_flight) == 1:
            self._end(kill=True)  # it died while it was idle, which is nobody's fault
        if self.worker is None:
            worker = self._pool.spawn(self.place)
            log.info("worker %d on %s: started", worker.pid, self.device)
            self._begin_with(worker)
            return worker
        return self.worker

    def _begin_with(self, worker: AnyWorker) -> None:
        """Take a fresh worker, and listen to it."""
        self._blame.worker_started()
        self._listener = threading.Thread(target=self._listen, args=[worker], name=f"answers-{self.device}", daemon=True)
        with self._pool.changed:
            self.worker, self._likes = worker, {call.like: self._sent for batch in self.in_flight for call in batch[:1]}
        self._listener.start()

    def _end(self, *, kill: bool = False) -> None:
        with self._pool.changed:
            worker, self.worker = self.worker, None
        if worker is not None:
            worker.end(kill=kill)
            if self._listener is not None:
                self._listener.join()
            worker.pipe.close()
            self._log_end(worker, died=kill)
        with self._pool.changed:
            self._lost = None

    def _log_end(self, worker: AnyWorker, *, died: bool) -> None:
        if died and not self._pool.closing:
            log.warning("worker %d on %s: %s", worker.pid, self.device, worker.how_it_ended)
        else:
            why = "the daemon stops" if self._pool.closing else "it was idle"
            log.info("worker %d on %s: ended, because %s", worker.pid, self.device, why)

    def _end_if_idle(self) -> None:
        self._ends_idle = False
        if not self.in_flight:
            self._end()

    def _listen(self, worker: AnyWorker) -> None:
        with _Ending(self._note_loss):
            while True:
                self._take_answer(worker.pipe.recv())

    def _take_answer(self, answer: tuple[Any, ...]) -> None:
        if answer[0] == "log":
            relay(*answer[1:])
        elif answer[0] in ("done", "failed"):
            self._set_result(answer)
        elif answer[0] == "computing":
            self._note_computing(answer[1])
        elif answer[0] == "broken":
            self._note_broken(*answer[1:])
        elif (call := self._running(answer[1])) is not None:
            (call.on_progress if answer[0] == "progress" else call.on_estimate)(*answer[2:])

    def _note_computing(self, numbers: Sequence[int]) -> None:
        with self._pool.changed:
            self._stopwatch.begin(numbers)
            calls = self._computing()
        for call in calls:
            call.on_begin()

    def _note_broken(self, sentence: str, trace: str) -> None:
        self._last_words = DeviceBroken(sentence)
        self._last_words.add_note(trace)

    def _note_loss(self, error: BaseException | None) -> None:
        with self._pool.changed:
            self._lost = (error,)
            self._pool.changed.notify_all()

    def _running(self, number: int) -> Call | None:
        with self._pool.changed:
            return next((call for call in self.in_flight[0] if call.number == number), None) if self.in_flight else None

    def _computing(self) -> list[Call]:
        """The calls that the worker computes now, one or a batch, as far as it has said so; under `changed`."""
        return [call for call in self.in_flight[0] if call.number in self._stopwatch.numbers] if self.in_flight else []

    def _set_result(self, answer: tuple[Any, ...]) -> None:
        with self._pool.changed:
            self._stopwatch.begin(())
            batch = next(batch for batch in self.in_flight if any(call.number == answer[1] for call in batch))
            call = next(call for call in batch if call.number == answer[1])
            batch.remove(call)
            if answer[0] == "done":
                self._blame.call_finished(call.stage)
            if not batch:
                self.in_flight.remove(batch)
                self.since = self._clock()
            stopped_with_others = answer[0] == "failed" and answer[2] == Cancelled.__name__ and call.reason is None
            if stopped_with_others:
                self._pool.queue.put_back([[call]])
            self._pool.changed.notify_all()
        if not stopped_with_others:
            call.set_result(answer)

    def _on_worker_death(self) -> None:
        """Give each call that lay with a lost worker its error: it was at fault only if it ran, and ran alone."""
        with self._pool.changed:
            lost, in_flight, computing = self._lost, list(self.in_flight), self._computing()
            self._stopwatch.begin(())
            self.in_flight.clear()
            worker = self.worker
        if worker is not None:
            error = lost[0] if lost else None
            self._end(kill=True)
            running = in_flight[0] if in_flight else []
            if isinstance(error, EOFError | OSError):
                running = computing or running
                for call in running if len(running) == 1 else []:
                    call.fail(call.reason or self._death_of(call, worker))
            else:
                for call in running:
                    call.fail(error or StageError("it ended"))
        with self._pool.changed:
            self.since, self._lost, self._last_words = self._clock(), None, None
            self._pool.queue.put_back(in_flight)
            self._pool.changed.notify_all()

    def _death_of(self, call: Call, worker: AnyWorker) -> DaemonError:
        return self._blame.judged(call.stage, call.job, self._last_words or WorkerDied(worker.exit_reason()))


def _too_long(most_seconds: float) -> str:
    return (
        f"it has computed for the {most_seconds / 60:g} minutes that limits.job_minutes in config.yaml allows and was not done; "
        "use fewer steps or a smaller picture, or raise the limit"
    )


def _wait() -> None:
    """Nothing to do until something changes."""


class _Ending:
    """Says how something ended that runs in a thread of its own, whatever ended it."""

    def __init__(self, tell: Callable[[BaseException | None], None]) -> None:
        self._tell = tell

    def __enter__(self) -> None:
        pass

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> bool:
        self._tell(error)
        return True
