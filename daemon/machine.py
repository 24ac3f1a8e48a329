"""Errors of the system that are the machine's, sorted from those of the set-up, with what to do about each.

A machine gets well: a disk is freed, a share comes back, and what failed will do as it is. A set-up stays as it is until a person
changes it: no permission, a file where a folder must be, a folder that is not there. What is in no list below is taken for that.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from daemon.errors import MachineError

_SHARE = "see that the network and the server of the share are up, and mount it anew where that does not help"
_DISK = "the disk or its connection fails: look at what `dmesg` says of it"
# What says so much of the place that was used, and nothing of who used it.
ADVICE = {
    errno.ENOSPC: "free some space there (`df -h`)",
    errno.EDQUOT: "free some space of the daemon's user there, or raise the quota",
    errno.EROFS: "mount it writable; for a service, name it in ReadWritePaths= too",
    errno.EMFILE: "let the daemon have more open files: LimitNOFILE= of its service, or `ulimit -n`",
    errno.ENFILE: "end programs that hold many open files, or raise the kernel's fs.file-max",
    errno.ENOMEM: "free memory of the machine, or raise MemoryMax= of the service",
    errno.ENOBUFS: "free memory of the machine, or raise MemoryMax= of the service",
    errno.ENOLCK: "see that the server of the share gives locks",
    **dict.fromkeys((errno.EIO, errno.EUCLEAN, errno.EREMOTEIO, errno.ENOMEDIUM), _DISK),
    **dict.fromkeys((errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN), _SHARE),
    **dict.fromkeys(
        (errno.ENETUNREACH, errno.ENOTCONN, errno.ECONNABORTED, errno.ECONNREFUSED, errno.ECONNRESET, errno.ESHUTDOWN), _SHARE
    ),
}
NO_NAMES = "free some inodes there: delete files that nobody needs (`df -i`)"


def is_machines(error: BaseException) -> bool:
    """Whether an error is one of the system that the machine is at fault for."""
    return isinstance(error, OSError) and error.errno in ADVICE


def advice(error: OSError, place: Path | None = None) -> str:
    """What to do about a fault of the machine; `place` is what was used, where the error does not say."""
    if error.errno == errno.ENOSPC and _has_no_names(place or _place_of(error)):
        return NO_NAMES
    return ADVICE[error.errno or 0]


def machines_fault(error: OSError, doing: str, place: Path) -> MachineError | None:
    """The error with what was being done, as a sentence, where the machine is at fault; None where somebody else is."""
    return MachineError(f"{doing}: {error.strerror}; {advice(error, place)}.") if is_machines(error) else None


@contextmanager
def sorted_out(doing: str, place: Path) -> Iterator[None]:
    """Raise what the machine is at fault for within the block as a MachineError, all else as it is."""
    try:
        yield
    except OSError as error:
        if fault := machines_fault(error, doing, place):
            raise fault from error
        raise


def _place_of(error: OSError) -> Path | None:
    return Path(os.fsdecode(error.filename)) if isinstance(error.filename, str | bytes) else None


def _has_no_names(place: Path | None) -> bool:
    """Whether it is names that a filesystem has no more room for; some give names as long as there is space, and count none."""
    for reached in (place, *place.parents) if place else ():
        try:
            found = os.statvfs(reached)
        except OSError:  # not made yet: a folder above it is on the same filesystem
            continue
        return found.f_files > 0 and found.f_favail == 0
    return False
