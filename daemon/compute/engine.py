"""Which engine computes: the one place that knows one by its name. Another one is built here."""

from daemon.compute.local import LocalWorkers
from daemon.compute.placement import RAY, placed
from daemon.compute.protocol import Compute, EngineOptions

__all__ = ["new_engine", "placed"]


def new_engine(options: EngineOptions) -> Compute:
    """An engine for these options; it starts nothing before its first call."""
    if options.places or options.engine == RAY:
        # Only here: a front without other machines is smaller by what is known of them.
        from daemon.compute.remote.engines import new_remote_engine

        return new_remote_engine(options)
    return LocalWorkers(
        options.device,
        workers=options.workers or 1,
        threads=options.threads,
        batch=options.batch,
        idle_seconds=options.idle_seconds,
        budget_bytes=options.budget_bytes,
        gpus=options.gpus,
        job_seconds=options.job_seconds,
    )
