"""Where the maths runs when it runs in several places: on this machine, and on others that ssh reaches. The front side, no torch.

The queue, and all that is said of calls, is that of `local.py`. Here is what only several machines have: places that may be away,
and files that one has and another has not. While any place can be had, calls wait for it.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

from daemon.compute.addresses import LOCAL, SshAddress
from daemon.compute.calls import Call
from daemon.compute.local import LocalWorkers
from daemon.compute.protocol import EngineOptions
from daemon.compute.remote.handle import RemoteHandle, RemotePlace
from daemon.compute.remote.missing import RawReference
from daemon.compute.remote.patience import Patience
from daemon.compute.remote.ssh import Ssh
from daemon.compute.remote.worker import RemoteWorker
from daemon.compute.worker_handle import WorkerHandle
from daemon.errors import ClusterLost, DaemonError, ModelMissing
from daemon.models.stage_settings import StageSettings

Portable = Callable[[StageSettings], StageSettings]
Fetch = Callable[[SshAddress, StageSettings, Sequence[RawReference]], None]


class WorkersInPlaces(LocalWorkers):
    """Workers in the places of `options`: an engine (`Compute` in `protocol.py`).

    `portable` makes of the settings of a call what another machine understands, and `fetch` sends what that lacks of their files:
    it runs in a thread of its own, and returns once it is there. Both raise a DaemonError where they cannot; where `fetch` raises
    EOFError or OSError, it is called again.
    """

    def __init__(
        self,
        options: EngineOptions,
        *,
        ssh: Ssh,
        portable: Portable,
        fetch: Fetch,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        super().__init__(
            options.device,
            workers=max(1, options.places.count(LOCAL)),
            threads=options.threads,
            idle_seconds=options.idle_seconds,
            budget_bytes=options.budget_bytes,
            batch=options.batch,
            gpus=options.gpus,
            job_seconds=options.job_seconds,
            clock=clock,
        )
        self.patience = patience or Patience()
        self._ssh, self._portable, self._fetch = ssh, portable, fetch
        self._far_threads = options.threads or 0
        here = iter(self._workers)
        self._workers = [
            next(here)
            if said == LOCAL
            else RemoteHandle(self, RemotePlace("", number, address=SshAddress.parse(said)), clock=clock)
            for number, said in enumerate(options.places)
        ]
        self._without_place: dict[int, float] = {}  # calls by number, and since which tick

    def tick(self, now: float) -> None:
        """Override: also give back the calls for which no place can be had."""
        super().tick(now)
        with self.changed:
            ended = [(call, error) for call in self.queue if (error := self._hopeless(call, now))]
            waiting = {call.number for call in self.queue}
            self._without_place = {number: since for number, since in self._without_place.items() if number in waiting}
            for call, _ in ended:
                self.queue.remove(call)
        for call, error in ended:
            call.fail(error)

    def _hopeless(self, call: Call, now: float) -> DaemonError | None:
        """The error of a waiting call that no place can compute, by now or at all."""
        if any(handle.fits(call) and _is_had(handle) for handle in self._workers) or self._is_fetched(call):
            self._without_place.pop(call.number, None)
            return None
        if not any(handle.fits(call) for handle in self._workers):
            lacks = dict.fromkeys(sentence for one in self._far() if (sentence := one.missing.sentence(call)))
            return ModelMissing(f"no machine that computes has what this needs: {'; '.join(lacks)}")
        if now - self._without_place.setdefault(call.number, now) < self.patience.lost:
            return None
        return ClusterLost(f"no machine that computes is reached: {'; '.join(self._why_away())}")

    def _is_fetched(self, call: Call) -> bool:
        return any(one.missing.is_fetching(call) for one in self._far())

    def _why_away(self) -> list[str]:
        told = {one.far.name: (one.absence.since, one.absence.reason) for one in self._far()}
        return [
            f"{name} since {time.strftime('%Y-%m-%d %H:%M:%S', time.localtime(since))} ({reason})"
            if since
            else f"{name}, which does not answer yet"
            for name, (since, reason) in told.items()
        ]

    def _far(self) -> list[RemoteHandle]:
        return [handle for handle in self._workers if isinstance(handle, RemoteHandle)]

    def describe(self) -> dict[str, Any]:
        """Override: with the node and the state of each worker, since when it is lost, and the model that it has."""
        said = super().describe()
        with self.changed:
            workers = [{**_of_this_machine(handle), **handle.describe()} for handle in self._workers]
        return {**said, "workers": workers}

    def reach(self, place: RemotePlace) -> RemoteWorker:
        """A worker that begins there; it has not greeted yet. Raises OSError."""
        return RemoteWorker(self._ssh.arguments(place.address), place.name, self.patience, threads=self._far_threads)

    def portable(self, settings: StageSettings) -> StageSettings:
        """The settings of a call as another machine understands them. Raises a DaemonError where they cannot travel."""
        return self._portable(settings)

    def fetch(self, place: RemotePlace, settings: StageSettings, references: Sequence[RawReference]) -> None:
        """Send what the place lacks for a call, and return when it is there. Raises a DaemonError, EOFError or OSError."""
        self._fetch(place.address, settings, references)

    def is_short_of(self, handle: RemoteHandle) -> bool:
        """Whether more calls wait that fit a place than others can take at once; under `changed`."""
        calls = [call for call in self.queue if handle.fits(call)]
        free = [one for one in self._workers if one is not handle and not one.in_flight and one.is_there()]
        return len(calls) > sum(1 for one in free if any(map(one.fits, calls)))


def _is_had(handle: WorkerHandle) -> bool:
    return handle.is_had() if isinstance(handle, RemoteHandle) else True


def _of_this_machine(handle: WorkerHandle) -> dict[str, Any]:
    """What is said of a worker on this machine beside the rest."""
    is_alive, running = handle.worker is not None and handle.worker.alive(), handle.running
    model = running.settings["model"].get("name") if running else None
    return {"node": LOCAL, "state": "ready" if is_alive else "idle", "lost_since": None, "reason": None, "model": model}
