"""Which engine computes: the one place that knows one by its name. Another one is built here."""

from functools import partial

from daemon.compute.local import LocalWorkers
from daemon.compute.placement import placed
from daemon.compute.protocol import Compute, EngineOptions
from daemon.compute.remote.cache import cache_folder
from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.identity import portable
from daemon.compute.remote.places import WorkersInPlaces

FINGERPRINTS = "fingerprints.json"

__all__ = ["new_engine", "placed"]


def new_engine(options: EngineOptions) -> Compute:
    """An engine for these options; it starts nothing before its first call."""
    if options.places:
        return WorkersInPlaces(options, portable=partial(portable, fingerprints=Fingerprints(cache_folder() / FINGERPRINTS)))
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
