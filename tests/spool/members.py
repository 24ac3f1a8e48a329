"""A member of the group at every operation of the daemon: she does one thing, and perhaps undoes it some operations later.

The daemon goes on, looks again, the administrator puts things back, and the daemon goes on to the end. At no moment may it have
come to anything outside the spool, or to a folder of hers in the place of one of its own. What was claimed, and what waited and was
not touched, must end as if she had not been there. Of files that she moved while they waited, for which members trust each other,
none is lost or doubled.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any

from daemon.errors import NotThere
from daemon.layout import PRIVATE
from daemon.spool.spool import Spool
from tests.spool.acts import Act
from tests.spool.administrator import Order
from tests.spool.crashes import Crashes
from tests.spool.disk import MEMBER, ROOT, TOP, Contents, Disk, look_away
from tests.spool.invariants import check_always, check_end
from tests.spool.stories import FOLDERS, STORIES, Story, Task, go_on, live

OUTSIDE = -1  # the inode of a folder beside the root of the spool
SECRET = b"a secret"
LOOKS = 2  # how often the daemon looks before the administrator does
# The stories, and the ways that they go one after the other; in the last she takes part.
LIVES: dict[str, tuple[str, ...]] = {
    "three outputs": ("finish",),
    "two stages": ("finish",),
    "two jobs": ("finish",),
    "failing": ("fail",),
    "given back": ("give back",),
    "every name taken": ("give back",),
    "failed and retried": ("fail", "retry"),
    "hold": ("finish", "release"),
    "applied": ("finish",),
    "applied, given back": ("give back",),
    "a proof goes along": ("finish",),
}


@dataclass(frozen=True)
class Beginning:
    """A disk on which she meets the daemon, the way that its life would go, and what operations there are in it."""

    story: Story
    way: str
    contents: Contents
    calls: tuple[tuple[str, tuple[Path, ...]], ...]
    crashes: int  # how many there were before

    @classmethod
    def of(cls, story: Story, way: str, contents: Contents, *, crashes: int = 0) -> "Beginning":
        calls: list[tuple[str, tuple[Path, ...]]] = []
        disk = Disk(contents)
        disk.before = lambda name, args: calls.append((name, tuple(arg for arg in args if isinstance(arg, Path))))
        live(story, disk, way=way)
        return cls(story, way, _with_canaries(contents), tuple(calls), crashes)

    def meets(self, act: Act) -> bool:
        """Whether the daemon comes to where she acts."""
        return any(path.is_relative_to(ROOT / place) for _, paths in self.calls for path in paths for place in act.places)

    def tries(self, act: Act) -> Iterator["Try"]:
        """The act before every operation, and midway in every rename; undone soon or never."""
        for number, (operation, _) in enumerate(self.calls if self.meets(act) else (), 1):
            for lasts in (*act.lasts, None):
                yield Try(self, act, number, lasts=lasts)
                if operation.startswith("rename"):
                    yield Try(self, act, number, midway=True, lasts=lasts)


@lru_cache
def beginnings(name: str) -> tuple[Beginning, ...]:
    """How the story begins where she takes part."""
    story = STORIES[name]
    disk = story.world()
    *before, way = LIVES[name]
    for earlier in before:
        live(story, disk, way=earlier)
    return (Beginning.of(story, way, disk.contents),)


@lru_cache
def after_a_crash(name: str) -> tuple[Beginning, ...]:
    """How the story goes on from every state that a crash leaves."""
    crashed = Crashes(STORIES[name], most=1)
    crashed.explore([STORIES[name].world().contents])
    return tuple(Beginning.of(STORIES[name], STORIES[name].last, contents, crashes=1) for contents in crashed.met.values())


def _with_canaries(contents: Contents) -> Contents:
    """The disk with a folder beside the spool, which nobody may come to."""
    found = contents.copy()
    secret, inner = max(*found.folders, *found.files) + 1, max(*found.folders, *found.files) + 2
    found.folders[OUTSIDE] = {"secret": secret, "cat.tiff": secret, "claim.json": secret, "in": inner}
    found.folders[inner] = {"cat.tiff": secret}
    found.files[secret] = SECRET
    return found


def outside(contents: Contents) -> dict[str, bytes]:
    """What is in the folder beside the spool."""
    return {path: contents.files.get(inode, b"") for path, inode in contents.walk(OUTSIDE)}


@dataclass
class Try:
    """One act before one operation of the daemon, or midway between the two walks of a rename."""

    beginning: Beginning
    act: Act
    number: int
    midway: bool = False
    lasts: int | None = None
    touched: list[Task] = field(default_factory=list)
    _disk: Disk = field(default_factory=Disk)
    _order: Order | None = None
    _calls: int = 0
    _hers: set[int] = field(default_factory=set)

    def survive(self, kind: type[Disk] = Disk) -> Contents | None:
        """What is left when the administrator has been there, None where she could not act; AssertionError where it is bad."""
        story, disk = self.beginning.story, kind(self.beginning.contents)
        spool = Spool(ROOT, FOLDERS, fs=disk, max_attempts=story.max_attempts)
        self._disk, disk.before, disk.midway = disk, self._before, self._midway
        for _ in range(LOOKS):
            with suppress(OSError, NotThere):
                go_on(story, spool, disk, way=self.beginning.way)
        disk.before = disk.midway = look_away
        self._check_walls(disk)
        if self._order is None:
            return None
        self._order.restore(disk)
        between = disk.contents.copy()
        check_always(story, between.paths())
        go_on(story, spool, disk, way=story.last)
        self._check_walls(disk)
        self._check_end(disk)
        return between

    def _before(self, _name: str, _args: tuple[Any, ...]) -> None:
        self._calls += 1
        if not self.midway and self._calls == self.number:
            self._do()
        if self.lasts and self._calls == self.number + self.lasts and self._order and self.act.undoes:
            with self._disk.by(MEMBER), suppress(OSError):
                self.act.undoes(self._disk)

    def _midway(self, _name: str, _args: tuple[Any, ...]) -> None:
        if self.midway and self._calls == self.number:
            self._do()

    def _do(self) -> None:
        disk = self._disk
        order, before = Order.of(disk.contents), disk.contents.copy()
        try:
            with disk.by(MEMBER):
                self.act.does(disk)
        except OSError:
            disk.contents = before
            return
        self._order = order
        self.touched = [task for task in self.beginning.story.tasks if self._touches(task, order)]
        self._hers = disk.contents.theirs & {disk.contents.folders[TOP].get(name) for name in PRIVATE}

    def _touches(self, task: Task, order: Order) -> bool:
        """Whether she has moved a file of the task that waited, or parted those that waited from those that are claimed by now, or
        wait elsewhere."""
        files, contents = set(task.drops.values()), self._disk.contents
        waited = files & {contents.files[inode] for inode in order.waiting.values()}
        apart = waited != files or 0 < len(task.held) < len(task.drops)
        return bool(files & order.moved(contents)) or (apart and bool(files & order.out_of_sight(contents)))

    def _check_walls(self, disk: Disk) -> None:
        beyond = {OUTSIDE, *(inode for _, inode in disk.contents.walk(OUTSIDE))}
        assert not disk.reached & beyond, "the daemon came to what is outside the spool"
        assert outside(disk.contents) == outside(self.beginning.contents), "what is outside the spool has changed"
        assert not disk.reached & self._hers, "the daemon used a folder of hers as its own"

    def _check_end(self, disk: Disk) -> None:
        check_end(self.beginning.story, disk.contents.paths(), but=self.touched)
        left = [path for path, _ in disk.contents.walk() if path.startswith((".work/", ".trash/"))]
        assert not left, f"{left} are left over"


class Members:
    """Acts at every moment of some lives of one story, survived; then a crash anywhere in what follows the administrator."""

    def __init__(self, lives: Sequence[Beginning], acts: Collection[Act], *, kind: type[Disk] = Disk) -> None:
        self.survived = 0
        self.states = 0
        self._lives = lives
        self._acts = acts
        self._kind = kind

    def try_all(self, *, every: int = 1) -> "Members":
        """`every` leaves out all tries but each such one; AssertionError at the first that is bad."""
        left: dict[tuple[str, ...], list[Contents]] = {}
        touched: dict[tuple[str, ...], list[Task]] = {}
        tries = (one for life in self._lives for act in self._acts for one in life.tries(act))
        for one in islice(tries, 0, None, every):
            between = one.survive(self._kind)
            if between is not None:
                self.survived += 1
                key = tuple(task.stage for task in one.touched)
                touched[key] = one.touched
                left.setdefault(key, []).append(between)
        for key, disks in left.items():
            before = self._lives[0].crashes + 1
            explored = Crashes(self._lives[0].story, most=before + 1, but=touched[key])
            explored.explore(disks, crashes=before)
            self.states += explored.states
        return self
