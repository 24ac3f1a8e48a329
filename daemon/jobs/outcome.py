"""How a job ended, for the service that started it."""

import os
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from daemon.errors import (
    Cancelled,
    ComputeLost,
    InputError,
    InUse,
    Kind,
    ModelMissing,
    OutOfMemory,
    Stopped,
    TooLong,
    WorkerDied,
    WrongPlace,
    in_words,
)
from daemon.names import shown
from tiffsd import TiffsdError

# Of two that fit the first counts: WorkerDied is a ComputeLost.
_KINDS: tuple[tuple[type[Exception], Kind], ...] = (
    (TiffsdError, Kind.UNREADABLE),
    (InputError, Kind.UNUSABLE),
    (ModelMissing, Kind.MODEL_MISSING),
    (OutOfMemory, Kind.OUT_OF_MEMORY),
    (WorkerDied, Kind.WORKER_DIED),
    (ComputeLost, Kind.MACHINE),
    (OSError, Kind.MACHINE),
    (TooLong, Kind.TOO_LONG),
    (Cancelled, Kind.CANCELLED),
)


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
        return JobResult(Outcome.KEPT, in_words(error))
    held = Path(os.fsdecode(error.filename)).name if error.filename else "a file of it"
    return JobResult(Outcome.IN_USE, f"{shown(held)} is still being written")


def facts_of(error: Exception) -> dict[str, str]:
    """What error.json says of an error: its kind, and the place that takes the file, where another one does."""
    return {"kind": kind_of(error), **({"elsewhere": error.place} if isinstance(error, WrongPlace) else {})}


def kind_of(error: Exception) -> Kind:
    """The kind that a person looks up; a fault of ours where nothing else fits."""
    return next((kind for error_class, kind in _KINDS if isinstance(error, error_class)), Kind.INTERNAL)
