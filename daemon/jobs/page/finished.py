"""The pictures that were finished today: the latest of them, each with its recipe and its way through the stages.

A picture that was seen once is not asked for its time again, and of those of other days only a number stays: a folder of very many
costs little more than its list.
"""

import heapq
import os
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from stat import S_ISREG

from daemon.beneath import Beneath
from daemon.inbox.telling_names import is_nobodys
from daemon.jobs.wording import Wording, wording_of
from daemon.layout import PICTURES
from daemon.names import base_of
from daemon.stages import RECORDED

SHOWN_AS = (".png", ".webp", ".jpg", ".jpeg")  # what a browser shows, the best first
MOST_READ = 20  # heads at one look


@dataclass(frozen=True)
class Finished:
    """One picture; `files` are its names in pictures/, that to be shown first, `at` is its time in nanoseconds of the epoch."""

    base: str
    files: tuple[str, ...]
    at: int
    wording: Wording


class FinishedPictures:
    """What is known of pictures/ from one look to the next; `is_behind` is whether heads are left to be read at the next one."""

    def __init__(self, root: Path, *, most: int) -> None:
        self.count, self.is_behind = 0, False
        self._beneath, self._folder, self._most = Beneath(root), root / PICTURES, most
        self._of_today: dict[str, tuple[int, str]] = {}  # the time of each file, and its name without the extension
        self._others = set[int]()  # hashes of names
        self._latest: dict[str, tuple[tuple[str, ...], int]] = {}
        self._midnight: int | None = None
        self._wordings: dict[str, Wording] = {}
        self._mark: tuple[int, int] | None = None
        self._is_sure = False

    def look(self, now: datetime) -> list[Finished]:
        """The latest pictures of the day, the latest first; `count` is how many there are."""
        midnight = int(now.replace(hour=0, minute=0, second=0, microsecond=0).timestamp() * 1e9)
        with suppress(OSError), self._beneath.folder(self._folder, os.O_RDONLY) as descriptor:
            found = os.fstat(descriptor)
            mark = found.st_ino, found.st_mtime_ns
            if mark != self._mark or not self._is_sure:
                # Times of folders are coarse: what came in the instant of the first look is seen by the second.
                self._is_sure, self._mark = mark == self._mark, mark
                self._list(descriptor, midnight)
                self._midnight = None
        if midnight != self._midnight:
            self._midnight = midnight
            self._latest = self._of_the_day(midnight)
        return self._with_wordings()

    def _of_the_day(self, midnight: int) -> dict[str, tuple[tuple[str, ...], int]]:
        """The files of the latest pictures and their time, by the name that they have in common."""
        pictures: dict[str, list[str]] = {}
        times: dict[str, int] = {}
        for name, (at, base) in self._of_today.items():
            if at >= midnight:
                pictures.setdefault(base, []).append(name)
                times[base] = max(at, times.get(base, at))
        self.count = len(pictures)
        latest = heapq.nlargest(self._most, times, key=times.__getitem__)
        return {base: (tuple(sorted(pictures[base], key=_rank)), times[base]) for base in latest}

    def _list(self, descriptor: int, midnight: int) -> None:
        names = set(os.listdir(descriptor))
        self._of_today = {name: known for name, known in self._of_today.items() if name in names and known[0] >= midnight}
        for name in names - self._of_today.keys():
            if hash(name) in self._others:
                continue
            with suppress(OSError):
                found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
                if found.st_ctime_ns >= midnight and S_ISREG(found.st_mode) and not is_nobodys(name):
                    self._of_today[name] = found.st_ctime_ns, base_of(name)
                else:
                    self._others.add(hash(name))

    def _with_wordings(self) -> list[Finished]:
        before, self._wordings, self.is_behind, left = self._wordings, {}, False, MOST_READ
        found = []
        for base, (names, at) in self._latest.items():
            wording = before.get(base)
            if wording is None and left:
                wording, left = self._wording(names), left - 1
            self.is_behind |= wording is None
            if wording is not None:
                self._wordings[base] = wording
            found.append(Finished(base, names, at, wording or Wording()))
        return found

    def _wording(self, names: tuple[str, ...]) -> Wording:
        recorded = next((name for name in names if Path(name).suffix.lower() in RECORDED), None)
        return Wording() if recorded is None else wording_of(self._beneath, self._folder / recorded)


def _rank(name: str) -> tuple[int, str]:
    suffix = Path(name).suffix.lower()
    return SHOWN_AS.index(suffix) if suffix in SHOWN_AS else len(SHOWN_AS), name
