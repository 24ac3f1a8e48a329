"""A copy of a spool while a daemon works in it, as if the power had been cut at one moment of it.

The spool outlives a crash at any moment, so a copy is as good as a crash if all in it is of one moment. Files move while it is
made: whoever copies folder by folder meets some of them twice, and some not at all. So the names are looked at until two looks in
a row are alike: between these two lies a moment at which all was where it was seen. The records of jobs, small and soon gone, are
read in the same look. What is copied after it may have moved meanwhile: a rename leaves a file its number, which finds it again.

Left out is what only a living daemon needs, what is made again, and the finished pictures, unless they are asked for.
"""

import errno
import os
import shutil
import stat
import time
from collections.abc import Callable, Collection, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

from daemon import layout
from daemon.beneath import Beneath
from daemon.errors import DaemonError, InUse, MachineError, SpoolError
from daemon.machine import sorted_out
from daemon.spool.records import COMMIT
from daemon.spool.transitions import OUT

# The folders by what is likely to move in them: what is copied first has had the least time to.
COPIED = (layout.WORK, layout.INBOX, layout.HOLD, layout.FAILED, layout.EMBEDDINGS, layout.STEPS, layout.KEEP, layout.DONE)
EMPTIED = (layout.RUNNING, layout.PICTURES, layout.PREVIEWS, layout.TRASH)
READ_AT_ONCE = (layout.OWNERS, layout.RECENT)
LARGEST_RECORD = 1 << 20  # bytes
PATIENCE_SECONDS, PAUSE_SECONDS = 60.0, 0.02
LEASE_LOOKS, LEASE_SECONDS = 100, 0.1
PART = ".part"  # ends the name of a copy that is not whole


class Seen(NamedTuple):
    """What lies at a place: its mode with its kind, its owner and group, and for a file its number, size and time."""

    mode: int
    owner: int
    group: int
    inode: int
    size: int
    mtime_ns: int


@dataclass(frozen=True)
class Look:
    """What lay in a spool, by its path below the root, and what stood in the records."""

    seen: dict[str, Seen]
    records: dict[str, bytes] = field(default_factory=dict)


@dataclass
class Copied:
    """What came of a backup: how many files and bytes, and what was left out: no file, unreadable, in use, or deleted meanwhile."""

    files: int = 0
    bytes: int = 0
    left_out: list[str] = field(default_factory=list)


def back_up(root: Path, target: Path, *, pictures: bool = False, clock: Callable[[], float] = time.monotonic) -> Copied:
    """Copy a spool to a folder that is not there yet, or is empty; whole, or not at all.

    SpoolError where there is no spool or this user may not read it, DaemonError where the target cannot be one, MachineError where
    the spool does not stand still long enough to be looked at, or a disk is full."""
    _check(root, target)
    part = target.with_name(target.name + PART)
    with sorted_out(f"{target} cannot be written", target):
        try:
            part.mkdir(parents=True, mode=0o700)
        except FileExistsError:
            raise DaemonError(f"{part}: there is an unfinished backup; delete it, or name another place") from None
        try:
            copied = _copy(Beneath(root), part, (*COPIED, *([layout.PICTURES] if pictures else [])), clock)
            with suppress(FileNotFoundError):
                target.rmdir()
            part.rename(target)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
    os.sync()
    return copied


def _check(root: Path, target: Path) -> None:
    if not (root / layout.WORK).is_dir() or not (root / layout.INBOX).is_dir():
        raise SpoolError(f"{root}: this is no spool; see which one config.yaml names, or make one with `tiffsd init`")
    if not os.access(root / layout.WORK, os.R_OK | os.X_OK):
        raise SpoolError(f"{root}: this user may not read all of it; back it up as root, or as the user of the daemon")
    if target.resolve().is_relative_to(root.resolve()):
        raise DaemonError(f"{target}: a backup must not lie in the spool itself; name another place")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise DaemonError(f"{target}: there is something already, and nothing is overwritten; name a new folder")


def _copy(beneath: Beneath, part: Path, folders: Collection[str], clock: Callable[[], float]) -> Copied:
    look = _undisturbed(beneath, folders, clock)
    _make_folders(look, part)
    copied, elsewhere = Copied(), _Elsewhere(beneath)
    for place, seen in look.seen.items():
        if stat.S_ISDIR(seen.mode):
            continue
        if not stat.S_ISREG(seen.mode):
            copied.left_out.append(place)
        elif (found := look.records.get(place)) is not None:
            _count(copied, _written(part / place, BytesIO(found), seen))
        elif (size := _copy_file(beneath, elsewhere, place, seen, part / place)) is not None:
            _count(copied, size)
        else:
            copied.left_out.append(place)
    for place, seen in look.seen.items():
        if stat.S_ISDIR(seen.mode):
            _give(part / place, seen)
    _give(part, _seen(beneath.root.stat()))
    return copied


def _count(copied: Copied, size: int) -> None:
    copied.files += 1
    copied.bytes += size


def _undisturbed(beneath: Beneath, folders: Collection[str], clock: Callable[[], float]) -> Look:
    """A look that the next one confirms."""
    deadline = clock() + PATIENCE_SECONDS
    before = _looked(beneath, folders)
    while clock() < deadline:
        now = _looked(beneath, folders)
        if before is not None and now == before:
            return now
        before = now
        time.sleep(PAUSE_SECONDS)
    raise MachineError(
        f"{beneath.root}: so much moves there that in {PATIENCE_SECONDS:.0f} s no two looks at it were alike; back it up when less "
        "is going on, or run `tiffsd pause` before and `tiffsd resume` after it."
    )


def _looked(beneath: Beneath, folders: Collection[str]) -> Look | None:
    """What lies there now; None where something moved under the look."""
    look = Look({})
    try:
        for name in (*folders, *EMPTIED):
            path = beneath.root / name
            if name not in look.seen and beneath.lexists(path):
                look.seen[name] = _seen(beneath.lstat(path))
                if name in folders:
                    look.seen.update(_below(beneath, path))
        for place in [place for place in look.seen if _is_undecided(place, look)]:
            del look.seen[place]  # whoever goes on with the job makes it again
        for name in READ_AT_ONCE:
            if beneath.lexists(beneath.root / name):
                look.seen[name] = _seen(beneath.lstat(beneath.root / name))
        for place, seen in look.seen.items():
            if _is_record(place) and stat.S_ISREG(seen.mode) and (place in READ_AT_ONCE or seen.size <= LARGEST_RECORD):
                with beneath.plain(beneath.root / place) as file:
                    look.records[place] = file.read()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return look


def _is_record(place: str) -> bool:
    parts = place.split("/")
    return place in READ_AT_ONCE or (parts[0] == layout.WORK and len(parts) == 3)


def _is_undecided(place: str, look: Look) -> bool:
    """Whether a file is an output of a job that is not committed."""
    parts = place.split("/")
    return parts[0] == layout.WORK and len(parts) == 4 and parts[2] == OUT and f"{layout.WORK}/{parts[1]}/{COMMIT}" not in look.seen


def _below(beneath: Beneath, folder: Path) -> Iterator[tuple[str, Seen]]:
    """All that lies in a folder, and in those in it."""
    with beneath.folder(folder, os.O_RDONLY) as descriptor, os.scandir(descriptor) as entries:
        found = sorted((entry.name, _seen(entry.stat(follow_symlinks=False))) for entry in entries)
    for name, seen in found:
        path = folder / name
        yield str(path.relative_to(beneath.root)), seen
        if stat.S_ISDIR(seen.mode):
            yield from _below(beneath, path)


def _seen(found: os.stat_result) -> Seen:
    owner = found.st_mode, found.st_uid, found.st_gid
    # A folder changes its time with all that comes and goes in it, which is seen there.
    return Seen(*owner, *((0, 0, 0) if stat.S_ISDIR(found.st_mode) else (found.st_ino, found.st_size, found.st_mtime_ns)))


def _make_folders(look: Look, part: Path) -> None:
    for place, seen in look.seen.items():
        if stat.S_ISDIR(seen.mode):
            (part / place).mkdir(mode=0o700)


class _Elsewhere:
    """Where files lie by now that have been renamed, by their number, size and time; looked for when one is missed."""

    def __init__(self, beneath: Beneath) -> None:
        self._beneath = beneath
        self._known: dict[tuple[int, int, int], Path] = {}

    def path(self, seen: Seen, *, look: bool) -> Path | None:
        """Where that file lies; `look` asks for a look at all of the spool, where what is known does not do."""
        if look or not self._known:
            self._look()
        return self._known.get(seen[3:])

    def _look(self) -> None:
        self._known.clear()
        for name in (*COPIED, *EMPTIED):
            with suppress(OSError):
                for place, found in _below(self._beneath, self._beneath.root / name):
                    self._known[found[3:]] = self._beneath.root / place


def _copy_file(beneath: Beneath, elsewhere: _Elsewhere, place: str, seen: Seen, target: Path) -> int | None:
    """Copy a file from where it was seen, or from where it was moved to; its size, None where it is gone."""
    path: Path | None = beneath.root / place
    for attempt in range(4):
        try:
            with _opened(beneath, path) as file:
                if os.fstat(file.fileno()).st_ino == seen.inode:
                    return _written(target, file, seen)
        except (PermissionError, InUse):
            return None
        except FileNotFoundError:
            pass
        path = elsewhere.path(seen, look=attempt > 0)
    # Saved anew by an editor that writes another file and renames it: what stands there now is what its owner wants.
    with suppress(FileNotFoundError), _opened(beneath, beneath.root / place) as file:
        return _written(target, file, seen)
    return None


def _opened(beneath: Beneath, path: Path | None) -> BinaryIO:
    """A file, open for reading; where another program has a lease on it, once that has let go, as the kernel tells it to.

    InUse where it does not, FileNotFoundError where there is none."""
    if path is None:
        raise FileNotFoundError
    for _ in range(LEASE_LOOKS):
        with suppress(InUse):
            return beneath.plain(path)
        time.sleep(LEASE_SECONDS)
    return beneath.plain(path)


def _written(target: Path, source: BinaryIO, seen: Seen) -> int:
    """Write what the source holds to a new file, sharing the bytes where the filesystem can; how many."""
    with target.open("xb") as copy:
        size = _bytes(source, copy)
    _give(target, seen)
    return size


def _give(target: Path, seen: Seen) -> None:
    """Give a copy the owner, as far as this user may, the mode and the time of what it is a copy of."""
    if os.geteuid() == 0:
        os.chown(target, seen.owner, seen.group)
    target.chmod(stat.S_IMODE(seen.mode))
    if seen.mtime_ns:
        os.utime(target, ns=(seen.mtime_ns, seen.mtime_ns))


def _bytes(source: BinaryIO, copy: BinaryIO) -> int:
    with suppress(OSError):  # of other filesystems, an older kernel, and of what is no file
        return _handed_over(source.fileno(), copy.fileno())
    copy.seek(0)
    copy.truncate()
    source.seek(0)
    shutil.copyfileobj(source, copy, 1 << 20)
    return copy.tell()


def _handed_over(source: int, copy: int) -> int:
    total = 0
    while count := os.copy_file_range(source, copy, 1 << 30):
        total += count
    if total == 0 and os.fstat(source).st_size:
        raise OSError(errno.EINVAL, "nothing was handed over")
    return total
