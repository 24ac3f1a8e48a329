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
    LATER = "later"  # the machine was at fault, perhaps at this file only: it waits for another try, and others go on
    KEPT = "kept"  # the machine was at fault: the file waits for another try, and its stage rests
    UNFINISHED = "unfinished"  # committed, and the spool's recovery has to publish the rest


@dataclass(frozen=True)
class JobResult:
    """The outcome, and of a fault of the machine, and where somebody is waited for, the reason in words.

    `wait_seconds` is for how long the file is left alone, whatever its stage does.
    """

    outcome: Outcome
    reason: str = ""
    wait_seconds: float = 0.0


def no_fault_result(error: Stopped | OSError) -> JobResult:
    """How a job ends that no file is at fault for."""
    if isinstance(error, Stopped):
        return JobResult(Outcome.RETURNED)
    if not isinstance(error, InUse):
        return JobResult(Outcome.KEPT, str(error))
    held = Path(os.fsdecode(error.filename)).name if error.filename else "a file of it"
    return JobResult(Outcome.IN_USE, f"{shown(held)} is still being written")
