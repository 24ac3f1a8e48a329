"""The engines whose workers are on other machines, built from their parts: places that ssh reaches, and a Ray cluster."""

from functools import partial

from daemon.compute.placement import RAY
from daemon.compute.protocol import Compute, EngineOptions
from daemon.compute.remote.cache import FINGERPRINTS, cache_folder
from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.identity import portable
from daemon.compute.remote.on_ray import WorkersOnRay
from daemon.compute.remote.places import WorkersInPlaces
from daemon.compute.remote.sending import Sender
from daemon.compute.remote.ssh import COMMAND, Ssh, usual_config


def new_remote_engine(options: EngineOptions) -> Compute:
    """An engine for options with places, or for a cluster; it starts nothing before its first call."""
    fingerprints = Fingerprints(cache_folder() / FINGERPRINTS)
    travels = partial(portable, fingerprints=fingerprints)
    if options.engine == RAY:
        return WorkersOnRay(options, portable=travels)
    ssh = Ssh(options.ssh_config or usual_config(), options.ssh_command or COMMAND)
    return WorkersInPlaces(options, ssh=ssh, portable=travels, fetch=Sender(ssh, fingerprints).send)
