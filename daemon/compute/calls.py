"""Calls to the compute side, and the queue they wait in: in the order of submission, those of one batch key together."""

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from typing import Any

from daemon import errors
from daemon.compute.protocol import Arrays, OnBegin, OnEstimate, OnProgress, Result
from daemon.errors import DaemonError
from daemon.models.stage_settings import StageSettings


class StageError(Exception):
    """A stage raised what it should not have: we are at fault. The worker's traceback is in the notes."""


class Call:
    """One submitted call; `future` gives (arrays, facts), or raises what the stage raised.

    Calls of an equal `key` may be computed together; None is for one that must run alone. `job` is what tells the calls of one job
    from those of another, through all its tries.
    """

    def __init__(
        self,
        number: int,
        stage: str,
        arrays: Arrays,
        settings: StageSettings,
        *,
        key: str | None,
        on_progress: OnProgress | None,
        on_estimate: OnEstimate | None,
        cancel: Callable[["Call", Exception], None],
        on_begin: OnBegin | None = None,
    ) -> None:
        self.number, self.stage, self.arrays, self.settings, self.key = number, stage, dict(arrays), settings, key
        self.on_begin = on_begin or _silent
        self.on_progress, self.on_estimate = on_progress or _silent, on_estimate or _silent
        self.future: Future[Result] = Future()
        self.reason: Exception | None = None
        self.job: Hashable = None
        self.like = repr((stage, settings.get("model")))  # equal for calls that need the same parts of a model, mostly
        self.files = repr([settings.get(name) for name in ("model", "loras", "textual_inversions")])  # equal for the same files
        self.losses = 0  # machines that were lost while they computed it
        self._cancel = cancel

    def settings_on(self, device: str) -> StageSettings:
        """The settings, with the device of the worker where they name none."""
        model = self.settings["model"]
        return {**self.settings, "model": {**model, "device": model.get("device") or device}}

    def cancel(self, reason: Exception) -> None:
        """Fail the call with `reason`: at once if it waits, at its next step if it runs, not at all if it is done."""
        self._cancel(self, reason)

    def set_result(self, answer: tuple[Any, ...]) -> None:
        """Take the worker's answer, ("done", ...) or ("failed", ...)."""
        if answer[0] == "done":
            with suppress(InvalidStateError):  # it was cancelled while it waited
                self.future.set_result((answer[2], answer[3]))
        else:
            self.fail(self._error(*answer[2:]))

    def fail(self, error: BaseException) -> None:
        """End the call with an error, unless it is over."""
        with suppress(InvalidStateError):
            self.future.set_exception(error)

    def _error(self, kind: str, sentence: str, trace: str) -> Exception:
        if kind == "Cancelled" and self.reason is not None:
            return self.reason
        cls = getattr(errors, kind, None)
        if isinstance(cls, type) and issubclass(cls, DaemonError):
            return cls(sentence)
        error = OSError(sentence) if kind == "OSError" else StageError(sentence)
        error.add_note(trace)
        return error


Fits = Callable[[Call], bool]
"""Whether a worker can compute a call."""


class Queue:
    """The calls that no worker has yet; `together` bounds how many run as one batch."""

    def __init__(self, together: int = 1) -> None:
        self._together = together
        self._waiting: deque[Call] = deque()

    def __iter__(self) -> Iterator[Call]:
        return iter(self._waiting)

    def first(self, fits: Fits) -> Call | None:
        """The call that is taken next, of those that fit."""
        return next(filter(fits, self._waiting), None)

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, call: Call) -> None:
        self._waiting.append(call)

    def put_back(self, batches: Iterable[list[Call]], *, alone: bool = True) -> None:
        """Take calls back at the head, in their order; with `alone` they run so from now on: one may be what ended the worker."""
        for call in reversed([call for batch in batches for call in batch if not call.future.done()]):
            call.key = None if alone else call.key
            self._waiting.appendleft(call)

    def remove(self, call: Call) -> None:
        """Take out a call that was cancelled, where it is here."""
        with suppress(ValueError):
            self._waiting.remove(call)

    def take(self, *, whole_only: bool, fits: Fits = lambda _: True) -> list[Call]:
        """The next calls to run as one, of those that fit; with `whole_only` none while more may come that could run with them."""
        first = self.first(fits)
        if first is None:
            return []
        alike = [first]
        if first.key is not None:
            alike = [call for call in self._waiting if call.key == first.key and fits(call)][: self._together]
            if whole_only and len(alike) < self._together:
                return []
        for call in alike:
            self._waiting.remove(call)
        return alike


def _silent(*_: Any) -> None:
    pass
