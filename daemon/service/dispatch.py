"""Whose turn it is among the drops that are ready: owners in turn, and the model that is loaded goes on for a while.

Of one owner downstream first: a picture that is nearly done is finished before a new one is begun. Among owners the highest
priority has the turn, and where it is the same, whoever had none for the longest time; where priorities pass somebody over, every
FAIR_TURN-th turn is that one's all the same. So whoever drops a first file waits for few of others, however many they have.

Only where the model would change, drops of the last one may pass, so that models do not take turns, and not for ever: after so many
of them, or so long a time, whoever was passed goes on. Nobody is passed by one of less priority.
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

FAIR_TURN = 4
MOST_PASSES = 16  # drops that may pass one
LONGEST_SECONDS = 60.0  # that one is passed
WINDOW = 64  # drops of a stage that are looked at
MOST_KNOWN = 4096

Ready = Mapping[str, deque[Drop]]
Place = tuple[str, int]  # a stage, and where in its drops


class OwnerTurns:
    """The turns of owners, which are told by user ids; None, whoever is not known, is one of them."""

    def __init__(self) -> None:
        self._last: dict[int | None, int] = {}  # which turn each had last
        self._turn = 0
        self._patient: int | None = None  # who had none for the longest time
        self._passed_over = 0  # turns of others since then

    def next(self, ready: Ready) -> Place | None:
        """The drop whose turn it is, of stages in the order of their importance; None where there is none."""
        firsts: dict[int | None, Place] = {}
        for stage, drops in ready.items():
            for index, drop in enumerate(drops):
                firsts.setdefault(drop.owner, (stage, index))
        if not firsts:
            return None
        self._patient = min(firsts, key=self._last_turn)
        if self._passed_over >= FAIR_TURN - 1:
            return firsts[self._patient]
        urgent = min(firsts, key=lambda owner: (-_at(ready, firsts[owner]).priority, self._last_turn(owner)))
        return firsts[urgent]

    def note(self, owner: int | None) -> None:
        """Count a turn of an owner's."""
        self._turn += 1
        self._last[owner] = self._turn
        self._passed_over = 0 if owner == self._patient else self._passed_over + 1

    def _last_turn(self, owner: int | None) -> int:
        return self._last.get(owner, 0)


@dataclass
class DispatchPolicy:
    """`read` tells what a file says, `config` gives the configuration as it is now."""

    read: Callable[[Path], Stated]
    config: Callable[[], Config]
    _turns: OwnerTurns = field(default_factory=OwnerTurns)
    _model: str | None = None
    _passes: int = 0
    _passing_since: float | None = None
    _known: dict[tuple[Path, tuple[int, ...]], str | None] = field(default_factory=dict)

    def take(self, ready: Ready, now: float) -> tuple[str, Drop] | None:
        """Take out the next drop, of stages in the order of their importance; None where there is none. `now` is monotonic."""
        place = self._turns.next(ready)
        if place is None:
            return None
        if len(self.config().models) > 1:
            place = self._chosen(place, ready, now)
        stage, index = place
        drop = _at(ready, place)
        del ready[stage][index]
        self._turns.note(drop.owner)
        return stage, drop

    def _chosen(self, first: Place, ready: Ready, now: float) -> Place:
        drop = _at(ready, first)
        model = self._model_of(drop)
        passing = self._passing(ready, drop.priority) if model != self._model and self._may_pass(now) else None
        if passing is None:
            self._model, self._passes, self._passing_since = model, 0, None
            return first
        self._passes += 1
        self._passing_since = now if self._passing_since is None else self._passing_since
        return passing

    def _may_pass(self, now: float) -> bool:
        return self._passes < MOST_PASSES and (self._passing_since is None or now - self._passing_since < LONGEST_SECONDS)

    def _passing(self, ready: Ready, least: int) -> Place | None:
        deadline = time.monotonic() + BUDGET_SECONDS
        for stage, drops in ready.items():
            for index, drop in enumerate(islice(drops, WINDOW)):
                if time.monotonic() >= deadline:
                    return None  # what was read is known the next time
                if drop.priority >= least and self._model_of(drop) == self._model:
                    return stage, index
        return None

    def _model_of(self, drop: Drop) -> str:
        usual = str(self.config().defaults["model"])
        key = (drop.principal.path, drop.principal.mark)
        if key not in self._known:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            try:
                self._known[key] = _model_said(drop, self.read)
            except InUse:  # somebody holds one of its files: the job will find out for how long
                return usual
        return self._known[key] or usual


def _at(ready: Ready, place: Place) -> Drop:
    stage, index = place
    return ready[stage][index]


def _model_said(drop: Drop, read: Callable[[Path], Stated]) -> str | None:
    """The model that a drop's files say: a settings file before a prompt beside the principal, and that before it."""
    paths = {member.role: member.path for member in drop.members}
    return next((model for role in (*SAID_FIRST, PRINCIPAL) if role in paths and (model := read(paths[role]).model)), None)
