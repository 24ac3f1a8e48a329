"""What the log says of one job: with what it begins, what came of it, and how long it took and waited.

Its own time is what it would take of a worker that is free and has its models: the worker's that compute it, reading and writing.
"""

import logging
import shlex
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from daemon.jobs.request import StageCall
from daemon.layout import HOLD, INBOX, KEEP
from daemon.models.stage_settings import StageFacts
from daemon.names import shown
from daemon.stages import STAGES

log = logging.getLogger(__name__)

WORTH_SECONDS, WORTH_OF_OWN = 0.5, 0.05  # from where a wait is worth a word


class JobLog:
    """One attempt of one job, which begins now; `label` is what the log calls the job."""

    def __init__(self, label: str, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._label, self._clock = label, clock
        self._since = clock()
        self._waited = 0.0
        self._started = False

    def seconds(self) -> float:
        """How long ago it began."""
        return self._clock() - self._since

    def called(self, since: float, facts: StageFacts) -> None:
        """A call that was made at `since` seconds is back: what it did not compute in counts as waiting."""
        passed = self.seconds() - since
        computing = facts.get("seconds", passed) - facts.get("loading_seconds", 0.0)
        self._waited += max(0.0, passed - computing)

    def own_seconds(self) -> float:
        """What it took so far, without what it waited."""
        return self.seconds() - self._waited

    def started(self, call: StageCall) -> None:
        """Say that a worker computes, and what; at the first call of a job that needs several."""
        if not self._started:
            self._started = True
            log.info("%s: started, %s", self._label, ", ".join(_what(call)))

    def finished(self, root: Path, published: Iterable[Path], seconds: float, *, notes: Iterable[str] = ()) -> None:
        """Say what was published and how long it took, of what is on hold how it goes on, and what is to be noted of it."""
        visible = [path for path in (path.relative_to(root) for path in published) if path.parts[0] != KEEP]
        places = ", ".join(shown(str(path)) for path in visible)
        worth = self._waited >= max(WORTH_SECONDS, WORTH_OF_OWN * seconds)
        waited = f", waited {self._waited:.1f} s" if worth else ""
        log.info("%s -> %s %.1f s%s%s", self._label, places, seconds, waited, _way_on([p for p in visible if p.parts[0] == HOLD]))
        for note in notes:
            log.info("%s: %s", self._label, note)


def _what(call: StageCall) -> list[str]:
    """The model, and of the size of the work what is known."""
    tensors, settings = call.tensors, call.settings
    said = [settings["model"]["name"]]
    if "picture" in tensors:
        height, width = tensors["picture"].shape[:2]
        said.append(f"{width}x{height}")
    elif settings.get("width") and settings.get("height"):
        said.append(f"{settings['width']}x{settings['height']}")
    if call.stage in STAGES and STAGES[call.stage].loops and settings.get("steps"):
        said.append(f"{settings['steps']} steps")
    if len(settings["seeds"]) > 1 and call.stage == "text":
        said.append(f"{len(settings['seeds'])} pictures")
    return said


def _way_on(held: list[Path]) -> str:
    if not held:
        return ""
    it, name = ("it", shlex.quote(shown(held[0].name))) if len(held) == 1 else ("them", "with their names")
    return f"; held: move {it} to {INBOX}/{held[0].parent.name}, or run tiffsd release {name}"
