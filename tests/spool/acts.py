"""What a member of the group may do in one moment to a spool in which no folder is hers, and how she undoes it.

In the spool's layout she may not rename the daemon's own folders; here she may. What she puts in the place of something lies
beside it, under its name and a tilde: what is the daemon's alone cannot be moved into another folder.
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from daemon.layout import PRIVATE
from tests.spool.disk import ROOT, Disk
from tests.spool.stories import TODAY

TARGET = "/outside"  # where links lead to
TILDE = "~"

Doing = Callable[[Disk], None]


@dataclass(frozen=True)
class Act:
    """She does it with `places` of the spool, and undoes it after so many operations of the daemon, or never; it cannot be done
    where OSError is raised."""

    name: str
    places: tuple[str, ...]
    does: Doing
    undoes: Doing | None = None
    lasts: tuple[int, ...] = ()


def _swap(place: str, make: Callable[[Disk, Path], None], what: str) -> Act:
    there, hers = ROOT / place, ROOT / f"{place}{TILDE}"

    def does(disk: Disk) -> None:
        make(disk, hers)
        disk.exchange(there, hers)

    return Act(f"{place} becomes {what}", (place,), does, lambda disk: disk.exchange(there, hers), lasts=(2,))


def _away(place: str) -> Act:
    there, hers = ROOT / place, ROOT / f"{place}{TILDE}"

    def undoes(disk: Disk) -> None:
        disk.rename_noreplace(hers, there)

    return Act(f"{place} goes away", (place,), lambda disk: disk.rename(there, hers), undoes, lasts=(1, 2, 3))


def _exchange(one: str, other: str) -> Act:
    # Not undone by her: what came in between she would have moved from one folder of people's to another, as anybody may.
    return Act(f"{one} and {other} change places", (one, other), lambda disk: disk.exchange(ROOT / one, ROOT / other))


def _link(place: str) -> Act:
    return Act(f"{place} is a link before it is made", (place,), lambda disk: disk.symlink(ROOT / place, f"{TARGET}/secret"))


def _replaced(place: str) -> Act:
    def does(disk: Disk) -> None:
        disk.unlink(ROOT / place)
        _to_file(disk, ROOT / place)

    return Act(f"{place} is replaced by a link", (place,), does)


def _to_folder(disk: Disk, path: Path) -> None:
    disk.symlink(path, TARGET)


def _to_file(disk: Disk, path: Path) -> None:
    disk.symlink(path, f"{TARGET}/secret")


OWN = tuple(sorted(PRIVATE))
SHARED = (
    *("inbox", "inbox/2-diffuse", "inbox/3-decode", "hold/2-diffuse"),
    *("pictures", "embeddings", "done", "failed", "failed/2-diffuse"),
)
MADE = (f"done/{TODAY}", "failed/2-diffuse/cat.a0000001")
WAITING = (
    *("inbox/2-diffuse/cat.tiff", "inbox/2-diffuse/cat_prompt.tiff", "inbox/2-diffuse/cat.yaml"),
    *("inbox/1-text/dog.txt", "inbox/3-decode/cat.00000000.tiff"),
    *("hold/2-diffuse/cat.3f9a1c2e.tiff", "hold/2-diffuse/cat.3f9a1c2e.proof.png", "hold/2-diffuse/cat.3f9a1c2e.apply"),
)
EXCHANGED = (
    *(("pictures", "done"), ("embeddings", "done"), ("inbox/1-text", "inbox/encode")),
    *((".work", ".trash"), (".work", ".keep"), (".work", "pictures"), (".keep", "embeddings")),
    *((".work", "done"), (".work", "failed"), (".work", "inbox"), (".trash", "done"), (".trash", "failed"), (".trash", "inbox")),
)
KINDS: dict[str, tuple[Act, ...]] = {
    "a folder becomes a link": tuple(_swap(place, _to_folder, "a link") for place in (*SHARED, *MADE, *OWN)),
    "a folder becomes one of hers": tuple(_swap(place, Disk.mkdir, "a folder of hers") for place in (*SHARED, *MADE, *OWN)),
    "a folder goes away": tuple(_away(place) for place in (*SHARED, *MADE, *OWN)),
    "two folders change places": tuple(_exchange(*pair) for pair in EXCHANGED),
    "a file that waits becomes a link": tuple(_swap(place, _to_file, "a link") for place in WAITING),
    "a file that waits becomes a FIFO": tuple(_swap(place, Disk.mkfifo, "a FIFO") for place in WAITING),
    "a report is replaced by a link": tuple(_replaced(f"{MADE[1]}/{name}") for name in ("error.txt", "error.json")),
    "a link lies where something comes": tuple(
        _link(place) for place in (*MADE, "pictures/cat.00000001.tiff", "embeddings/cat.tiff")
    ),
}
