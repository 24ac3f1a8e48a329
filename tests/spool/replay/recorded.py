"""A story that is lived on a real filesystem, with every write to its disk."""

import os
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Any, BinaryIO

from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Spool
from tests.spool.disk import NOON
from tests.spool.replay import devices
from tests.spool.replay.kinds import Kind
from tests.spool.replay.log import Entry, read
from tests.spool.stories import FOLDERS, Story, live

CHANGES = frozenset(
    {"append", "create", "fsync", "fsync_folder", "make_private", "mkdir", "rename", "rename_noreplace", "rmdir", "unlink", "write"}
)


class Real(Filesystem):
    """The real filesystem, whose clock stands and whose ids can be foretold, without some of its syncs."""

    def __init__(self, root: Path, *, boot_id: str, without: Collection[str] = ()) -> None:
        super().__init__(root)
        self._top, self._boot_id, self._without = root, boot_id, without
        self.leave_out(frozenset(without))

    def now(self) -> datetime:
        return NOON

    def boot(self) -> str:
        return self._boot_id

    def new_id(self) -> str:
        names = "/".join(name for _, folders, files in os.walk(self._top) for name in (*folders, *files))
        return next(f"{n:08x}" for n in range(0xA0000001, 0xB0000000) if f"{n:08x}" not in names)

    def fsync(self, file: BinaryIO, what: str) -> None:
        if what not in self._without:
            super().fsync(file, what)
        else:
            file.flush()


class Observed(Real):
    """Calls `after` with each change that is over, and with each attempt that begins or ends."""

    def __init__(self, root: Path, after: Callable[["Observed", str], None], *, without: Collection[str]) -> None:
        super().__init__(root, boot_id="first boot", without=without)
        self._begun, self._after = 0, after

    @property
    def begun(self) -> int:
        return self._begun

    @begun.setter
    def begun(self, attempt: int) -> None:
        self._begun = attempt
        self._after(self, "begin" if attempt else "end")

    def __getattribute__(self, name: str) -> Any:
        found = super().__getattribute__(name)
        if name not in CHANGES:
            return found

        def call(*args: Any) -> Any:
            result = found(*args)
            self._after(self, name)
            return result

        return call


def record(story: Story, way: str, kind: Kind, *, without: Collection[str], busy: bool) -> tuple[bytes, list[Entry]]:
    """The disk before a story's first life, and what this life wrote.

    On a `busy` machine another program has its own file synced after every change, and with it all names that were changed, but no
    content of ours: the journal is written at each moment at which it could be, and not only when the daemon asks.
    """
    disk, log = devices.made("disk.img", kind.mib), devices.made("log.img", devices.LOG_MIB)
    with devices.loop(disk) as device, devices.loop(log) as notes:
        devices.said(*kind.make, device)
        with devices.mounted(device, kind) as place:
            furnish(story, place / "spool")
            (place / "of another program").touch()
        before = disk.read_bytes()
        with devices.logged(device, notes) as watched, devices.mounted(watched, kind) as place:
            _live(story, way, place, without=without, busy=busy)
    return before, list(read(log))


def furnish(story: Story, root: Path) -> None:
    """The spool's folders and the first drops."""
    root.mkdir()
    Spool(root, FOLDERS, fs=Real(root, boot_id="no boot")).create()
    drops = {task.place_of(name): content for task in story.tasks[: story.dropped] for name, content in task.drops.items()}
    for path, content in {**drops, **story.others}.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def _live(story: Story, way: str, place: Path, *, without: Collection[str], busy: bool) -> None:
    moments = 0
    other = os.open(place / "of another program", os.O_WRONLY)

    def after(fs: Observed, change: str) -> None:
        nonlocal moments
        moments += 1
        if busy:
            os.utime(other, ns=(moments, moments))
            os.fsync(other)
        devices.mark(f"{fs.begun}:{moments}.{change}")

    try:
        live(story, Observed(place / "spool", after, without=without), place / "spool", way=way)
    finally:
        os.close(other)
