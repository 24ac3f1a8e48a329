"""Which engine computes: the one place that knows one by its name. Another one is built here."""

from functools import partial

from daemon.compute.local import LocalWorkers
from daemon.compute.placement import RAY, placed
from daemon.compute.protocol import Compute, EngineOptions
from daemon.compute.remote.cache import cache_folder
from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.identity import portable
from daemon.compute.remote.on_ray import WorkersOnRay
from daemon.compute.remote.places import WorkersInPlaces
from daemon.compute.remote.sending import Sender
from daemon.compute.remote.ssh import COMMAND, Ssh, usual_config

FINGERPRINTS = "fingerprints.json"

__all__ = ["new_engine", "placed"]


def new_engine(options: EngineOptions) -> Compute:
    """An engine for these options; it starts nothing before its first call."""
    if options.engine == RAY:
        return WorkersOnRay(options, portable=partial(portable, fingerprints=Fingerprints(cache_folder() / FINGERPRINTS)))
    if options.places:
        return _in_places(options)
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


def _in_places(options: EngineOptions) -> Compute:
    ssh = Ssh(options.ssh_config or usual_config(), options.ssh_command or COMMAND)
    fingerprints = Fingerprints(cache_folder() / FINGERPRINTS)
    travels, sender = partial(portable, fingerprints=fingerprints), Sender(ssh, fingerprints)
    return WorkersInPlaces(options, ssh=ssh, portable=travels, fetch=sender.send)
