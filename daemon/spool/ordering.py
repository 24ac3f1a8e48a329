"""What needs no sync of its own where a filesystem writes the changes of folders in the order in which they were made.

There a power cut leaves all of them up to some moment, and that is not before the last sync. So a move is never half there, and a
folder that names have left needs no sync beside the one that they came to: those are `SPARED` wherever the order is kept. Where a
filesystem writes the two ends of a move apart, they make the old name go before the next step trusts the new one.

`durability: ordered` leaves out more. The content of each file and the name of each record are waited for as ever, and with them
what came before; what comes after is as it was, or is done again by the next daemon, whose records say how far the job was.
`python -m tests.spool.prove` cuts the power at every moment, and says what becomes of it where one sync more is left out.

ext4 and ext3 keep that order in their journal, where they have one and no fast commits, and so does XFS. btrfs and f2fs do not:
there the sync of one file makes that file durable, and nothing that came before.
"""

import os
import re
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from daemon.spool.filesystem import Filesystem

SPARED = frozenset(
    {
        "claim: the inbox they left",
        "publish: out/ that they left",
        "archive: in/ that they left",
        "discard: .work/ that it left",
    }
)
LEFT_OUT = SPARED | {
    "claim: the job",
    "claim: the members in in/",
    "commit: the outputs in out/",
    "commit: out/ itself",
    "publish: the outputs in their places",
    "archive: the members in done/",
    "discard: the job in .trash/",
}
KEEPS_ORDER = "ext4 with its journal and without fast commits, or XFS"
PROBE = ".ordered"
_MOUNTS = Path("/proc/self/mountinfo")
_WITH_A_JOURNAL = ("ext3", "ext4")


def why_unordered(fs: Filesystem, root: Path) -> str | None:
    """Why a filesystem is not known to keep the order of changes, in words; None where it does. It is asked for a sync."""
    try:
        device = fs.stat(root).st_dev
        kind = _type_of(fs, device)
        if kind == "xfs":
            return None
        if kind not in _WITH_A_JOURNAL:
            return f"it lies on {kind or _type_at(fs, root) or 'a filesystem that cannot be told'}"
        name = _name_of(fs, device)
        if not _text(fs, Path("/sys/fs/ext4") / name / "journal_task").strip().isdigit():
            return f"its {kind} has no journal"
        _sync_something(fs, root / PROBE)
        return f"its {kind} makes fast commits" if any(_fast_commits(fs, name)) else None
    except OSError as error:
        return f"it cannot be told what it lies on ({error.strerror})"


def _type_of(fs: Filesystem, device: int) -> str:
    number = f"{os.major(device)}:{os.minor(device)}"
    return next((kind for mounted, _, kind in _mounts(fs) if mounted == number), "")


def _type_at(fs: Filesystem, root: Path) -> str:
    """What is mounted where a folder is, for the words only: btrfs has numbers of its own that the kernel's list has not."""
    points = [(len(point.parts), kind) for _, point, kind in _mounts(fs) if root.resolve().is_relative_to(point)]
    return max(points)[1] if points else ""


def _mounts(fs: Filesystem) -> Iterator[tuple[str, Path, str]]:
    """The number of a device, where it is mounted, and its type."""
    for line in _text(fs, _MOUNTS).splitlines():
        mount, _, source = line.partition(" - ")
        point = re.sub(r"\\(\d{3})", lambda escaped: chr(int(escaped[1], 8)), mount.split()[4])
        yield mount.split()[2], Path(point), source.split()[0]


def _name_of(fs: Filesystem, device: int) -> str:
    """What the kernel calls a disk."""
    told = _text(fs, Path(f"/sys/dev/block/{os.major(device)}:{os.minor(device)}/uevent"))
    return next((line.removeprefix("DEVNAME=") for line in told.splitlines() if line.startswith("DEVNAME=")), "")


def _sync_something(fs: Filesystem, path: Path) -> None:
    """Where fast commits are on, the kernel has counted one from then on."""
    with suppress(FileNotFoundError):
        fs.unlink(path)  # of a crash
    with fs.create(path) as file:
        fs.write(file, b"\n")
        fs.fsync(file, "the question whether it makes fast commits")
    fs.unlink(path)


def _fast_commits(fs: Filesystem, name: str) -> Iterator[int]:
    """How many fast commits were made, and how many could not be; nothing where the kernel knows none."""
    try:
        told = _text(fs, Path("/proc/fs/ext4") / name / "fc_info")
    except FileNotFoundError:
        return
    yield from (int(count) for count in re.findall(r"^(\d+) (?:commits|ineligible)$", told, re.MULTILINE))


def _text(fs: Filesystem, path: Path) -> str:
    return fs.read(path).decode("utf-8", "surrogateescape")
