"""A place on another machine: a thread that connects to it, hands it calls and ends it, as a worker's on this machine does.

It takes calls only once it is connected and greeted. A lost connection is nobody's fault: its calls go back to the head of the
queue, uncounted, where other places take them; the place is tried again, after a wait that grows. Where the worker process there
has ended, the machine is well, and who ended it is judged as on this machine.
"""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Protocol

from daemon.compute.addresses import SshAddress
from daemon.compute.calls import Call
from daemon.compute.remote.absence import Absence
from daemon.compute.remote.connection import Refused
from daemon.compute.remote.framing import Malformed
from daemon.compute.remote.missing import NOT_ALLOWED, Missing, RawReference, names
from daemon.compute.remote.patience import Patience
from daemon.compute.remote.worker import RemoteWorker
from daemon.compute.worker_handle import AnyWorker, Place, Pool, Step, WorkerHandle
from daemon.compute.worker_log import relay
from daemon.errors import ClusterLost, DaemonError
from daemon.models.stage_settings import StageSettings
from daemon.names import shown

log = logging.getLogger(__name__)

MOST_LOSSES = 5
LEFT_SECONDS = 10.0  # for a thread that hangs in what it reads on this machine, when the daemon ends
SHORTEST_WAIT = 0.01


@dataclass(frozen=True, kw_only=True)
class RemotePlace(Place):
    """A worker's place on another machine."""

    address: SshAddress

    @property
    def name(self) -> str:
        return self.address.host


class RemotePool(Pool, Protocol):
    """What a handle asks of its pool beside the rest: a connection, and what the files of a call are on another machine."""

    patience: Patience

    def reach(self, place: RemotePlace) -> RemoteWorker: ...

    def portable(self, settings: StageSettings) -> StageSettings: ...

    def is_short_of(self, handle: "RemoteHandle") -> bool: ...

    def fetch(self, place: RemotePlace, settings: StageSettings, references: Sequence[RawReference]) -> None: ...


class RemoteHandle(WorkerHandle):
    """One place on another machine. `state` is ready, idle, connecting, away or refused."""

    def __init__(
        self,
        pool: RemotePool,
        place: RemotePlace,
        *,
        clock: Callable[[], float] = time.time,
        ticking: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__(pool, place, clock=clock)
        self.far = place
        self._remote, self._ticking = pool, ticking
        self.absence = Absence(pool.patience)
        self.missing = Missing(place.name, pool.changed, pool.patience, partial(pool.fetch, place), self._waits_there)
        self._joining: RemoteWorker | None = None
        self._is_joining = self._fetches = False
        self._model: str | None = None

    # --- what others ask, all under `changed`

    @property
    def state(self) -> str:
        """In one word how the place is."""
        if self.is_there():
            return "ready"
        if self.absence.since is None:
            return "connecting" if self._is_joining else "idle"
        return "refused" if self.absence.is_refused else "away"

    def fits(self, call: Call) -> bool:
        """Override: it is not known to lack files of the call."""
        return self.missing.sentence(call) is None

    def is_there(self) -> bool:
        """Override: it is connected."""
        return self.worker is not None and not self._lost

    def is_coming(self) -> bool:
        """Override: it is connected, or nothing speaks against it."""
        return self.absence.since is None

    def is_had(self) -> bool:
        """Whether it could have a call, or could as soon as somebody asks."""
        return self.is_there() or (self.absence.since is None and not self._is_joining)

    def describe(self) -> dict[str, Any]:
        """Override: with the state of the place."""
        absence = {"lost_since": self.absence.since, "reason": self.absence.reason}
        return {**super().describe(), "node": self.far.name, "state": self.state, **absence, "model": self._model}

    def join(self, seconds: float) -> None:
        """Override: what is not connected yet is given up at once."""
        with self._pool.changed:
            if self._joining is not None:
                self._joining.kill()
        if not self._thread.is_alive():
            return
        self._thread.join(seconds)
        if self._thread.is_alive() and (worker := self.worker):
            worker.kill()
        self._thread.join(LEFT_SECONDS)

    # --- the thread

    def _next(self) -> Step | None:
        step = super()._next()
        is_free = self.worker is None and not self._pool.closing
        return self._connect if step is not None and not self._lost and is_free and self._is_due() else step

    def _is_due(self) -> bool:
        """Whether to connect now: calls wait for it, or it was lost and may be back."""
        left = self._seconds_to_wait()
        return left is not None and left <= SHORTEST_WAIT

    def _seconds_to_wait(self) -> float | None:
        is_wanted = self._remote.is_short_of(self)
        if self.worker is not None or not (is_wanted or self.absence.since is not None):
            return None
        return max(SHORTEST_WAIT, self.absence.seconds_left(self._ticking(), wanted=is_wanted))

    def _connect(self) -> None:
        with self._pool.changed:
            self._is_joining = True
        try:
            worker = self._remote.reach(self.far)
            with self._pool.changed:
                self._joining = worker
                if self._pool.closing:
                    worker.kill()
            greeting = worker.greet()
        except OSError as error:
            self._note_away(str(error), is_refused=isinstance(error, Refused))
        else:
            self._begin_there(worker, greeting)
        with self._pool.changed:
            self._joining, self._is_joining = None, False
            self._pool.changed.notify_all()

    def _begin_there(self, worker: RemoteWorker, greeting: Mapping[str, Any]) -> None:
        log.info("worker on %s: ready, with %s (%s)", self.far.name, shown(greeting["device"]), shown(greeting["processor"]))
        with self._pool.changed:
            self.device, self._fetches = shown(greeting["device"]), greeting["fetches"]
            self.absence.end(self._ticking())
            self.missing.forget()
            self._lost = None
        self._begin_with(worker)

    def _note_away(self, reason: str, *, is_refused: bool = False) -> None:
        """The place cannot be had, from now on or still."""
        with self._pool.changed:
            self.missing.forget()
            is_news = self.absence.begin(self._ticking(), epoch=self._clock(), reason=reason, is_refused=is_refused)
        if is_news and not self._pool.closing:
            log.warning("worker on %s: %s, %s; tried again now and then", self.far.name, self.state, reason)

    def _started(self) -> AnyWorker:
        if self.worker is None:
            raise ConnectionError(f"{self.far.name} is away")
        return self.worker

    def _take(self, batch: list[Call]) -> None:
        super()._take(batch)
        self._model = batch[0].settings["model"].get("name")

    def _note_unsent(self, batch: list[Call], error: BaseException | None) -> None:
        """Override: what cannot travel is left to others."""
        if isinstance(error, DaemonError):
            self._leave_to_others(batch, f"{self.far.name}: {error}")
        else:
            super()._note_unsent(batch, error)

    def _settings_of(self, call: Call) -> StageSettings:
        return self._remote.portable(call.settings)

    def _end(self, *, kill: bool = False) -> None:
        super()._end(kill=kill)
        with self._pool.changed:
            self._model = None

    def _log_end(self, worker: AnyWorker, *, died: bool) -> None:
        if self._pool.closing or not died:
            log.info("worker on %s: ended, because %s", self.far.name, "the daemon stops" if self._pool.closing else "it was idle")
        else:
            log.warning("worker on %s: %s", self.far.name, worker.how_it_ended)

    # --- what comes from there

    def _take_answer(self, answer: tuple[Any, ...]) -> None:
        kind = answer[0]
        if kind == "log":
            _, _name, level, message, trace = answer
            # Not under the name that it says: names are kept for ever.
            relay(__name__, level, f"{self.far.name}: {message}", trace and "\n".join(map(shown, trace.splitlines())))
        elif kind == "lacking":
            self._note_lacking(*answer[1:])
        elif kind in ("done", "failed") and not self._has(answer[1]):
            raise Malformed(f"expected an answer to a call that it has, and found one to {answer[1]}")
        elif kind == "failed":
            super()._take_answer((*answer[:3], shown(answer[3]), answer[4]))
        elif kind in ("hello", "refused"):
            raise Malformed(f"expected an answer, and found {kind!r}")
        else:
            super()._take_answer(answer)

    def _has(self, number: int) -> bool:
        with self._pool.changed:
            return any(call.number == number for batch in self.in_flight for call in batch)

    def _note_lacking(self, numbers: Sequence[int], references: Sequence[RawReference]) -> None:
        """Calls whose files are not there: they were not begun."""
        with self._pool.changed:
            batches = [[call for call in batch if call.number in numbers] for batch in self.in_flight]
        calls = [call for batch in batches for call in batch]
        if len(calls) < len(set(numbers)):
            raise Malformed("expected to lack files of calls that it has, and found others")
        sentence = f"{self.far.name} lacks {names(references)}"
        if self._fetches:
            self._leave_to_others(calls, sentence, references)
        else:
            self._leave_to_others(calls, f"{sentence}; {NOT_ALLOWED}")

    def _leave_to_others(self, given: Sequence[Call], sentence: str, wanted: Sequence[RawReference] = ()) -> None:
        """Put calls back that this place cannot compute as it is; what is wanted for them is sent there."""
        calls = list(given)
        self.missing.note(calls, sentence)
        if wanted:
            self.missing.begin(calls, wanted)  # before they wait again: they are not without a place
        else:
            log.warning("%s; other places compute what needs it", sentence)
        for call in calls:
            if call.reason is not None:
                call.fail(call.reason)
        with self._pool.changed:
            for batch in list(self.in_flight):
                batch[:] = [call for call in batch if call not in calls]
                if not batch:
                    self.in_flight.remove(batch)
            self.since = self._clock()
            self._pool.queue.put_back([calls], alone=False)
            self._pool.changed.notify_all()

    def _waits_there(self, seconds: float) -> bool:
        """Wait so long, or until the place is lost; whether it is there."""
        with self._pool.changed:
            self._pool.changed.wait_for(lambda: self._pool.closing or not self.is_there(), seconds)
            return self.is_there() and not self._pool.closing

    # --- its end

    def _set_result(self, answer: tuple[Any, ...]) -> None:
        with self._pool.changed:
            self.absence.stayed()
        super()._set_result(answer)

    def _on_worker_death(self) -> None:
        worker, error = self.worker, self._lost[0] if self._lost else None
        if isinstance(worker, RemoteWorker) and worker.died is None and isinstance(error, EOFError | OSError):
            self._on_lost_connection(worker, error)
        else:
            super()._on_worker_death()

    def _on_lost_connection(self, worker: RemoteWorker, error: BaseException) -> None:
        """Give the calls back, to whom it was not the fault of."""
        with self._pool.changed:
            in_flight, computing = list(self.in_flight), self._computing()
            self._stopwatch.begin(())
            self.in_flight.clear()
        self._end(kill=True)
        reason = worker.reason(error)
        # One that was not begun yet may have been what ended it, too.
        for call in computing or next(iter(in_flight), []):
            call.losses += 1
        for call in [call for batch in in_flight for call in batch]:
            if call.reason is not None:
                call.fail(call.reason)
            elif call.losses >= MOST_LOSSES:
                call.fail(ClusterLost(f"{self.far.name} was lost {call.losses} times while it computed this: {reason}"))
        self.absence.was_lost(self._ticking())
        if not worker.was_killed:
            self._note_away(reason)
        with self._pool.changed:
            self.since, self._last_words = self._clock(), None
            self._pool.queue.put_back(in_flight)
            self._pool.changed.notify_all()
