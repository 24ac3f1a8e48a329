"""Whatever a member renames, links or exchanges, at whatever operation: nothing outside is touched, and nothing is lost."""

from pathlib import Path
from typing import Any

import pytest

from tests.spool.acts import KINDS, TARGET, Act
from tests.spool.disk import TOP, Disk
from tests.spool.members import LIVES, OUTSIDE, Members, after_a_crash, beginnings
from tests.thorough import mostly_thorough

ALL = tuple(act for acts in KINDS.values() for act in acts)


def _named(*starts: str) -> list[Act]:
    return [act for act in ALL if act.name.startswith(starts)]


@pytest.mark.parametrize("kind", KINDS)
def test_what_a_member_does_at_an_operation_ends_well(kind: str) -> None:
    name = "failed and retried" if "report" in kind else "three outputs"
    tried = Members(beginnings(name), KINDS[kind]).try_all(every=31)
    assert tried.survived > 0
    assert tried.states > 0


@pytest.mark.parametrize(
    "name", mostly_thorough(sorted(set(LIVES) - {"three outputs"}), always=("failed and retried", "hold", "two jobs").__contains__)
)
def test_what_a_member_does_in_other_stories_ends_well(name: str) -> None:
    assert Members(beginnings(name), ALL).try_all(every=101 if "give back" in LIVES[name] else 211).survived > 20


def test_what_a_member_does_after_a_crash_ends_well() -> None:
    assert Members(after_a_crash("three outputs"), ALL).try_all(every=9973).survived > 30


class FollowsLinks(Disk):
    """The first guard is gone: a walk, and an open, go where links lead to."""

    harm = "outside the spool"

    def _stepped(self, inode: int, path: Path) -> int:
        return super()._stepped(self._followed(inode), path)

    def _opened(self, inode: int, path: Path) -> int:
        return super()._opened(self._followed(inode), path)

    def _followed(self, inode: int) -> int:
        if inode not in self.contents.links:
            return inode
        inside = self.contents.links[inode].removeprefix(TARGET).strip("/")
        return self.contents.folders[OUTSIDE][inside] if inside else OUTSIDE


class AsksNobody(Disk):
    """The second guard is gone: nobody asks whose the daemon's own folders are."""

    harm = "used a folder of hers as its own"

    def _check_owner(self, *_args: object, **_named: object) -> None:
        return


class TakesForGone(Disk):
    """The third guard is gone: what lies in a folder that is out of reach counts as gone. `FolderMissing` is not told apart."""

    harm = "left over|failed"

    def _folder(self, path: Path) -> int:
        try:
            return super()._folder(path)
        except FileNotFoundError as error:
            raise FileNotFoundError(*error.args) from error


GUARDS: dict[str, tuple[Any, str]] = {
    "no link is followed on the way to an inbox": (FollowsLinks, "inbox becomes a link"),
    "no link is followed to where results go": (FollowsLinks, "pictures becomes a link"),
    "no link is followed to where used files go": (FollowsLinks, "done becomes a link"),
    "no link is followed to the daemon's own folder": (FollowsLinks, ".work becomes a link"),
    "no link is followed where jobs are deleted": (FollowsLinks, ".trash becomes a link"),
    "no file is opened through a link": (FollowsLinks, "failed/2-diffuse/cat.a0000001/error.json is replaced"),
    "no folder of hers holds claimed files": (AsksNobody, ".work becomes a folder of hers"),
    "no folder of hers holds what is deleted": (AsksNobody, ".trash becomes a folder of hers"),
    "no folder of hers holds kept originals": (AsksNobody, ".keep becomes a folder of hers"),
    "nothing is taken for gone that is out of reach": (TakesForGone, ".work goes away"),
}


@pytest.mark.parametrize("guard", GUARDS)
def test_without_the_guard_the_attack_succeeds(guard: str) -> None:
    kind, act = GUARDS[guard]
    name = "failed and retried" if act.startswith("failed") else "three outputs"
    attack = Members(beginnings(name), _named(act), kind=kind)
    with pytest.raises(AssertionError, match=kind.harm):
        attack.try_all()


def test_an_act_that_is_undone_at_once_leaves_the_disk_as_it_was() -> None:
    (beginning,) = beginnings("two jobs")
    for act in ALL:
        disk = Disk(beginning.contents)
        before = dict(disk.contents.folders[TOP])
        if act.undoes is not None and beginning.meets(act):
            with disk.by("member"):
                try:
                    act.does(disk)
                except FileNotFoundError:
                    continue
                assert disk.contents.key() != beginning.contents.key(), act.name
                act.undoes(disk)
            assert before.items() <= disk.contents.folders[TOP].items(), act.name
