"""Every disk that a power cut can leave, mounted by the kernel, and the spool started on it."""

import mmap
import os
import subprocess
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.spool.invariants import check_always, check_end
from tests.spool.replay import devices
from tests.spool.replay.cuts import Cut, Image, cuts
from tests.spool.replay.kinds import Kind
from tests.spool.replay.log import SECTOR
from tests.spool.replay.recorded import Real, record
from tests.spool.stories import Story, live

Tree = frozenset[tuple[str, bytes | None]]


@dataclass
class Figures:
    """How many cuts were tried, how many disks they left, how many spools those held; and what was bad, in words."""

    cuts: int = 0
    disks: int = 0
    spools: int = 0
    bad: list[str] = field(default_factory=list)


class Replay:
    """The cuts of one story on one kind of filesystem, without some syncs."""

    def __init__(self, story: Story, kind: Kind, *, without: Collection[str] = (), busy: bool) -> None:
        self.figures = Figures()
        self._story, self._kind, self._without, self._busy = story, kind, without, busy

    def try_all(self) -> Figures:
        for way in self._story.ways:
            before, log = record(self._story, way, self._kind, without=self._without, busy=self._busy)
            with _Disk(before, self._kind).attached() as disk:
                self._cut_all(disk, cuts(log))
        return self.figures

    def _cut_all(self, disk: "_Disk", tried: Iterator[Cut]) -> None:
        disks: set[tuple[int, int]] = set()
        spools: set[tuple[Tree, int]] = set()
        for cut in tried:
            self.figures.cuts += 1
            begun = int(cut.mark.partition(":")[0] or 0)
            if (cut.image.key, begun) in disks:
                continue
            disks.add((cut.image.key, begun))
            try:
                self._start_on(disk, cut.image, begun, spools)
            except (AssertionError, RuntimeError, OSError) as error:
                self.figures.bad.append(f"after {cut.mark or 'nothing'}, {cut.left} left: {error}")
        self.figures.disks += len(disks)
        self.figures.spools += len(spools)

    def _start_on(self, disk: "_Disk", image: Image, begun: int, spools: set[tuple[Tree, int]]) -> None:
        disk.become(image)
        with devices.mounted(disk.device, self._kind) as place:
            root = place / "spool"
            tree = frozenset(_walked(os.fspath(root)))
            if (tree, begun) in spools:
                return
            spools.add((tree, begun))
            check_always(self._story, _files(root))
            fs = Real(root, boot_id="next boot", without=self._without)
            live(self._story, fs, root, way=self._story.last, begun=begun)
            check_end(self._story, _files(root), may_fail=self._story.max_attempts == 1)
        disk.check()


def _walked(folder: str, prefix: str = "") -> Iterator[tuple[str, bytes | None]]:
    """What is below a folder, by its path in it: each file with its content. Most of the time goes here, hence no `Path`."""
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.is_dir():
                yield prefix + entry.name, None
                yield from _walked(entry.path, f"{prefix}{entry.name}/")
            else:
                yield prefix + entry.name, _content(entry.path)


def _content(path: str) -> bytes:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        return os.read(descriptor, os.fstat(descriptor).st_size)
    finally:
        os.close(descriptor)


def _files(root: Path) -> dict[Path, bytes]:
    return {Path(path): content for path, content in _walked(os.fspath(root)) if content is not None}


class _Disk:
    """A disk that becomes one after the other."""

    def __init__(self, before: bytes, kind: Kind) -> None:
        self.device = ""
        self._before, self._kind = before, kind

    @contextmanager
    def attached(self) -> Iterator["_Disk"]:
        path = devices.made("cut.img", self._kind.mib)
        with path.open("r+b") as file, mmap.mmap(file.fileno(), 0) as self._content, devices.loop(path) as self.device:
            yield self

    def become(self, image: Image) -> None:
        self._content[:] = self._before
        for number, content in image.sectors.items():
            self._content[number * SECTOR : (number + 1) * SECTOR] = content

    def check(self) -> None:
        """Let the filesystem's own program look at it."""
        told = subprocess.run([*self._kind.check, self.device], capture_output=True, text=True, check=False)
        assert told.returncode == 0, f"{self._kind.check[0]} finds damage: {told.stdout[-500:]}{told.stderr[-500:]}"
