"""What people and later stages do to a spool between a crash and the recovery."""

from collections.abc import Callable, Iterator
from pathlib import Path

from tests.spool.crashes import Crashes
from tests.spool.disk import ROOT, Contents, Disk
from tests.spool.invariants import EDITED, is_waiting
from tests.spool.stories import AGAIN, Story

Meddler = Callable[[Story, Disk], set[bytes]]  # returns what it took out of the world


def nobody(_story: Story, _disk: Disk) -> set[bytes]:
    """The comparison: a crash alone."""
    return set()


def takes_the_results(story: Story, disk: Disk) -> set[bytes]:
    """The next stage, or a person, has moved what is published out of the spool's folders."""
    disk.mkdir(ROOT / "taken")
    for number, path in enumerate(_published(story, disk)):
        disk.rename(ROOT / path, ROOT / f"taken/{number}")
    return set()


def edits_the_results(story: Story, disk: Disk) -> set[bytes]:
    """A person has saved what is published with changes, in place."""
    for path in _published(story, disk):
        inode = disk.lstat(ROOT / path).st_ino
        disk.contents.files[inode] += EDITED
    return set()


def deletes_the_results(story: Story, disk: Disk) -> set[bytes]:
    """A person did not like what was published."""
    deleted = {disk.read(ROOT / path) for path in _published(story, disk)}
    for path in list(_published(story, disk)):
        disk.unlink(ROOT / path)
    return deleted


def drops_the_same_name(_story: Story, disk: Disk) -> set[bytes]:
    """A person has dropped another file under the name of the first, once that was claimed."""
    _put_if_free(disk, "inbox/2-diffuse/cat.tiff", AGAIN.drops["cat.tiff"])
    return set()


def takes_the_drop_back(story: Story, disk: Disk) -> set[bytes]:
    """A person has moved the drop to a hold folder, where all of it still lay in its inbox, or did so again."""
    waiting = [path for path in disk.contents.paths() if is_waiting(path)]
    if len(waiting) == len(story.tasks[0].drops):
        for path in waiting:
            disk.rename(ROOT / path, ROOT / "hold" / path.parts[1] / path.name)
    return set()


def approves_what_waits(story: Story, disk: Disk) -> set[bytes]:
    """A person has moved what lies on hold to its inbox, the sign too, where all of it still lay there, or did so again."""
    first = story.tasks[0]
    held = [Path(first.place_of(name)) for name in first.held]
    if set(held) <= disk.contents.paths().keys():
        for path in held:
            disk.rename(ROOT / path, ROOT / "inbox" / path.parts[1] / path.name)
    return set()


def removes_the_folders(_story: Story, disk: Disk) -> set[bytes]:
    """A person has tidied up: every empty folder that results go to is gone, and every one in hold/."""
    for path in ("pictures", ".keep", "embeddings", "done", "failed/2-diffuse", "hold/2-diffuse"):
        if not disk.list(ROOT / path):
            disk.rmdir(ROOT / path)
    return set()


MEDDLERS: tuple[Meddler, ...] = (
    nobody,
    takes_the_results,
    edits_the_results,
    deletes_the_results,
    drops_the_same_name,
    takes_the_drop_back,
    approves_what_waits,
    removes_the_folders,
)
MEDDLED = ("three outputs", "pair and settings", "failing", "applied", "a proof goes along")


def meddled_with(story: Story, meddler: Meddler) -> Crashes:
    """A crash anywhere, the meddler, a recovery that may crash anywhere too: the states, none bad."""
    told = Story((*story.tasks, AGAIN), **{key: value for key, value in vars(story).items() if key != "tasks"})
    crashed = Crashes(told, most=1)
    crashed.explore([story.world().contents])
    beginnings: dict[frozenset[bytes], list[Contents]] = {}
    for contents in crashed.met.values():
        disk = Disk(contents)
        beginnings.setdefault(frozenset(meddler(told, disk)), []).append(disk.contents)
    all_states = Crashes(told, most=2)
    for deleted, disks in beginnings.items():
        part = Crashes(told, most=2, deleted=deleted)
        part.explore(disks, crashes=1)
        all_states.met |= part.met
    return all_states


def _published(story: Story, disk: Disk) -> Iterator[Path]:
    results = {content for task in story.tasks for content in task.results}
    return (path for path, content in disk.contents.paths().items() if content in results and path.parts[0] != ".work")


def _put_if_free(disk: Disk, path: str, content: bytes) -> None:
    if Path(path) not in disk.contents.paths():
        disk.put(path, content)
