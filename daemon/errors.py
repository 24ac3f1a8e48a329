"""What can go wrong, sorted by who is at fault; each kind has one fate, decided in `daemon/jobs/job.py`, or in `daemon/cli.py`.

tiffsd.TiffsdError     the file is at fault      -> failed/ with the sentence
DaemonError
  InputError           the file is at fault      -> failed/ with the sentence
    WrongPlace         another place takes it    -> failed/ with the sentence and that place
  ConfigError          the set-up is at fault    -> stop at start, exit 2, one line
  NotThere             the words of a command   -> exit 1, one line
  SpoolError           the set-up is at fault    -> stop at start, exit 2, one line
  MachineError         the machine is at fault   -> waited for at the start, elsewhere exit 75, one line
    AnotherDaemon      nobody is at fault        -> stop at start, exit 75, one line
  ModelMissing         the set-up is at fault    -> failed/ with the sentence
  OutOfMemory          the machine, or the file  -> waits alone, and is tried again a few times, then failed/
  ComputeLost                                       what computed it was lost; its `kind` says how much
    WorkerDied         perhaps the job's fault   -> tried a second time, then failed/ (kind DIED)
      DeviceBroken     perhaps the job's fault   -> tried a second time, then failed/
    NodeLost           the machine is at fault   -> kept, tried again later a few times, then failed/ (kind NODE)
      WorkersDie       the machine is at fault   -> kept, tried again later a few times, then failed/
    ClusterLost        all machines are away     -> kept, tried again later for as long as it takes (kind CLUSTER)
  TooLong              the job is at fault       -> failed/ with the sentence
  Stopped              nobody is at fault        -> back to its inbox
  Cancelled            a person asked for it     -> failed/, so that nothing is lost
InUse                  somebody writes the file  -> back to its inbox, where it waits
OSError                the machine is at fault   -> kept, tried again later; at the start sorted by `daemon/machine.py`
anything else          we are at fault           -> failed/ with the traceback
"""

import os
from enum import Enum, StrEnum, auto


class Kind(StrEnum):
    """Of what a job failed: error.json says it, and docs/troubleshooting.md has a section of this name, which error.txt names."""

    UNUSABLE = "unusable"
    UNREADABLE = "unreadable"
    REFUSED = "refused"
    MODEL_MISSING = "model-missing"
    OUT_OF_MEMORY = "out-of-memory"
    WORKER_DIED = "worker-died"
    MACHINE = "machine"
    TOO_LONG = "too-long"
    CANCELLED = "cancelled"
    CRASHED = "crashed"
    DAMAGED = "damaged"
    INTERNAL = "internal"


class DaemonError(Exception):
    """Root of the daemon's own errors; the text is one sentence for a person."""


class InputError(DaemonError):
    """A dropped file, or a setting in it, cannot be used as it is."""


class WrongPlace(InputError):
    """A dropped file that another place takes: `place` says which, in words."""

    def __init__(self, sentence: str, place: str) -> None:
        super().__init__(sentence)
        self.place = place


class ConfigError(DaemonError):
    """config.yaml says something that cannot be."""


class SpoolError(DaemonError):
    """The spool folders cannot be used as they are."""


class NotThere(DaemonError):
    """What a command names is not in the spool, or not where it must be for that."""


class MachineError(DaemonError):
    """The machine cannot do now what will do later as it is: a disk is full or read-only, a share away, too many files open."""


class AnotherDaemon(MachineError):
    """Another daemon has the spool."""


class ModelMissing(DaemonError):
    """The configured model is not where the configuration says."""


class OutOfMemory(DaemonError):
    """The device had no memory left for this job."""

    advice = "make the picture smaller, give the model a smaller dtype, or free memory on the device"


class Loss(Enum):
    """How much of an engine was lost under a job: the process that ran it, the machine it ran on, or the way to all machines."""

    DIED = auto()
    NODE = auto()
    CLUSTER = auto()


class ComputeLost(DaemonError):
    """What computed a job was lost before it was done. An engine raises one of the three kinds below."""

    kind = Loss.NODE
    advice = "see what the log of the machine that computes says"


class WorkerDied(ComputeLost):
    """The process that ran a job ended in the middle of it."""

    kind = Loss.DIED
    advice = "use smaller settings or a larger machine"


class DeviceBroken(WorkerDied):
    """The device failed in the middle of a job, and the worker ended itself: with its context nothing can be computed any more."""

    advice = "see what the kernel says of the device (`dmesg`), and whether its driver is one that this torch is made for"


class NodeLost(ComputeLost):
    """The machine that ran a job is gone, or computes nothing any more: that is not the fault of a file."""

    kind = Loss.NODE
    advice = "see whether the machine that computes is up, and what its log says"


class WorkersDie(NodeLost):
    """Fresh workers ended one after the other, at different files: that is not the fault of a file."""

    advice = "see what the kernel says of the device and of memory (`dmesg`)"


class ClusterLost(ComputeLost):
    """No machine that could run a job is reached: nobody knows for how long."""

    kind = Loss.CLUSTER
    advice = "see whether the machines that compute are up, and reached from here"


class TooLong(DaemonError):
    """The job has computed for longer than `limits.job_minutes` allows."""


class Stopped(DaemonError):
    """The daemon is stopping; the job goes back to where it came from."""


class Cancelled(DaemonError):
    """A person deleted the job's file in `running/`."""


class InUse(BlockingIOError):
    """Another program holds a lease on a file, or goes on writing into it: it is still being written."""


def in_words(error: BaseException) -> str:
    """What an error says to people: one of the system without its number, behind the file that it is about.

    `tiffsd/shown.py` says the same for the format, which must not know of the daemon."""
    if not isinstance(error, OSError) or not error.strerror:
        return str(error)
    return ": ".join(os.fsdecode(part) for part in (error.filename, error.strerror) if isinstance(part, str | bytes))
