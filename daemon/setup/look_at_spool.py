"""What the filesystem of a spool promises, what room there is on it, and who may write in its folders."""

import errno
import os
import re
import shutil
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from daemon.errors import MachineError, SpoolError
from daemon.jobs.acts import spool_at
from daemon.jobs.running import group_name, user_name
from daemon.layout import INBOX
from daemon.service.exposure import complaints
from daemon.setup.findings import Finding, fault, note, ok
from daemon.stages import STAGES

MOUNTS = Path("/proc/self/mountinfo")
GB = 1e9
LITTLE_GB, TOO_LITTLE_GB, FEW_NAMES = 5.0, 0.5, 1000
LOCAL = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs", "nilfs2")
ORDERED = "renames are in order after a crash"
# What a filesystem does not promise, and what to do about it, by the beginning of its type.
OTHERS = {
    "overlay": ("what lies on it may go with the container", "put the spool on a volume of its own"),
    "tmpfs": ("it lies in memory, and is gone after a restart", "put the spool on a disk"),
    "nfs": (
        "who writes on another machine is not seen here",
        "let the daemon run where the disk is, or raise `watch.settle_unleased_seconds`",
    ),
    "cifs": (
        "who writes on another machine is not seen here",
        "let the daemon run where the disk is, or raise `watch.settle_unleased_seconds`",
    ),
    "smb": (
        "who writes on another machine is not seen here",
        "let the daemon run where the disk is, or raise `watch.settle_unleased_seconds`",
    ),
    "9p": ("who writes on the other side is not seen here", "put the spool on a disk of this machine"),
    "virtiofs": ("who writes on the other side is not seen here", "put the spool on a disk of this machine"),
    "fuse": (
        "who writes behind it is not seen here, and renames may not be in order after a crash",
        "put the spool on a local disk",
    ),
    "vfat": ("it knows no owners and no permissions", "put the spool on a disk with ext4 or the like"),
    "exfat": ("it knows no owners and no permissions", "put the spool on a disk with ext4 or the like"),
    "ntfs": ("it knows no owners and permissions of this system", "put the spool on a disk with ext4 or the like"),
}


@dataclass(frozen=True)
class Mount:
    """Where a filesystem is mounted: its type, and the options of mount and filesystem."""

    type: str
    options: frozenset[str]


def look_at_spool(root: Path) -> Iterator[Finding]:
    """What there is at the place of a spool."""
    if not root.is_dir():
        yield note("spool", f"{root} is not there", "`tiffsd init` makes it, and so does the service")
        return
    yield from _of_filesystem(root, mount_of(root))
    yield from _of_room(root)
    yield from _of_folders(root)


def is_shared(root: Path) -> bool:
    """Whether a spool is laid out for a group."""
    return root.is_dir() and bool(root.stat().st_mode & stat.S_ISGID)


def mount_of(root: Path) -> Mount:
    """On what a folder lies; of type "unknown" where the kernel does not say."""
    real = root.resolve()
    try:
        lines = MOUNTS.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return Mount("unknown", frozenset())
    best, found = -1, Mount("unknown", frozenset())
    for line in lines:
        before, _, after = line.partition(" - ")
        place = Path(re.sub(r"\\(\d{3})", lambda octal: chr(int(octal[1], 8)), before.split()[4]))
        if real.is_relative_to(place) and len(place.parts) >= best:
            type_, _, options = after.split()
            best, found = len(place.parts), Mount(type_, frozenset(before.split()[5].split(",")) | frozenset(options.split(",")))
    return found


def _of_filesystem(root: Path, mount: Mount) -> Iterator[Finding]:
    words = [f"{root} on {mount.type}"]
    if "ro" in mount.options:
        yield fault(
            "spool", f"{words[0]}, which is mounted read-only", "mount it writable; for a service, name it in ReadWritePaths= too"
        )
        return
    words.append("with extended attributes" if _has_attributes(root) else "without extended attributes")
    known = next((said for start, said in OTHERS.items() if mount.type.startswith(start)), None)
    if known is not None:
        lack, advice = known
        yield note("spool", f"{', '.join(words)}; {lack}", advice)
    elif mount.type in LOCAL:
        yield ok("spool", f"{', '.join(words)}; a local disk, {ORDERED}")
    else:
        yield ok("spool", ", ".join(words))
    if any(option in mount.options for option in ("data=writeback", "nobarrier", "barrier=0")):
        yield note(
            "spool", "it is mounted so that a power cut may lose what was synced", "mount it without nobarrier and data=writeback"
        )


def _of_room(root: Path) -> Iterator[Finding]:
    free, names = shutil.disk_usage(root).free, os.statvfs(root)
    said = f"{free / GB:.1f} GB free"
    if names.f_files and names.f_favail < FEW_NAMES:
        yield fault(
            "room", f"{said}, and {names.f_favail} names", "free some inodes there: delete files that nobody needs (`df -i`)"
        )
    elif free < TOO_LITTLE_GB * GB:
        yield fault("room", said, "free some space there (`df -h`), or lower the limits under `retention` in config.yaml")
    elif free < LITTLE_GB * GB:
        yield note(
            "room", said, "lower the limits under `retention` in config.yaml, which add up to more, or put the spool elsewhere"
        )
    else:
        yield ok("room", said)


def _of_folders(root: Path) -> Iterator[Finding]:
    """Whether the daemon's user may do what it must, and those of the group what they want."""
    stages = [stage.folder for stage in STAGES.values()]
    owner, group = root.stat().st_uid, root.stat().st_gid
    what = f"of {user_name(owner)} and the group {group_name(group)}, " + ("shared with it" if is_shared(root) else "not shared")
    try:
        if os.geteuid() in (0, owner):
            spool_at(root).check()
        exposed = complaints(root, stages) if os.geteuid() in (0, owner) else []
    except (SpoolError, MachineError) as error:
        yield fault("folders", what, str(error))
        return
    except OSError as error:
        yield fault(
            "folders", what, f"{error.filename or root} cannot be looked at ({error.strerror}): `tiffsd init` makes what is missing"
        )
        return
    for sentence in exposed:
        said, _, way_out = sentence.rpartition("; ")
        yield note("folders", said, way_out)
    if not os.access(root / INBOX / stages[0], os.W_OK | os.X_OK):
        join = f"`sudo usermod -aG {group_name(group)} {user_name(os.geteuid())}`, then log in anew"
        # Nobody is to join root's group, and a group that the folders are not shared with lets nobody in.
        ask = f"ask {user_name(owner)} for a spool that a group shares (tiffsd help docs/service.md)"
        way_in = join if group and is_shared(root) else ask
        yield note("folders", f"{what}, and you ({user_name(os.geteuid())}) may not drop files", way_in)
    elif not exposed:
        yield ok("folders", what)


def _has_attributes(root: Path) -> bool:
    try:
        os.getxattr(root, "user.tiffsd")
    except OSError as error:
        return error.errno not in (errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS)
    return True
