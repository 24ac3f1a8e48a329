"""How a job ended, for the service that started it."""

from dataclasses import dataclass
from enum import StrEnum


class Outcome(StrEnum):
    """Each claimed job ends in one of these ways; `errors.py` says which error leads to which."""

    DONE = "done"
    FAILED = "failed"
    RETURNED = "returned"  # the daemon stops
    KEPT = "kept"  # the machine was at fault: the file waits for another try
    UNFINISHED = "unfinished"  # committed, and the spool's recovery has to publish the rest


@dataclass(frozen=True)
class Ended:
    """The outcome, and of a fault of the machine the reason in words."""

    outcome: Outcome
    reason: str = ""
