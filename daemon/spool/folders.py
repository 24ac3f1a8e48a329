"""Making the folders of a spool, and checking whether they can keep its promises."""

import errno
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from daemon import layout, names
from daemon.errors import SpoolError
from daemon.machine import machines_fault
from daemon.spool.filesystem import Filesystem


def create(fs: Filesystem, root: Path, inboxes: Mapping[str, str]) -> None:
    """Make every folder that is missing. Raises SpoolError, with a sentence, where one cannot be made, or made private.

    MachineError where the machine is at fault.
    """
    for folder in layout.folders(inboxes.values()):
        with explaining_errors(root / folder.path):
            _make(fs, root / folder.path)
    for private in layout.PRIVATE:
        with explaining_errors(root / private):
            fs.make_private(root / private)


@contextmanager
def explaining_errors(folder: Path) -> Iterator[None]:
    """Say of an error within the block, in a sentence, that this folder cannot be made or used: SpoolError or MachineError."""
    try:
        yield
    except (NotADirectoryError, FileExistsError) as error:
        stranger = "a symbolic link or a file stands in its way, and the folders of a spool must be real"
        raise SpoolError(f"{folder} cannot be made or used: {stranger}; move it away, or move the whole spool instead.") from error
    except OSError as error:
        if error.errno == errno.EXDEV:
            raise SpoolError(f"{folder} is a mount of its own, or lies in one; mount the whole spool instead.") from error
        doing, way_out = f"{folder} cannot be made or used", "give the spool another place"
        if isinstance(error, PermissionError):
            way_out = "give it to the daemon's user, `chown -R` the whole spool for example"
        raise machines_fault(error, doing, folder) or SpoolError(f"{doing} ({error.strerror}); {way_out}.") from error


def _make(fs: Filesystem, folder: Path) -> None:
    with suppress(FileExistsError):
        try:
            fs.mkdir(folder)
        except FileNotFoundError:
            _make(fs, folder.parent)
            fs.mkdir(folder)


def check(fs: Filesystem, root: Path, inboxes: Mapping[str, str]) -> None:
    """Raise SpoolError, with a sentence, where the folders cannot keep the spool's promises; MachineError where they could."""
    for name in inboxes.values():
        if not names.is_plain(name) or name.startswith("."):
            raise SpoolError(f"The inbox {names.shown(name)!r} must be one plain folder name; inboxes lie side by side.")
    _check_not_nested(fs, root)
    mounts = _mount_points(fs)
    seen: dict[tuple[int, int], Path] = {}
    for folder in [root / folder.path for folder in layout.folders(inboxes.values())]:
        st = _check_folder(fs, folder, may_be_link=folder == root)
        if other := seen.get((st.st_dev, st.st_ino)):
            raise SpoolError(f"{folder} and {other} are the same folder, so results would run in circles; give each its own.")
        if seen and st.st_dev != next(iter(seen))[0]:
            raise SpoolError(f"{folder} is on another filesystem than {root}; all folders of a spool must be on one.")
        if seen and os.fsencode(root.resolve() / folder.relative_to(root)) in mounts:
            raise SpoolError(f"{folder} is a mount of its own, so nothing can be renamed into it; mount the whole spool instead.")
        with explaining_errors(folder):
            if not fs.may_change(folder):
                raise SpoolError(f"{folder} is not writable for the daemon; give its user or group write permission.")
        seen[st.st_dev, st.st_ino] = folder


def _check_not_nested(fs: Filesystem, root: Path) -> None:
    for above in root.resolve().parents:
        with suppress(OSError):
            if all(stat.S_ISDIR(fs.lstat(above / kind).st_mode) for kind in (layout.WORK, layout.INBOX)):
                raise SpoolError(f"{root} lies inside another spool, {above}, whose daemon would meet its files; put it elsewhere.")


def _mount_points(fs: Filesystem) -> set[bytes]:
    """Where something is mounted: also what has the same device, a bind mount, cannot be renamed across."""
    try:
        lines = fs.read(Path("/proc/self/mountinfo")).splitlines()
    except OSError:
        return set()
    return {re.sub(rb"\\(\d{3})", lambda octal: bytes([int(octal[1], 8)]), line.split()[4]) for line in lines}


def _check_folder(fs: Filesystem, folder: Path, *, may_be_link: bool) -> os.stat_result:
    try:
        st = fs.stat(folder) if may_be_link else fs.lstat(folder)
    except OSError as error:
        doing, way_out = f"{folder} cannot be used", "`tiffsd init` makes the folders of a spool"
        raise machines_fault(error, doing, folder) or SpoolError(f"{doing} ({error.strerror}); {way_out}.") from error
    if stat.S_ISLNK(st.st_mode):
        raise SpoolError(f"{folder} is a symbolic link, and the folders of a spool must be real; move the whole spool instead.")
    if not stat.S_ISDIR(st.st_mode):
        raise SpoolError(f"{folder} is a file where a folder of the spool must be; move it away.")
    return st
