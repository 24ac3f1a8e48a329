"""A configuration as what computes for a daemon on another machine: no folders are watched, and no jobs are known."""

from functools import partial

from daemon.compute.protocol import EngineOptions
from daemon.compute.remote.serving import serve
from daemon.settings.config import Config
from daemon.settings.model_places import places_of


def serve_daemon(config: Config, *, read_fd: int, write_fd: int) -> None:
    """Compute for the daemon at the other end of two descriptors until the connection ends.

    Raises ConnectionError where it is no daemon that speaks there."""
    compute = config.compute
    options = EngineOptions(
        device=compute.device,
        threads=compute.threads,
        budget_bytes=None if compute.memory_gb is None else int(compute.memory_gb * 1e9),
    )
    serve(
        read_fd,
        write_fd,
        options,
        places=partial(places_of, config),
        models=[*config.models],
        room={"memory_bytes": int(compute.picture_memory_gb * 1e9), "scratch": compute.scratch},
    )
