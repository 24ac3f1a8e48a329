"""The machines that compute, where there are others than this one: how each is, and since when. What is wrong says `away.py`.

The facts are those of an engine's `describe` (`daemon/compute/protocol.py`), which may also come out of a status.json.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.names import shown

WELL = ("ready", "idle")


@dataclass(frozen=True)
class Machine:
    """One place that computes; `doing` is what it computes, with its model, `since` the time from which on it does, or is away."""

    name: str
    state: str
    doing: str = ""
    since: str = ""


def machines_of(worker: Mapping[str, Any]) -> list[Machine]:
    """The machines of what an engine says of its workers; none where all of them are on this one, which has no name."""
    return [_machine(one) for one in worker.get("workers") or [] if one.get("node")]


def _machine(said: Mapping[str, Any]) -> Machine:
    name, state = shown(str(said["node"])), str(said.get("state") or "")
    stage, model = said.get("stage"), said.get("model")
    doing = f"{stage} with {shown(str(model))}" if stage and model else str(stage or "")
    lost = None if state in WELL else said.get("lost_since")
    return Machine(name, state, doing, _at(lost or said.get("since")))


def _at(seconds: float | None) -> str:
    """A time of the clock, as people read it."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S") if seconds else ""
