"""Engines made up for tests, by the contract alone (`daemon/compute/protocol.py`): one that computes here, one that loses calls."""

import importlib
import threading
from collections.abc import Hashable, Iterable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from typing import Any

import numpy as np
import torch

from daemon.compute.protocol import Arrays, EngineOptions, OnBegin, OnEstimate, OnProgress, Result
from daemon.errors import ComputeLost, Stopped
from daemon.models.processor import computed_on
from daemon.models.registry import Models


class Call:
    """One call, which may be cancelled until it is done."""

    def __init__(self) -> None:
        self.future: Future[Result] = Future()
        self.reason: Exception | None = None

    def cancel(self, reason: Exception) -> None:
        self.reason = self.reason or reason


class Here:
    """Computes in this process, one call after the other, each in a thread of its own."""

    def __init__(self, options: EngineOptions) -> None:
        self.stages: list[str] = []
        self.ticks = 0
        self._device, self._models = options.device, Models(options.budget_bytes or 1 << 30)
        self._turn, self._opening = threading.Lock(), threading.Lock()
        self._open, self._closed = dict[Call, threading.Thread](), False

    def submit(
        self,
        stage: str,
        arrays: Arrays,
        settings: Mapping[str, Any],
        *,
        key: str | None = None,
        on_begin: OnBegin | None = None,
        on_progress: OnProgress | None = None,
        on_estimate: OnEstimate | None = None,
        job: Hashable = None,
    ) -> Call:
        del key, on_estimate, job
        call = Call()
        with self._opening:
            if self._closed:
                raise Stopped("closed")
            self._open[call] = threading.Thread(target=self._serve, args=[call, stage, arrays, settings, on_begin, on_progress])
            self._open[call].start()
        return call

    def _serve(self, call: Call, stage: str, arrays: Arrays, settings: Mapping[str, Any], *told: Any) -> None:
        on_begin, on_progress = told

        def progress(step: int, steps: int, estimate: torch.Tensor | None = None, /) -> None:
            del estimate
            if call.reason:
                raise call.reason
            if on_progress:
                on_progress(step, steps)

        try:
            with self._turn, torch.inference_mode():
                progress(0, 1)
                if on_begin:
                    on_begin()
                self.stages.append(stage)
                call.future.set_result(self._computed(stage, arrays, settings, progress))
        except Exception as error:  # noqa: BLE001 - whatever it is, it is how the call ended
            call.future.set_exception(error)

    def _computed(self, stage: str, arrays: Arrays, settings: Mapping[str, Any], progress: Any) -> Result:
        device = settings["model"]["device"] or self._device
        tensors = {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}
        settings = {**settings, "model": {**settings["model"], "device": device}}
        self._models.begin()
        out, facts = importlib.import_module(f"daemon.stages.{stage}").run(self._models, tensors, settings, progress)
        return {name: tensor.numpy() for name, tensor in out.items()}, {**facts, "software": computed_on(device)}

    def tick(self, now: float) -> None:
        del now
        self.ticks += 1

    def describe(self) -> dict[str, Any]:
        busy = any(not call.future.done() for call in self._open)
        said = {"device": self._device, "pid": None, "alive": True, "busy": busy}
        return {**said, "stage": self.stages[-1] if busy and self.stages else None, "since": None, "queued": 0}

    def close(self, *, grace_seconds: float = 10.0) -> None:
        del grace_seconds
        with self._opening:
            self._closed = True
        for call, thread in self._open.items():
            call.cancel(Stopped("closed"))
            thread.join()


class Losing(Here):
    """Loses its first calls, each in the way that is said."""

    def __init__(self, options: EngineOptions, losses: Iterable[ComputeLost]) -> None:
        super().__init__(options)
        self.losses = [*losses]

    def _computed(self, stage: str, arrays: Arrays, settings: Mapping[str, Any], progress: Any) -> Result:
        with suppress(IndexError):
            raise self.losses.pop(0)
        return super()._computed(stage, arrays, settings, progress)
