"""Whose turn it is among the drops that are ready: those of the model that is loaded first, so that models do not take turns.

Downstream first, as ever: a picture that is nearly done is finished before a new one is begun. Only where the model changes, drops
of the last one may pass, and not for ever: after so many of them, or so long a time, whoever stood first has its turn. Nobody is
passed by one of less priority.
"""

import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

from daemon.errors import InUse
from daemon.inbox.grouping import PRINCIPAL, Drop
from daemon.inbox.ranking import BUDGET_SECONDS, SAID_FIRST
from daemon.jobs.probe import Stated
from daemon.settings.config import Config

MOST_PASSES = 16  # drops that may pass one
LONGEST_SECONDS = 60.0  # that one is passed
WINDOW = 64  # drops of a stage that are looked at
MOST_KNOWN = 4096


@dataclass
class Turns:
    """`read` tells what a file says, `config` gives the configuration as it is now."""

    read: Callable[[Path], Stated]
    config: Callable[[], Config]
    _model: str | None = None
    _passes: int = 0
    _passing_since: float | None = None
    _known: dict[tuple[Path, tuple[int, ...]], tuple[str | None, int]] = field(default_factory=dict)

    def take(self, ready: Mapping[str, deque[Drop]], now: float) -> tuple[str, Drop] | None:
        """Take out the next drop, of stages in the order of their importance; None where there is none. `now` is monotonic."""
        stage = next((stage for stage, drops in ready.items() if drops), None)
        if stage is None:
            return None
        index = 0
        if len(self.config().models) > 1:
            stage, index = self._chosen(stage, ready, now)
        drop = ready[stage][index]
        del ready[stage][index]
        return stage, drop

    def _chosen(self, first: str, ready: Mapping[str, deque[Drop]], now: float) -> tuple[str, int]:
        model, priority = self._said(ready[first][0])
        passing = self._passing(ready, priority) if model != self._model and self._may_pass(now) else None
        if passing is None:
            self._model, self._passes, self._passing_since = model, 0, None
            return first, 0
        self._passes += 1
        self._passing_since = now if self._passing_since is None else self._passing_since
        return passing

    def _may_pass(self, now: float) -> bool:
        return self._passes < MOST_PASSES and (self._passing_since is None or now - self._passing_since < LONGEST_SECONDS)

    def _passing(self, ready: Mapping[str, deque[Drop]], least: int) -> tuple[str, int] | None:
        deadline = time.monotonic() + BUDGET_SECONDS
        for stage, drops in ready.items():
            for index, drop in enumerate(islice(drops, WINDOW)):
                if time.monotonic() >= deadline:
                    return None  # what was read is known the next time
                model, priority = self._said(drop)
                if priority < least:
                    break  # and so are all behind it
                if model == self._model:
                    return stage, index
        return None

    def _said(self, drop: Drop) -> tuple[str, int]:
        key = (drop.principal.path, drop.principal.mark)
        if key not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            try:
                self._known[key] = _first_said(drop, self.read)
            except InUse:  # somebody holds one of its files: the job will find out for how long
                return str(self.config().defaults["model"]), 0
        model, priority = self._known[key]
        return model or str(self.config().defaults["model"]), priority


def _first_said(drop: Drop, read: Callable[[Path], Stated]) -> tuple[str | None, int]:
    """Model and priority that a drop's files say: a settings file before a prompt beside the principal, and that before it."""
    paths = {member.role: member.path for member in drop.members}
    said = [read(paths[role]) for role in (*SAID_FIRST, PRINCIPAL) if role in paths]
    return next((one.model for one in said if one.model), None), next((one.priority for one in said if one.priority), 0)
