"""How a job ended, for the service that started it."""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from daemon.errors import InUse, Stopped
from daemon.names import shown


class Outcome(StrEnum):
    """Each claimed job ends in one of these ways; `errors.py` says which error leads to which."""

    DONE = "done"
    FAILED = "failed"
    RETURNED = "returned"  # the daemon stops
    IN_USE = "in use"  # another program writes to a file of it, or holds it: it waits for that
    KEPT = "kept"  # the machine was at fault: the file waits for another try
    UNFINISHED = "unfinished"  # committed, and the spool's recovery has to publish the rest


@dataclass(frozen=True)
class Ended:
    """The outcome, and of a fault of the machine, and where somebody is waited for, the reason in words."""

    outcome: Outcome
    reason: str = ""


def undecided(error: Stopped | InUse) -> Ended:
    """How a job ends that nobody is at fault for."""
    if isinstance(error, Stopped):
        return Ended(Outcome.RETURNED)
    held = Path(os.fsdecode(error.filename)).name if error.filename else "a file of it"
    return Ended(Outcome.IN_USE, f"{shown(held)} is still being written")
