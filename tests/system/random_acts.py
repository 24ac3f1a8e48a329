"""Renames, links and exchanges at random, of all that alice reaches in a spool whose folders she may replace; see `acts.py`.

What is called innocent she leaves alone: she touches the folders that it lies in, never the files. Most of what she moves aside she
puts back soon, so that jobs get on meanwhile.
"""

import collections
import itertools
import json
import os
import stat
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from random import Random

from tests.system.acts import exchange

INBOXES = ("1-text", "2-diffuse", "3-decode", "encode", "invert")
SHARED = (*(f"{kind}/{name}" for kind in ("inbox", "hold", "failed") for name in INBOXES),
          "embeddings", "running", "steps", "pictures", "previews")  # fmt: skip
FOLDERS = ("inbox", "hold", "failed", "done", ".work", ".keep", ".trash", *SHARED)
ENDINGS = (".txt", ".yaml", ".tiff", ".png", "_mask.png", "_neg.txt")
MOST_ASIDE = 2


class Member:
    """Her, with a seed; `targets` is a folder that she would like to reach."""

    def __init__(self, spool: Path, targets: Path, seed: int) -> None:
        self._spool, self._random, self._numbers = spool, Random(seed), itertools.count()
        self._targets = [targets, targets / "files", targets / "in", spool / "pictures", spool / "inbox/1-text", Path("nowhere")]
        self._aside: list[tuple[Path, Path]] = []  # where a folder belongs, and where it is
        self.done: collections.Counter[str] = collections.Counter()

    def act(self) -> None:
        """One rename, link or exchange; it counts where the system lets her do it."""
        way = Member._put_back if len(self._aside) >= MOST_ASIDE else self._random.choice(self._ways)
        with suppress(OSError):
            way(self)
            self.done[way.__name__.strip("_")] += 1

    def _rename_folder(self) -> None:
        place = self._real_folder()
        aside = self._new(place.parent)
        place.rename(aside)
        self._aside.append((place, aside))

    def _link_folder(self) -> None:
        place, _ = self._random.choice(self._aside or [(self._new(self._spool), None)])
        place.symlink_to(self._random.choice(self._targets))

    def _exchange_folder(self) -> None:
        place = self._real_folder()
        hers = self._new(place.parent)
        target = self._random.choice(self._targets)
        ways: list[Callable[[], object]] = [lambda: hers.symlink_to(target), lambda: hers.mkdir(), lambda: os.mkfifo(hers)]
        self._random.choice(ways)()
        exchange(place, hers)
        self._aside.append((place, hers))

    def _put_back(self) -> None:
        if not self._aside:
            raise OSError("there is nothing to put back")
        number = self._random.randrange(len(self._aside))
        place, aside = self._aside[number]
        exchange(place, aside) if os.path.lexists(place) else aside.rename(place)
        del self._aside[number]

    def _rename_file(self) -> None:
        file, folder = self._file(), self._folder()
        file.rename(folder / self._random.choice([file.name, f"hers{next(self._numbers)}{file.suffix}"]))

    def _link_file(self) -> None:
        name = self._folder() / f"hers{next(self._numbers)}{self._random.choice(ENDINGS)}"
        target = self._random.choice([*self._targets, self._targets[0] / "in/cat.txt", self._targets[0] / "files/secret"])
        ways: list[Callable[[], object]] = [lambda: name.symlink_to(target), lambda: name.hardlink_to(self._file())]
        self._random.choice(ways)()

    def _exchange_files(self) -> None:
        exchange(self._file(), self._file())

    def _exchange_with_a_fifo(self) -> None:
        file = self._file()
        fifo = file.with_name(f"hers{next(self._numbers)}{file.suffix}")
        os.mkfifo(fifo)
        exchange(file, fifo)

    _ways: tuple[Callable[["Member"], None], ...] = (
        _rename_folder, _link_folder, _exchange_folder, _put_back, _put_back,
        _rename_file, _link_file, _exchange_files, _exchange_with_a_fifo,
    )  # fmt: skip

    def _real_folder(self) -> Path:
        place = self._spool / self._random.choice(FOLDERS)
        if not stat.S_ISDIR(place.lstat().st_mode):
            raise OSError("it is hers already")
        return place

    def _folder(self) -> Path:
        return self._spool / self._random.choice(SHARED)

    def _file(self) -> Path:
        folder = self._folder()
        names = [name for name in os.listdir(folder) if "innocent" not in name]
        if not names:
            raise OSError("there is none")
        return folder / self._random.choice(names)

    def _new(self, folder: Path) -> Path:
        return folder / f"hers-{next(self._numbers)}"


def meddle(spool: str, targets: str, seed: str, count: str, seconds: str) -> None:
    """Do so many acts, spread over a time: the jobs are to run meanwhile. Print how many of which sort were done."""
    member = Member(Path(spool), Path(targets), int(seed))
    ends = time.monotonic() + 10 * float(seconds)
    while member.done.total() < int(count) and time.monotonic() < ends:
        before = member.done.total()
        member.act()
        if member.done.total() > before:
            time.sleep(float(seconds) / int(count))
    json.dump(member.done, sys.stdout)


if __name__ == "__main__":
    os.umask(0o007)
    meddle(*sys.argv[2:])
