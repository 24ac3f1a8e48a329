"""The disks that a power cut can leave, of what was written to a disk, and in which order.

What came before a flush that is over is there, and so is a write with FUA. Of the writes since then these choices are tried:

- after each write and at each mark: all up to there; none but those with FUA;
- after each write: all up to it, but of it only the first half;
- before each flush: each write missing alone, each there alone, and `CHOICES` choices by lot.

A disk is taken to write a block of `WHOLE` bytes as one, as ext4 does: of half a commit record in its journal the kernel says that
the filesystem is corrupt, and does not mount it.
"""

import random
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from tests.spool.replay.log import SECTOR, Entry

CHOICES = 8
WHOLE = 4096


class Image:
    """The sectors of a disk that differ from what it began with; `key` is the same where they are."""

    def __init__(self) -> None:
        self.sectors: dict[int, bytes] = {}
        self.key = 0

    def with_all(self, entries: Iterable[Entry]) -> "Image":
        image = Image()
        image.sectors, image.key = dict(self.sectors), self.key
        for entry in entries:
            image._write(entry)
        return image

    def _write(self, entry: Entry) -> None:
        for number, start in enumerate(range(0, len(entry.content), SECTOR), entry.sector):
            old, new = self.sectors.get(number), entry.content[start : start + SECTOR]
            self.sectors[number] = new
            self.key ^= hash((number, new)) ^ (0 if old is None else hash((number, old)))


@dataclass(frozen=True)
class Cut:
    """A disk, the last mark before the cut, and in words what it left of the writes that no flush had made safe."""

    image: Image
    mark: str
    left: str


def cuts(log: Iterable[Entry], *, seed: int = 0) -> Iterator[Cut]:
    """Each cut; many leave the same disk."""
    lot = random.Random(seed)
    safe, loose, mark = Image(), list[Entry](), ""
    yield Cut(safe, mark, "all")
    for entry in log:
        if entry.mark is not None:
            mark = entry.mark
            yield from _ends(safe, loose, mark)
        if entry.flush:
            yield from (Cut(safe.with_all(some), mark, left) for some, left in _choices(loose, lot))
            safe, loose = safe.with_all(loose), []
        if entry.content:
            yield from (Cut(safe.with_all([*loose, half]), mark, "half of the last") for half in _half(entry))
            loose.append(entry)
            yield from _ends(safe, loose, mark)
    yield from (Cut(safe.with_all(some), mark, left) for some, left in _choices(loose, lot))


def _ends(safe: Image, loose: Sequence[Entry], mark: str) -> Iterator[Cut]:
    yield Cut(safe.with_all(loose), mark, "all")
    yield Cut(safe.with_all(entry for entry in loose if entry.fua), mark, "none")


def _half(entry: Entry) -> Iterator[Entry]:
    blocks = len(entry.content) // WHOLE
    if blocks > 1:
        yield Entry(entry.sector, entry.content[: blocks // 2 * WHOLE])


def _choices(entries: Sequence[Entry], lot: random.Random) -> Iterator[tuple[list[Entry], str]]:
    """Some of the writes, and always those with FUA."""
    for alone in (entry for entry in entries if not entry.fua):
        yield [entry for entry in entries if entry is not alone], "all but one"
        yield [entry for entry in entries if entry.fua or entry is alone], "one"
    for _ in range(CHOICES if len(entries) > 2 else 0):
        yield [entry for entry in entries if entry.fua or lot.random() < 0.5], "some"
