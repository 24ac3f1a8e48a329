"""What can go wrong, sorted by who is at fault; each kind has one fate, decided in `daemon/jobs/job.py`, or in `daemon/cli.py`.

tiffsd.TiffsdError     the file is at fault      -> failed/ with the sentence
DaemonError
  InputError           the file is at fault      -> failed/ with the sentence
  ConfigError          the set-up is at fault    -> stop at start, exit 2, one line
  NotThere             the words of a command   -> exit 1, one line
  SpoolError           the set-up is at fault    -> stop at start, exit 2, one line
  MachineError         the machine is at fault   -> waited for at the start, elsewhere exit 75, one line
    AnotherDaemon      nobody is at fault        -> stop at start, exit 75, one line
  ModelMissing         the set-up is at fault    -> failed/ with the sentence
  OutOfMemory          the machine, or the file  -> waits alone, and is tried again a few times, then failed/
  WorkersDie           the machine is at fault   -> kept, tried again later a few times, then failed/
  WorkerDied           perhaps the job's fault   -> tried a second time, then failed/
    DeviceBroken       perhaps the job's fault   -> tried a second time, then failed/
  TooLong              the job is at fault       -> failed/ with the sentence
  Stopped              nobody is at fault        -> back to its inbox
  Cancelled            a person asked for it     -> failed/, so that nothing is lost
InUse                  somebody writes the file  -> back to its inbox, where it waits
OSError                the machine is at fault   -> kept, tried again later; at the start sorted by `daemon/machine.py`
anything else          we are at fault           -> failed/ with the traceback
"""


class DaemonError(Exception):
    """Root of the daemon's own errors; the text is one sentence for a person."""


class InputError(DaemonError):
    """A dropped file, or a setting in it, cannot be used as it is."""


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


class WorkerDied(DaemonError):
    """The worker process ended in the middle of a job."""

    advice = "use smaller settings or a larger machine"


class DeviceBroken(WorkerDied):
    """The device failed in the middle of a job, and the worker ended itself: with its context nothing can be computed any more."""

    advice = "see what the kernel says of the device (`dmesg`), and whether its driver is one that this torch is made for"


class WorkersDie(DaemonError):
    """Fresh workers ended one after the other, at different files: that is not the fault of a file."""

    advice = "see what the kernel says of the device and of memory (`dmesg`)"


class TooLong(DaemonError):
    """The job has computed for longer than `limits.job_minutes` allows."""


class Stopped(DaemonError):
    """The daemon is stopping; the job goes back to where it came from."""


class Cancelled(DaemonError):
    """A person deleted the job's file in `running/`."""


class InUse(BlockingIOError):
    """Another program holds a lease on a file, or goes on writing into it: it is still being written."""
