"""What is to be said of the machines that compute, where there are others than this one: how each is, and since when, and why.

The facts are those of an engine's `describe` (`daemon/compute/protocol.py`), which may also come out of a status.json.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from daemon.names import shown

WELL = ("ready", "idle")


@dataclass(frozen=True)
class Machine:
    """One place that computes; `doing` is what it computes, with its model, `trouble` a sentence where it cannot be had."""

    name: str
    state: str
    doing: str = ""
    since: str = ""
    trouble: str = ""


def machines_of(worker: Mapping[str, Any]) -> list[Machine]:
    """The machines of what an engine says of its workers; none where all of them are on this one, which has no name."""
    return [_machine(one) for one in worker.get("workers") or [] if one.get("node")]


def troubles(machines: Sequence[Machine]) -> list[str]:
    """What is to be said in short of each machine that cannot be had: since when, and why; once of one with several workers."""
    return list(dict.fromkeys(machine.trouble for machine in machines if machine.trouble))


def _machine(said: Mapping[str, Any]) -> Machine:
    name, state = shown(str(said["node"])), str(said.get("state") or "")
    lost, reason = said.get("lost_since"), said.get("reason")
    if state in WELL or not lost:
        stage, model = said.get("stage"), said.get("model")
        doing = f"{stage} with {shown(str(model))}" if stage and model else str(stage or "")
        return Machine(name, state, doing, _at(said.get("since")))
    why = f": {shown(str(reason))}" if reason else ""
    return Machine(name, state, "", _at(lost), f"{name} is {state} since {_at(lost)}{why}")


def _at(seconds: float | None) -> str:
    """A time of the clock, as people read it."""
    return datetime.fromtimestamp(seconds).astimezone().strftime("%Y-%m-%d %H:%M:%S") if seconds else ""
