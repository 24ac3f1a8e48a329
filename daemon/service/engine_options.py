"""What a configuration asks of the engine that computes."""

from collections.abc import Callable

from daemon.compute.engine import placed
from daemon.compute.protocol import EngineOptions
from daemon.service.model_sizes import largest_model
from daemon.settings.config import Config
from daemon.stages import STAGES


def engine_options(config: Config, *, job_seconds: Callable[[], float | None]) -> EngineOptions:
    """The options of an engine on this machine; `job_seconds` is how long a job may compute, as a reload may change it."""
    compute = config.compute
    return placed(
        EngineOptions(
            device=compute.device,
            workers=compute.workers if isinstance(compute.workers, int) else None,
            places=tuple(compute.workers) if isinstance(compute.workers, list) else (),
            ssh_config=config.ssh_config,
            ssh_command=tuple(compute.ssh_command or ()),
            engine=compute.engine,
            ray_address=compute.ray_address,
            ray_config=compute.ray_config,
            threads=compute.threads,
            batch=compute.batch,
            idle_seconds=compute.idle_seconds,
            budget_bytes=None if compute.memory_gb is None else int(compute.memory_gb * 1e9),
            stage_devices=frozenset(device for name in STAGES if (device := config.options(name).device)),
            model_bytes=largest_model(config) if compute.workers == "auto" else None,
            job_seconds=job_seconds,
        )
    )
