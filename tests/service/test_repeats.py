"""Which files are the same drop again, which are asked for again, and for how long that is known."""

import ctypes
import errno
import os
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.inbox.grouping import Drop
from daemon.service.late_writers import LateWriters
from daemon.service.repeats import Repeats, Same, Wait, put_beside
from daemon.service.service import Service
from daemon.settings.config import Config
from daemon.spool.spool import Spool
from daemon.spool.transitions import Transitions
from tests.conftest import wait_until
from tests.service.test_late_writers import Meanwhile
from tests.service.test_service import config_of
from tests.spool.real import age, complete, drop, inbox_of
from tests.spool.stories import FOLDERS

UNLEASED, MINUTES = 5.0, 10.0
HOUR = 3600.0
FILES = {"cat.txt": b"a red house", "cat.yaml": b"steps: 3"}
SAME = "is the same file as done/"


class Clock:
    """The time of day, that a test may set."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.time() + self.ahead


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    (tmp_path / "spool").mkdir()
    spool = Spool(tmp_path / "spool", FOLDERS)
    spool.create()
    return spool


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def repeats(spool: Spool, clock: Clock) -> Repeats:
    config = Config.model_validate({"watch": {"settle_unleased_seconds": UNLEASED, "same_drop_minutes": MINUTES}})
    return Repeats(spool, lambda: config, clock=clock)


def dropped(spool: Spool, *names: str, content: bytes | None = None, age: float = HOUR) -> Drop:
    """Files in the inbox, saved so many seconds ago, as a scan offers them."""
    for name in names or FILES:
        path = drop(spool.root, name, FILES[name] if content is None else content, stage="text")
        os.utime(path, (time.time() - age,) * 2)
    return inbox_of(spool.root, "text").scan(0.0).ready[0]


def used(spool: Spool, *names: str) -> None:
    """Let a job use the files."""
    claim = spool.claim("text", dropped(spool, *names))
    assert claim
    spool.is_stable(claim)
    spool.note_contents(claim)
    complete(spool, claim)


def reason(verdict: Wait | Same | None) -> str:
    assert isinstance(verdict, Wait)
    return verdict.reason


def test_the_same_file_waits_and_says_what_it_waits_for_and_what_to_do(spool: Spool, repeats: Repeats) -> None:
    used(spool, "cat.txt")
    told = reason(repeats.look("text", dropped(spool, "cat.txt"), 0.0))
    assert told.startswith(SAME)
    assert told.endswith("; to run it again, save it anew, touch it, or give it another name")


def test_when_the_time_is_over_it_is_the_same_also_if_nobody_looked_meanwhile(spool: Spool, repeats: Repeats, clock: Clock) -> None:
    used(spool, "cat.txt")
    again = dropped(spool, "cat.txt")
    clock.ahead = MINUTES * 60 + HOUR
    verdict = repeats.look("text", again, 0.0)
    assert isinstance(verdict, Same)
    claim = spool.claim("text", again)
    assert claim
    assert put_beside(spool, claim, verdict.as_what)
    assert sorted(path.name for path in spool.root.glob("done/*/*")) == ["cat-2.txt", "cat.txt"]
    assert not list((spool.root / ".work").iterdir())
    assert not list(spool.root.glob("failed/*/*"))


def test_one_that_was_written_in_the_last_moment_goes_back(spool: Spool, repeats: Repeats, clock: Clock) -> None:
    used(spool, "cat.txt")
    again = dropped(spool, "cat.txt")
    clock.ahead = MINUTES * 60 + HOUR
    verdict = repeats.look("text", again, 0.0)
    assert isinstance(verdict, Same)
    again.principal.path.write_bytes(b"a big house")
    claim = spool.claim("text", again)
    assert claim
    assert not put_beside(spool, claim, verdict.as_what)
    assert again.principal.path.read_bytes() == b"a big house"


def test_one_that_comes_after_the_time_runs(spool: Spool, tmp_path: Path) -> None:
    config = Config.model_validate({"folder": tmp_path, "watch": {"same_drop_minutes": 0.001}})
    used(spool, "cat.txt")
    claimed = time.time()
    wait_until(lambda: time.time() > claimed + 0.1, what="the time is over")
    assert Repeats(spool, lambda: config).look("text", dropped(spool, "cat.txt"), 0.0) is None


def test_zero_minutes_run_everything(spool: Spool) -> None:
    config = Config.model_validate({"watch": {"same_drop_minutes": 0}})
    used(spool, "cat.txt")
    assert Repeats(spool, lambda: config).look("text", dropped(spool, "cat.txt"), 0.0) is None


def test_a_newer_one_waits_until_its_time_would_have_been_set_and_runs(spool: Spool, repeats: Repeats) -> None:
    used(spool, "cat.txt")
    again = dropped(spool, "cat.txt", age=-1.0)
    assert reason(repeats.look("text", again, 100.0)).endswith("its time may still be set")
    assert reason(repeats.look("text", again, 99.9 + UNLEASED)).endswith("its time may still be set")
    assert repeats.look("text", again, 100.0 + UNLEASED) is None
    os.utime(again.principal.path, (1e9, 1e9))
    assert reason(repeats.look("text", inbox_of(spool.root, "text").scan(0.0).ready[0], 101.0 + UNLEASED)).startswith(SAME)


def test_one_of_the_very_time_is_the_same_though_its_clock_goes_before_ours(spool: Spool, repeats: Repeats) -> None:
    path = drop(spool.root, "cat.txt", FILES["cat.txt"], stage="text")
    ahead = int((time.time() + HOUR) * 1e9)
    for _ in range(2):
        os.utime(path, ns=(ahead, ahead))
        found = inbox_of(spool.root, "text").scan(0.0).ready[0]
        verdict = repeats.look("text", found, 0.0)
        if verdict is None:
            claim = spool.claim("text", found)
            assert claim
            spool.is_stable(claim)
            spool.note_contents(claim)
            complete(spool, claim)
            path.write_bytes(FILES["cat.txt"])
    assert reason(verdict).startswith(SAME)


@pytest.mark.parametrize("name", ["cat.txt", "cat.TXT"])
def test_other_words_and_another_name_run_at_once(spool: Spool, repeats: Repeats, name: str) -> None:
    used(spool, "cat.txt")
    content = b"a big house" if name == "cat.txt" else FILES["cat.txt"]
    assert repeats.look("text", dropped(spool, name, content=content), 0.0) is None


def test_a_part_of_a_drop_is_the_same_and_more_than_it_is_not(spool: Spool, repeats: Repeats) -> None:
    used(spool)
    assert reason(repeats.look("text", dropped(spool, "cat.txt"), 0.0)).startswith(SAME)
    assert reason(repeats.look("text", dropped(spool), 0.0)).startswith(SAME)
    assert repeats.look("text", dropped(spool, "cat.yaml", content=b"steps: 4"), 0.0) is None


def test_of_several_the_one_with_the_same_content_is_meant(spool: Spool, repeats: Repeats) -> None:
    used(spool, "cat.txt")
    first = FILES["cat.txt"]
    claim = spool.claim("text", dropped(spool, "cat.txt", content=b"a big house"))
    assert claim
    spool.is_stable(claim)
    spool.note_contents(claim)
    complete(spool, claim)
    assert reason(repeats.look("text", dropped(spool, "cat.txt", content=first), 0.0)).startswith(SAME)


def test_while_the_first_runs_it_waits_for_that_and_runs_itself_where_that_fails(spool: Spool, repeats: Repeats) -> None:
    claim = spool.claim("text", dropped(spool, "cat.txt"))
    assert claim
    again = dropped(spool, "cat.txt")
    assert reason(repeats.look("text", again, 0.0)) == "has the name and the size of a file that is being read"
    spool.is_stable(claim)
    spool.note_contents(claim)
    assert reason(repeats.look("text", again, 0.0)) == "is the same as a file that runs already"
    spool.fail(claim, "It has failed.", {})
    assert repeats.look("text", again, 0.0) is None


def archived(spool: Spool, name: str = "cat.txt") -> Path:
    """Where a file lies in done/, once a copy of it would be younger by the clock of the filesystem."""
    (path,) = spool.root.glob(f"done/*/{name}")
    age(spool, path)
    return path


def moved_back(spool: Spool, path: Path) -> Drop:
    path.rename(spool.inbox("text") / "cat.txt")
    return inbox_of(spool.root, "text").scan(0.0).ready[0]


def without_statx(*_: object) -> int:
    """What a container that knows no such call answers."""
    ctypes.set_errno(errno.EPERM)
    return -1


@pytest.mark.parametrize("names", [["cat.txt"], ["cat.txt", "cat.yaml"]])
@pytest.mark.parametrize("meddle", [Path.unlink, lambda path: path.rename(path.with_name("mine.txt"))])
def test_a_copy_that_comes_when_the_first_has_left_done_is_the_same_brought_back(
    spool: Spool, repeats: Repeats, names: list[str], meddle: Callable[[Path], object]
) -> None:
    used(spool, *names)
    for name in names:
        meddle(archived(spool, name))
    told = reason(repeats.look("text", dropped(spool, *names), 0.0))
    assert told.startswith(
        f"{SAME}{date.today().isoformat()}/cat.txt, brought back after that was taken away (by Syncthing's Revert"
    )
    assert told.endswith("; to run it again, save it anew, touch it, or give it another name")


def test_what_was_brought_back_is_put_in_the_place_of_the_first(
    spool: Spool, repeats: Repeats, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    used(spool, "cat.txt")
    archived(spool).unlink()
    again = dropped(spool, "cat.txt")
    clock.ahead = MINUTES * 60 + HOUR
    verdict = repeats.look("text", again, 0.0)
    assert isinstance(verdict, Same)
    claim = spool.claim("text", again)
    assert claim
    with caplog.at_level("INFO"):
        assert put_beside(spool, claim, verdict.as_what)
    assert archived(spool).read_bytes() == FILES["cat.txt"]
    assert caplog.messages[-1].startswith("text cat.txt: put into done/, in the place of done/")


def test_what_was_brought_back_is_known_to_a_later_daemon_and_by_who_looks_after_late_writers(spool: Spool) -> None:
    used(spool, "cat.txt")
    archived(spool).unlink()
    LateWriters(spool, lambda _: 0.0).look(0.0)
    assert spool.recent.late(time.time()) == []
    later = Spool(spool.root, FOLDERS)
    later.recent.read()
    for one in (spool, later):
        told = reason(Repeats(one, Config).look("text", dropped(one, "cat.txt"), 0.0))
        assert "brought back" in told


def test_one_that_is_taken_away_before_its_job_is_over_is_known_all_the_same(
    spool: Spool, repeats: Repeats, monkeypatch: pytest.MonkeyPatch
) -> None:
    discard = Transitions.discard

    def taken_meanwhile(self: Transitions, job: Path) -> None:
        archived(spool).unlink()
        discard(self, job)

    monkeypatch.setattr(Transitions, "discard", taken_meanwhile)
    used(spool, "cat.txt")
    assert "brought back" in reason(repeats.look("text", dropped(spool, "cat.txt"), 0.0))


@pytest.mark.parametrize("number", [1, 2])
def test_the_first_one_moved_back_runs_also_where_another_lies_beside_it(spool: Spool, repeats: Repeats, number: int) -> None:
    for _ in range(number):
        used(spool, "cat.txt")
    assert repeats.look("text", moved_back(spool, archived(spool)), 0.0) is None


def test_one_of_two_files_moved_back_runs(spool: Spool, repeats: Repeats) -> None:
    used(spool)
    assert repeats.look("text", moved_back(spool, archived(spool)), 0.0) is None
    assert len(list(spool.root.glob("done/*/cat.yaml"))) == 1


def test_where_the_first_is_taken_away_while_its_copy_waits_the_copy_runs(spool: Spool, repeats: Repeats) -> None:
    used(spool, "cat.txt")
    copy = dropped(spool, "cat.txt")
    assert reason(repeats.look("text", copy, 0.0)).startswith(SAME)
    archived(spool).unlink()  # so move programs that copy
    assert repeats.look("text", copy, 10.0) is None


@pytest.mark.parametrize("libc", [SimpleNamespace(), SimpleNamespace(statx=without_statx)])
def test_where_nobody_says_when_a_file_was_made_one_whose_first_has_left_done_runs(
    spool: Spool, repeats: Repeats, monkeypatch: pytest.MonkeyPatch, libc: SimpleNamespace
) -> None:
    monkeypatch.setattr("daemon.beneath._LIBC", libc)
    used(spool, "cat.txt")
    assert spool.born(archived(spool)) is None
    archived(spool).unlink()
    assert repeats.look("text", dropped(spool, "cat.txt"), 0.0) is None


def test_a_first_one_of_the_future_is_none(spool: Spool, repeats: Repeats, clock: Clock) -> None:
    used(spool, "cat.txt")
    clock.ahead = -2 * HOUR
    assert repeats.look("text", dropped(spool, "cat.txt"), 0.0) is None


def test_a_file_that_cannot_be_read_is_left_to_its_job(spool: Spool, repeats: Repeats) -> None:
    used(spool, "cat.txt")
    again = dropped(spool, "cat.txt")
    again.principal.path.unlink()
    assert repeats.look("text", again, 0.0) is None


def test_once_runs_all_that_lies_there(tmp_path: Path) -> None:
    held: dict[str, Any] = {"stages": {"diffuse": {"hold": True}}, "previews": False}
    for number in (1, 2):
        service = Service(config_of(tmp_path, **held), engine=lambda options: Meanwhile(options, lambda: None))
        service.spool.create()
        dropped(service.spool, "cat.txt")
        assert service.run_once()
        assert len(list(service.spool.root.glob("hold/2-diffuse/cat.*.tiff"))) == number
