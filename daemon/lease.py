"""Is somebody still writing this file? A read lease (fcntl F_SETLEASE) is the one local test that knows.

The kernel refuses a read lease while any process has the file open for writing, or mapped shared and writable. It cannot say
for files of other users (without CAP_LEASE), and it is not to be believed on a filesystem whose writers may sit on another
machine: FUSE grants the lease whatever the other side does. A writer that opens the file in the instant the lease is held makes
the kernel send SIGIO, whose default is to end the process: the daemon ignores SIGIO first thing (`signal.signal(SIGIO,
SIG_IGN)`), and a process that does not is never given a lease here.
"""

import fcntl
import os
import signal
from functools import lru_cache
from pathlib import Path

MOUNTS = Path("/proc/self/mountinfo")
# Filesystems that answer for their local users only: those of the network, and FUSE.
_REMOTE = ("nfs", "cifs", "smb", "9p", "virtiofs", "vboxsf", "ceph", "glusterfs", "lustre", "gfs2", "ocfs2", "afs")
_SHARED = ("fuse", *_REMOTE)
# Those of which one mount is one device.
_UNDIVIDED = ("ext2", "ext3", "ext4", "xfs", "f2fs", "tmpfs")


def is_being_written(file: int) -> bool | None:
    """Whether a writer holds the file of a descriptor, open for reading only; None when the system cannot say. Never blocks."""
    if signal.getsignal(signal.SIGIO) is signal.SIG_DFL:
        return None
    try:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        # At once: while the lease is held, a writer's open() waits.
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)
        return None if _type_of(os.fstat(file).st_dev).startswith(_SHARED) else False
    except BlockingIOError:
        # NFSv4 and CIFS answer so too where their server has not left the file to this machine: that says nothing of writers.
        return None if _type_of(os.fstat(file).st_dev).startswith(_REMOTE) else True
    except OSError:
        return None


@lru_cache(maxsize=64)
def keeps_owners(device: int) -> bool:
    """Whether the filesystem on a device says who made a file: that of a network, FUSE and DOS say who mounted it."""
    return not _type_of(device).startswith((*_SHARED, "vfat", "exfat", "msdos", "ntfs"))


@lru_cache(maxsize=64)
def has_subvolumes(device: int) -> bool:
    """Whether folders of one mount may lie on several devices, as on btrfs; True unless the filesystem is known not to."""
    return _type_of(device).partition(" ")[0] not in _UNDIVIDED


@lru_cache(maxsize=64)
def _type_of(device: int) -> str:
    """The type of the filesystem on a device, such as "ext4"; empty, as of a local one, where the list of mounts has it not."""
    number = f"{os.major(device)}:{os.minor(device)}"
    for line in MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines():
        mount, _, source = line.partition(" - ")
        if mount.split()[2] == number:
            return source
    return ""
