"""What the daemon asks of whatever computes: the contract of an engine, and the words in it. The front side, without torch.

An engine runs one stage at a time on arrays, in worker processes on this machine (`local.py`), on other machines, or wherever it
likes. Jobs, the service and the commands know it by this contract alone; `engine.py` chooses one.
"""

from collections.abc import Callable, Hashable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from daemon.models.stage_settings import StageFacts, StageSettings

GIB = 1 << 30

Arrays = Mapping[str, NDArray[Any]]
Result = tuple[Arrays, StageFacts]
OnBegin = Callable[[], None]
OnProgress = Callable[[int, int], None]
OnEstimate = Callable[[NDArray[np.float32]], None]


class SubmittedCall(Protocol):
    """One run of a stage that an engine has taken.

    `future` gives (arrays, facts), or raises how it ended otherwise:

        a DaemonError that the stage raised    as it is: InputError, ModelMissing, OutOfMemory, ...
        TooLong                                it computed for longer than `job_seconds`
        the reason given to `cancel`           it was cancelled
        Stopped                                the engine was closed
        ComputeLost                            what ran it was lost; its `kind` says how much of it (`daemon/errors.py`)
        OSError                                the machine is at fault, a full disk say
        anything else                          tiffsd is at fault
    """

    @property
    def future(self) -> Future[Result]: ...

    def cancel(self, reason: Exception) -> None:
        """Fail the call with `reason`: at once if it waits, at its next step if it runs, not at all if it is done.

        Any thread may ask."""


class Compute(Protocol):
    """An engine. Building one starts nothing; `submit`, `describe` and `close` may be called by any thread, `tick` by one.

    Facts of a result are the stage's own, with "software" (versions by name, of what computed), and where they are known "seconds"
    and "loading_seconds", the part of them that went into models. The same call gives the same bits on the same machine, whatever
    ran before it, unless its settings say `fast`.
    """

    def submit(
        self,
        stage: str,
        arrays: Arrays,
        settings: StageSettings,
        *,
        key: str | None = None,
        on_begin: OnBegin | None = None,
        on_progress: OnProgress | None = None,
        on_estimate: OnEstimate | None = None,
        job: Hashable = None,
    ) -> SubmittedCall:
        """Take one run of a stage (a name of `daemon.stages.STAGES`, or APPLY). Raises Stopped once closed only; does not wait.

        `settings` are plain JSON values; where settings["model"]["device"] is empty, the engine says on which device it runs. Calls
        of an equal `key` may run together; without one a call runs alone. Calls of an equal `job` are tries of one and the same, so
        that what ends at each of them says nothing of the machine. These are called from another thread, and what they raise fails
        the call: `on_begin()` when the call begins to compute (again, where it has to), `on_progress(step, steps)` after steps, the
        last one among them, `on_estimate` with the finished latents (C, h, w) as a loop sees them on the way, where the settings
        ask for it.
        """

    def tick(self, now: float) -> None:
        """Look after what runs, and do not wait: end what is idle, and calls that compute for too long.

        `now` is any clock in seconds that only grows; ticks come every few seconds while the daemon runs."""

    def describe(self) -> dict[str, Any]:
        """What there is to say of it now, for people and `status.json`, as JSON values.

        device (a name), pid (None where there is no process), alive, busy, stage (None while idle), since (epoch seconds or None),
        queued (how many calls wait); "workers" is a list of the same where there are several, "numbers" the compute format of the
        last fast job. Where they are in several places, each of the list has also node (its host, or "local"), state ("ready",
        "idle", "connecting", "away", "refused"), lost_since (epoch seconds or None), reason (a sentence or None) and model (a name
        or None)."""

    def close(self, *, grace_seconds: float = 10.0) -> None:
        """End all calls with Stopped, and return when nothing runs any more: by force after the grace. Twice is as good as once."""


@dataclass(frozen=True)
class EngineOptions:
    """What an engine is told of how it is to run: section `compute` of config.yaml, as far as it is the engine's.

    `device` is "cpu", "cuda", "cuda:N" or "mps", `workers` how many calls run at a time (None: what suits the machine), `threads`
    how many torch computes with in each (None: its default), `batch` how many calls of one key run together, `idle_seconds` how
    long models stay loaded without calls. `budget_bytes` is how many bytes of models are kept loaded, by all workers together in
    the memory of the machine, and by each on a GPU (None: a default, and what is free there). `stage_devices` are the devices that
    stages have of their own, `model_bytes` the largest model there is (None: not known), `gpus` the one GPU that each worker sees
    (none: all see all). `places` are where workers run, "local" or addresses for ssh, one worker in each (none: on this machine);
    `ssh_config` is the configuration that ssh reads for them (None: its own), `ssh_command` what it starts there (none: tiffsd
    worker). `engine` is "local", which all this is, or "ray": then `workers` is how many actors are asked of the cluster at
    `ray_address` ("auto": that of which this machine is a node), each with a GPU or `threads` cores, and `ray_config` is the
    configuration on its nodes (None: the usual places there). `job_seconds` asks for how long a call may compute; None is for as
    long as it likes.
    """

    device: str = "cpu"
    workers: int | None = 1
    threads: int | None = None
    batch: int = 1
    idle_seconds: float = 300.0
    budget_bytes: int | None = None
    stage_devices: frozenset[str] = frozenset()
    model_bytes: int | None = None
    gpus: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    ssh_config: Path | None = None
    ssh_command: tuple[str, ...] = ()
    engine: str = "local"
    ray_address: str = "auto"
    ray_config: str | None = None
    job_seconds: Callable[[], float | None] = lambda: None


Engine = Callable[[EngineOptions], Compute]
"""What makes an engine."""
