"""No crash loses an input, doubles an output or shows half of one: on the disk in memory every one and every pair, on a real one
every one."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from daemon.spool.claims import record_of_drop
from daemon.spool.filesystem import Filesystem
from daemon.spool.records import ClaimRecord
from daemon.spool.spool import Spool
from tests.spool.crashes import Crashes
from tests.spool.invariants import Found, check_always, check_end
from tests.spool.mortal import Crash, Mortal
from tests.spool.prove import crashes
from tests.spool.stories import FOLDERS, STORIES, Story, live

IN_PAIRS = ("three outputs", "pair and settings", "failing", "out of attempts", "applied")  # `prove` takes the others in pairs too
ON_A_REAL_DISK = ("two outputs", "failing", "applied", "a proof goes along")


@pytest.mark.parametrize("name", IN_PAIRS)
def test_every_crash_and_every_crash_in_the_recovery_ends_well(name: str) -> None:
    explored = crashes(STORIES[name])
    assert len(explored.first_steps) > 90
    assert explored.pairs > 5000


@pytest.mark.parametrize("name", sorted(set(STORIES) - set(IN_PAIRS)))
def test_every_crash_ends_well(name: str) -> None:
    explored = Crashes(STORIES[name], most=1)
    explored.explore([STORIES[name].world().contents])
    assert len(explored.first_steps) > 70


def test_a_protocol_that_publishes_by_copying_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def copy(self: Filesystem, source: Path, target: Path) -> None:
        with self.create(target) as file:
            self.write(file, self.read(source))
        self.unlink(source)

    monkeypatch.setattr("tests.spool.disk.Disk.rename_noreplace", copy)
    with pytest.raises(AssertionError, match=r"torn|holds something else|is published|is there"):
        crashes(STORIES["one output"])


def test_a_protocol_that_forgets_its_decision_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.spool.records.read_commit", lambda *_: None)
    with pytest.raises((AssertionError, RuntimeError)):
        crashes(STORIES["one output"])


@pytest.mark.parametrize("name", ON_A_REAL_DISK)
def test_a_crash_at_every_call_on_a_real_disk_ends_well(name: str, worlds: Path) -> None:
    story = STORIES[name]
    crashed, end = True, 0
    while crashed:
        end += 1
        root = _world(story, worlds / str(end))
        crashed = _crashes(story, root, end=end)
        check_always(story, _found(root))
        live(story, Mortal(root, 10**6), root, way=story.last)
        check_end(story, _found(root))
    assert end > 80


def _world(story: Story, root: Path) -> Path:
    Spool(root, FOLDERS).create()
    for path, content in story.world().contents.paths().items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def _crashes(story: Story, root: Path, *, end: int) -> bool:
    try:
        live(story, Mortal(root, end), root, way=story.ways[0])
    except Crash:
        return True
    return False


def _found(root: Path) -> Found:
    return {path.relative_to(root): path.read_bytes() for path in root.rglob("*") if path.is_file()}


def test_a_protocol_that_puts_what_was_on_hold_into_an_inbox_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    def forgetful(*args: Any, **named: Any) -> ClaimRecord:
        return replace(record_of_drop(*args, **named), places={})

    monkeypatch.setattr("daemon.spool.spool.record_of_drop", forgetful)
    with pytest.raises(AssertionError, match=r"the files of one job are in|as if somebody had approved it"):
        crashes(STORIES["applied"])


def test_the_states_after_a_crash_are_looked_at() -> None:
    story = STORIES["one output"]
    explored = Crashes(story)
    disk = story.world()
    disk.unlink(next(Path("/spool") / path for path in disk.contents.paths()))
    with pytest.raises(AssertionError, match="is there 0 times"):
        explored.explore([disk.contents])
