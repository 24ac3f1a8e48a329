"""Is somebody still writing this file? A read lease (fcntl F_SETLEASE) is the one local test that knows.

The kernel refuses a read lease while any process has the file open for writing, or mapped shared and writable. It cannot say
for files of other users (without CAP_LEASE), and not on most network filesystems. A writer that opens the file in the instant
the lease is held makes the kernel send SIGIO, whose default is to end the process: the daemon ignores SIGIO first thing
(`signal.signal(SIGIO, SIG_IGN)`), and a process that does not is never given a lease here.
"""

import fcntl
import os
import signal
from pathlib import Path


def is_being_written(path: Path) -> bool | None:
    """Whether a writer holds the file now; None when the system cannot say.

    Never blocks, never follows a symlink. Raises OSError where the file cannot be opened at all.
    """
    if signal.getsignal(signal.SIGIO) is signal.SIG_DFL:
        return None
    fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        # At once: while the lease is held, a writer's open() waits.
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except BlockingIOError:
        return True
    except OSError:
        return None
    finally:
        os.close(fd)
    return False
