"""The parts of the house that one job walks through, and how a job waits for the compute side."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from daemon.compute import Local
from daemon.config import Config
from daemon.errors import Cancelled, Stopped
from daemon.hooks import Hooks
from daemon.intake import Shelves
from daemon.request import Facts, Tensors
from daemon.running import RunningFile
from daemon.spool import Spool

LOOK_SECONDS = 0.2


@dataclass(frozen=True)
class Rooms:
    """`gated` asks whether results for a stage wait in its hold folder, `stopping` whether the daemon is about to end."""

    config: Config
    spool: Spool
    compute: Local
    hooks: Hooks
    gated: Callable[[str], bool]
    stopping: Callable[[], bool]

    @property
    def shelves(self) -> Shelves:
        """Where a job may look besides its own files."""
        return Shelves(self.config, self.spool.root / "embeddings", self.spool.root / ".keep")

    def check_going_on(self) -> None:
        """Raise Stopped where the daemon is about to end."""
        if self.stopping():
            raise Stopped("the daemon is stopping")

    def call(self, running: RunningFile, stage: str, tensors: Tensors, settings: Mapping[str, Any]) -> tuple[Tensors, Facts]:
        """Run one stage in the worker and wait for it; a stop of the daemon or a deleted running file cancels at the next step."""
        call = self.compute.submit(stage, tensors, settings, on_progress=running.update)
        while True:
            if self.stopping():
                call.cancel(Stopped("the daemon is stopping"))
            elif running.deleted():
                call.cancel(Cancelled(f"cancelled: {running.path.name} was deleted from running/; drop the file again to run it"))
            try:
                return call.future.result(timeout=LOOK_SECONDS)
            except TimeoutError:
                continue
