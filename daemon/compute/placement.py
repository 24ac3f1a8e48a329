"""How many workers there are, and which GPU each has: what a configuration leaves to the machine."""

import logging
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.util import find_spec

from daemon.compute.addresses import LOCAL
from daemon.compute.gpus import VISIBLE, gpus
from daemon.compute.protocol import EngineOptions
from daemon.cores import number_of_cores
from daemon.errors import ConfigError
from daemon.extras import adding

log = logging.getLogger(__name__)

CUDA, RAY = "cuda", "ray"
UNKNOWN = "a GPU that nothing tells of"
SMALL_MODEL_BYTES = 500_000_000
Look = Callable[[Mapping[str, str]], Sequence[str] | None]


def placed(options: EngineOptions, *, look: Look = gpus, environ: Mapping[str, str] = os.environ) -> EngineOptions:
    """The options with the number of workers, and a GPU for each of several. Raises ConfigError where there are too few GPUs."""
    if options.engine == RAY:
        return _on_ray(options)
    if options.places:
        # Those on other machines have the GPUs that are there; of this one's the number is that of its places.
        here = replace(options, places=(), workers=options.places.count(LOCAL))
        placed_here = placed(here, look=look, environ=environ) if here.workers else here
        return replace(placed_here, places=options.places, workers=len(options.places))
    if options.device != CUDA:
        return _beside_gpus(options if options.workers else _best_on_cpu(options), look, environ)
    found = look(environ)
    if found is not None and (options.workers or 1) > len(found):
        raise ConfigError(_too_few(options, len(found), environ))
    if found is None and options.workers is None:
        log.warning("nothing tells how many GPUs there are, so there is one worker; a number under compute.workers is believed")
    workers = options.workers or len(found or [UNKNOWN])
    if workers == 1:
        return replace(options, workers=1)  # which may use others too, where a stage has one of its own
    names = [str(number) for number in range(workers)] if found is None else found
    return _apart(replace(options, workers=workers), names[:workers])


def _on_ray(options: EngineOptions) -> EngineOptions:
    """As many as are asked for, wherever the cluster has room."""
    if find_spec(RAY) is None:
        raise ConfigError(f"compute.engine is ray, and Ray is not installed here; run `{adding('ray')}`, or write engine: local")
    return replace(options, workers=options.workers or 1)


def _best_on_cpu(options: EngineOptions) -> EngineOptions:
    """A worker of one thread for each core where models are small: cores that share a small layer mostly wait for each other.

    It is decided at the start, by the configuration alone, so that the threads of a worker, and with them the last bits of its
    pictures, do not hang on what else there is to do."""
    small = options.model_bytes is not None and options.model_bytes <= SMALL_MODEL_BYTES
    threads = options.threads or 1
    workers = number_of_cores() // threads if options.device == "cpu" and small else 1
    return replace(options, workers=workers, threads=threads) if workers > 1 else replace(options, workers=1)


def _beside_gpus(options: EngineOptions, look: Look, environ: Mapping[str, str]) -> EngineOptions:
    """Several workers on the CPU some stages of which are computed on a GPU take turns at the GPUs."""
    if (options.workers or 1) == 1 or CUDA not in options.stage_devices or not (found := look(environ)):
        return options
    return _apart(options, [found[number % len(found)] for number in range(options.workers or 1)])


def _apart(options: EngineOptions, names: Sequence[str]) -> EngineOptions:
    numbered = sorted(device for device in options.stage_devices if device.startswith(f"{CUDA}:"))
    if numbered:
        raise ConfigError(
            f"a stage has device {numbered[0]}, and each of {options.workers} workers sees one GPU only; write cuda there, "
            "or workers: 1 under compute"
        )
    return replace(options, gpus=tuple(names))


def _too_few(options: EngineOptions, count: int, environ: Mapping[str, str]) -> str:
    where = f" that {VISIBLE}={environ[VISIBLE]} lets be used" if VISIBLE in environ else ""
    there = f"there {'is' if count == 1 else 'are'} {count or 'no'} GPU{'s' * (count != 1)}{where}"
    if not count:
        return f"compute.device is cuda, and {there}; write cpu, or see that the driver shows one (nvidia-smi)"
    return f"compute.workers is {options.workers}, and {there}: a worker needs one of its own; write auto, or {count}"
