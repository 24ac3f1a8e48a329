"""Where the maths runs when a Ray cluster has the machines: each place is an actor, with a GPU or cores, wherever there is room.

Connections go through one gateway process, which lives as long as any place is connected or tried. One that no longer finds the
cluster is left behind: the next connection has a fresh one.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import replace

from daemon.compute.addresses import SshAddress
from daemon.compute.protocol import EngineOptions
from daemon.compute.remote.handle import RemoteHandle, RemotePlace
from daemon.compute.remote.patience import Patience
from daemon.compute.remote.places import Portable, WorkersInPlaces
from daemon.compute.remote.ray_worker import Gateway, RayWorker
from daemon.compute.remote.ssh import Ssh
from daemon.errors import ModelMissing

PATIENCE = Patience(greet=60.0)  # an actor is a process that the cluster has to find room for, and to start
FOR_GREETING = 10.0  # of these seconds


def _fetch_nothing(*said: object) -> None:
    """What sends files, where nothing but calls is sent. Raises ModelMissing."""
    del said
    raise ModelMissing("models are not sent through Ray: put them on the nodes, and name them in the configuration there")


class WorkersOnRay(WorkersInPlaces):
    """So many workers in the cluster as `options` say: an engine (`Compute` in `protocol.py`)."""

    def __init__(
        self,
        options: EngineOptions,
        *,
        portable: Portable,
        patience: Patience | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        threads = options.threads or (1 if options.device == "cpu" else 0)
        super().__init__(
            replace(options, threads=threads),
            ssh=Ssh(),
            portable=portable,
            fetch=_fetch_nothing,
            patience=patience or PATIENCE,
            clock=clock,
        )
        # Where an actor is, the cluster decides: by these names people know the places.
        names = [f"ray-{number}" for number in range(1, 1 + (options.workers or 1))]
        places = [RemotePlace("", number, address=SshAddress(name)) for number, name in enumerate(names)]
        self._workers = [RemoteHandle(self, place, clock=clock) for place in places]
        has_gpu = options.device != "cpu"
        self._request = {
            "cpus": 0 if has_gpu else threads,
            "gpus": int(has_gpu),
            "config": options.ray_config,
            "seconds": max(self.patience.greet - FOR_GREETING, 1.0),
        }
        self._address = options.ray_address
        self._gateways = threading.Lock()
        self._gateway: Gateway | None = None  # for the next connection
        self._connected: set[RayWorker] = set()

    def reach(self, place: RemotePlace) -> RayWorker:
        """Override: through the gateway."""
        with self._gateways:
            if self._gateway is None or not self._gateway.alive():
                self._gateway = Gateway(self._address)
            given = (self._gateway, self._request, place.name, self.patience)
            worker = RayWorker(*given, threads=self._far_threads, let_go=self._let_go)
            self._connected.add(worker)
            return worker

    def _let_go(self, worker: RayWorker) -> None:
        with self._gateways:
            self._connected.discard(worker)
            is_last = not any(other.gateway is worker.gateway for other in self._connected)
            if worker.gateway is self._gateway and (is_last or worker.has_lost_cluster):
                self._gateway = None
        if is_last:
            worker.gateway.end(kill=worker.has_lost_cluster)
