"""What the log says of one job: with what it begins, what came of it, and how long it took and waited.

Its own time is what it would take of a worker that is free and has its models: the worker's that compute it, reading and writing.
"""

import logging
import shlex
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from daemon.compute.protocol import Facts
from daemon.jobs.request import RunStage
from daemon.layout import HOLD, INBOX, KEEP
from daemon.names import shown
from tiffsd.artifact import Tensors

log = logging.getLogger(__name__)

WORTH_SECONDS, WORTH_OF_OWN = 0.5, 0.05  # from where a wait is worth a word
LOOPS = ("diffuse", "invert")


class JobLog:
    """One attempt of one job, which begins now; `label` is what the log calls the job."""

    def __init__(self, label: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._label, self._clock = label, clock
        self._since = clock()
        self._waited = 0.0
        self._started = False

    def timed(self, call: RunStage) -> RunStage:
        """The same call; what it does not compute in counts as waiting."""

        def timed(stage: str, tensors: Tensors, settings: Mapping[str, Any]) -> tuple[Tensors, Facts]:
            since = self._clock()
            made, facts = call(stage, tensors, settings)
            passed = self._clock() - since
            computing = facts.get("seconds", passed) - facts.get("loading_seconds", 0.0)
            self._waited += max(0.0, passed - computing)
            return made, facts

        return timed

    def own_seconds(self) -> float:
        """What it took so far, without what it waited."""
        return self._clock() - self._since - self._waited

    def started(self, stage: str, tensors: Tensors, settings: Mapping[str, Any]) -> None:
        """Say that a worker computes, and what; at the first call of a job that needs several."""
        if not self._started:
            self._started = True
            log.info("%s: started, %s", self._label, ", ".join(_what(stage, tensors, settings)))

    def finished(self, root: Path, published: Iterable[Path], seconds: float) -> None:
        """Say what was published and how long it took, and of what is on hold how it goes on."""
        visible = [path.relative_to(root) for path in published if path.parent.name != KEEP]
        places = ", ".join(shown(str(path)) for path in visible)
        worth = self._waited >= max(WORTH_SECONDS, WORTH_OF_OWN * seconds)
        waited = f", waited {self._waited:.1f} s" if worth else ""
        log.info("%s -> %s %.1f s%s%s", self._label, places, seconds, waited, _way_on([p for p in visible if p.parts[0] == HOLD]))


def _what(stage: str, tensors: Tensors, settings: Mapping[str, Any]) -> list[str]:
    """The model, and of the size of the work what is known."""
    said = [settings["model"]["name"]]
    if "picture" in tensors:
        height, width = tensors["picture"].shape[:2]
        said.append(f"{width}x{height}")
    elif settings.get("width") and settings.get("height"):
        said.append(f"{settings['width']}x{settings['height']}")
    if stage in LOOPS and settings.get("steps"):
        said.append(f"{settings['steps']} steps")
    if len(settings["seeds"]) > 1 and stage == "text":
        said.append(f"{len(settings['seeds'])} pictures")
    return said


def _way_on(held: list[Path]) -> str:
    if not held:
        return ""
    it, name = ("it", shlex.quote(shown(held[0].name))) if len(held) == 1 else ("them", "with their names")
    return f"; held: move {it} to {INBOX}/{held[0].parent.name}, or run tiffsd release {name}"
