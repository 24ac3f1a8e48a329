"""The first of what `tiffsd list` says, kept up to date for status.json and the page at little cost, however much lies there.

A folder is listed again when its time has changed, the head of a file is read again when the file has. Of very many files the times
are asked once, and those that come later are younger: only where most of the first have gone on all are asked again.
"""

import heapq
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from daemon.beneath import Beneath
from daemon.jobs.heads import Heads, Version
from daemon.jobs.listing import KINDS, Listed, Place, Why, explained, places, running_entries, with_commands
from daemon.jobs.running import Running, user_name
from daemon.jobs.wording import PASSING, Inside, Wording, inside_of, wording_of

FIRST = 20  # of each kind
MOST_READ = 2 * FIRST  # heads, and reports of failed jobs, of one kind at one look
KNOWN = 500  # of each folder, so that all times are asked once for so many that have gone on
LONGEST_WORDS, LONGEST_REASON = 200, 500  # characters

OwnerOf = Callable[[os.stat_result], int | None]


@dataclass(frozen=True)
class First:
    """The first of a kind, the oldest first, of what is done the latest; and how many more there are."""

    first: tuple[Listed, ...]
    more: int

    def cut_to(self, most: int, *, latest: bool = False) -> "First":
        """The first of these first, or the latest."""
        kept = self.first[-most:] if latest else self.first[:most]
        return First(kept, self.more + len(self.first) - len(kept))


class Overview:
    """What is known of one spool from one look to the next; `first` is how many of a kind are told, `heads` are read already.

    `is_behind` is whether heads are left to be read at the next look, so that one look never takes long.
    """

    def __init__(self, root: Path, *, first: int = FIRST, heads: Heads | None = None) -> None:
        self.is_behind = False
        self._most, self._left = first, MOST_READ
        self._beneath, self._heads = Beneath(root), heads
        self._by_path: dict[str, tuple[Path, Wording]] = {}
        self._made: dict[Path, tuple[tuple[object, ...], Listed]] = {}  # of the last look; and of the one that goes on
        self._making: dict[Path, tuple[tuple[object, ...], Listed]] = {}
        self._known: dict[Place, _Known] = {}
        self._said: dict[Version, Wording] = {}
        self._inside: dict[Version, Inside] = {}  # of failed jobs
        self._emptied = 0  # of those that were asked for at this look

    def look(self, running: Sequence[Running], *, why: Why, owner_of: OwnerOf = lambda _: None) -> dict[str, First]:
        """The first of each kind; `running` is what runs, `owner_of` tells for whom a file of the daemon's was made."""
        before, self._known = self._known, {}
        said, inside = self._said, self._inside
        self._said, self._inside, self._by_path = {}, {}, {}
        self.is_behind = False
        found = {}
        for kind in KINDS:
            if kind == "running":
                found[kind] = _first(running_entries(self._beneath, running[: self._most]), len(running))
                continue
            known = [before.get(place) or _Known(place) for place in places(self._beneath.root, kind)]
            self._known |= {one.place: one for one in known}
            for one in known:
                one.look(self._beneath)
            self._left, self._emptied = MOST_READ, 0
            entries = (explained(entry, why) for entry in self._entries(known, said, inside, owner_of))
            first = [*entries]
            found[kind] = _first(iter(first), sum(one.count for one in known) - self._emptied)
        self._made, self._making = self._making, {}
        return found

    def said_of(self, entry: Listed) -> tuple[Path | None, Wording]:
        """The file that speaks for what the last look told, and all that it says of itself."""
        return self._by_path.get(entry.path, (None, Wording()))

    def _entries(
        self,
        known: "list[_Known]",
        said: dict[Version, Wording],
        inside: dict[Version, Inside],
        owner_of: OwnerOf,
    ) -> Iterator[Listed]:
        choose = heapq.nlargest if known[0].place.kind == "done" else heapq.nsmallest
        lying = ((time, name, one.place) for one in known for name, time in one.times.items())
        with ExitStack() as stack:
            opened: dict[Place, int] = {}
            for _time, name, place in choose(self._most, lying):
                with suppress(OSError):  # it has gone on since its folder was listed
                    if place not in opened:
                        opened[place] = stack.enter_context(self._beneath.folder(place.folder))
                    found = os.stat(name, dir_fd=opened[place], follow_symlinks=False)
                    entry = self._entry(place, name, found, said, inside, owner_of(found))
                    if entry is not None:
                        yield entry

    def _entry(
        self,
        place: Place,
        name: str,
        found: os.stat_result,
        said: dict[Version, Wording],
        inside: dict[Version, Inside],
        owner: int | None,
    ) -> Listed | None:
        path = place.folder / name
        within = self._within(path, found, inside) if place.kind == "failed" else Inside(path)
        if within.is_emptied:
            self._emptied += 1
            return None
        speaks, reason = within.speaks, within.sentence
        wording = self._wording(speaks, found if speaks is path else None, said)
        key = (*_version(found), found.st_ctime_ns, found.st_uid, owner, reason, wording)
        known = self._made.get(path)
        if known is None or known[0] != key:
            entry = place.entry(name, found, wording)
            entry = replace(entry, reason=reason or entry.reason, goes_elsewhere=within.goes_elsewhere)
            known = key, replace(entry, owner=entry.owner if owner is None else user_name(owner))
        self._making[path] = known
        if speaks is not None:
            self._by_path[known[1].path] = speaks, wording
        return known[1]

    def _within(self, folder: Path, found: os.stat_result, inside: dict[Version, Inside]) -> Inside:
        version = _version(found)
        if version not in inside:
            if not self._may_read():
                return Inside()
            inside[version] = inside_of(self._beneath, folder)
        self._inside[version] = inside[version]
        return inside[version]

    def _wording(self, path: Path | None, found: os.stat_result | None, said: dict[Version, Wording]) -> Wording:
        """What a file says of itself: read once, while it stays as it is and nothing is in the way."""
        if path is None:
            return Wording()
        version = _version(found or self._beneath.lstat(path))
        known = said.get(version)
        if known is None and not self._may_read():
            return Wording()
        wording = known or wording_of(self._beneath, path, self._heads)
        if wording.unread not in PASSING:
            self._said[version] = wording
        return wording

    def _may_read(self) -> bool:
        self._left -= 1
        self.is_behind |= self._left < 0
        return self._left >= 0


def _first(entries: Iterator[Listed], count: int) -> First:
    """So many of a kind, their words cut; where there are more, the commands call them by their whole names."""
    found = sorted(entries, key=lambda entry: (entry.since, entry.path))
    more = max(0, count - len(found))
    return First(tuple(_cut(entry) for entry in with_commands(found, all_of_them=not more)), more)


def _cut(entry: Listed) -> Listed:
    long = {"prompt": LONGEST_WORDS, "unread": LONGEST_WORDS, "reason": LONGEST_REASON}
    if all(len(getattr(entry, key)) <= most for key, most in long.items()):
        return entry
    cut: dict[str, Any] = {key: _shortened(getattr(entry, key), most) for key, most in long.items()}
    return replace(entry, **cut)


def _shortened(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[:most]}..."


def _version(found: os.stat_result) -> Version:
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


class _Known:
    """The names in one folder that come first, with their times in nanoseconds, and how many there are in all."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.times: dict[str, int] = {}
        self.count = 0
        self._beside = 0
        self._mark: tuple[int, int, int] | None = None
        self._is_sure = False

    def look(self, beneath: Beneath) -> None:
        """List the folder, if it has changed."""
        try:
            with beneath.folder(self.place.folder, os.O_RDONLY) as descriptor:
                found = os.fstat(descriptor)
                mark = (found.st_dev, found.st_ino, found.st_mtime_ns)
                if mark == self._mark and self._is_sure:
                    return
                # Times of folders are coarse: what came in the instant of the first look is seen by the second.
                self._mark, self._is_sure = mark, mark == self._mark
                self._list(descriptor)
        except OSError:  # not there
            self.times, self.count, self._mark = {}, 0, None

    def _list(self, descriptor: int) -> None:
        names = set(os.listdir(descriptor))
        times = {name: time for name, time in self.times.items() if name in names}
        if self.place.kind != "done" and len(self.times) < self.count and len(times) >= FIRST:
            self.times, self.count = times, max(len(times), len(names) - self._beside)
            return
        for name in filter(self.place.lists, names - times.keys()):
            with suppress(OSError):
                times[name] = os.stat(name, dir_fd=descriptor, follow_symlinks=False).st_ctime_ns
        choose = heapq.nlargest if self.place.kind == "done" else heapq.nsmallest
        self.count, self._beside = len(times), len(names) - len(times)
        self.times = {name: times[name] for name in choose(KNOWN, times, key=times.__getitem__)}
