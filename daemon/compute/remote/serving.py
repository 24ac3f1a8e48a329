"""This machine as one that computes for a daemon on another: the far end of a connection, with a worker and the models of here."""

import socket
from collections.abc import Callable, Sequence

from daemon.compute.local import USUAL_BUDGET_BYTES, WORKER
from daemon.compute.process import WorkerProcess
from daemon.compute.protocol import EngineOptions
from daemon.compute.remote.cache import FINGERPRINTS, cache_folder
from daemon.compute.remote.far_end import FarEnd, Node
from daemon.compute.remote.fetched import FetchedModels
from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.framing import FramedPipe
from daemon.compute.remote.receiving import MOST_BYTES, receive
from daemon.compute.remote.shelf import Places, Shelf
from daemon.models.stage_settings import RoomSettings


def serve(
    read_fd: int,
    write_fd: int,
    options: EngineOptions,
    *,
    places: Callable[[], Places],
    models: Sequence[str],
    room: RoomSettings,
    fetches: bool = False,
) -> None:
    """Compute for the daemon at the other end of two descriptors until the connection ends.

    `options` say on which device, with how many threads where the daemon does not say it, and with how much memory for models;
    `models` is what is told of those in `places`. Raises Malformed where no daemon speaks there.
    """

    def spawn(threads: int) -> WorkerProcess:
        budget = options.budget_bytes
        threads = threads or options.threads or 0
        return WorkerProcess(WORKER, threads=threads, budget_bytes=budget or USUAL_BUDGET_BYTES, gpu_bytes=budget or 0)

    cache = cache_folder()
    shelf = Shelf(places, Fingerprints(cache / FINGERPRINTS), cache, device=options.device, room=room)
    node = Node(options.device, models=models, fetches=fetches)
    FarEnd(FramedPipe(read_fd, write_fd), node=node, spawn=spawn, resolve=shelf.resolve).serve()


def take_models(read_fd: int, write_fd: int, *, most_bytes: int) -> None:
    """Take models from the daemon at the other end of two descriptors into the cache of here, so many bytes together at most.

    Raises ConnectionError where no daemon speaks there."""
    cache = cache_folder()
    fetched = FetchedModels(cache, most_bytes, socket.gethostname())
    receive(FramedPipe(read_fd, write_fd, most_bytes=MOST_BYTES), fetched, Fingerprints(cache / FINGERPRINTS))
