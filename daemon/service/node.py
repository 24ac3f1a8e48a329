"""A configuration as what computes for a daemon on another machine: no folders are watched, and no jobs are known."""

from functools import partial

from daemon.compute.protocol import EngineOptions
from daemon.compute.remote.serving import serve, take_models
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
        fetches=compute.fetch_gb > 0,
    )


def take_from_daemon(config: Config, *, read_fd: int, write_fd: int) -> None:
    """Take the models that the daemon at the other end of two descriptors sends, as far as the configuration allows it.

    Raises ConnectionError where it is no daemon that speaks there."""
    take_models(read_fd, write_fd, most_bytes=int(config.compute.fetch_gb * 1e9))
