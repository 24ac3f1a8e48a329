"""What is remembered of drops: by whom they are known again, for how many, and what of it can be believed."""

import io
import json
import os
import shutil
import signal
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import pytest

from daemon.inbox.grouping import Drop
from daemon.layout import RECENT
from daemon.spool.filesystem import Filesystem
from daemon.spool.recent import LATE_SECONDS, MOST_KNOWN, RecentDrops, digest_of
from daemon.spool.spool import Spool
from tests.spool.real import age, claim_one, complete, drop, inbox_of
from tests.spool.stories import FOLDERS

FILES = {"cat.txt": b"a red house", "cat.yaml": b"steps: 3"}


def dropped(root: Path, files: Mapping[str, bytes] = FILES) -> Drop:
    """Files in the inbox, as a scan offers them."""
    for name, content in files.items():
        drop(root, name, content, stage="text")
    scan = inbox_of(root, "text").scan(0.0)
    return [*scan.ready, *(refusal.drop for refusal in scan.refused)][0]


def used(spool: Spool, files: Mapping[str, bytes] = FILES) -> None:
    """Let a job read the files and end."""
    dropped(spool.root, files)
    claim = claim_one(spool, "text")
    spool.is_stable(claim)
    spool.note_contents(claim)
    complete(spool, claim)


def failed(spool: Spool, files: Mapping[str, bytes]) -> Path:
    claim = spool.claim("text", dropped(spool.root, files))
    assert claim
    spool.is_stable(claim)
    return spool.fail(claim, "It is empty.", {})


def later(root: Path) -> RecentDrops:
    recent = RecentDrops(root, Filesystem(root))
    recent.read()
    return recent


def test_what_was_used_is_known_again_by_its_names_and_sizes_also_by_a_later_daemon(root: Path, spool: Spool) -> None:
    used(spool)
    again = dropped(root)
    for recent in (spool.recent, later(root)):
        (past,) = recent.alike("text", again)
        assert (past.stem, past.place.split("/")[0], past.late, past.runs) == ("cat", "done", True, False)
        assert {role: file.lies for role, file in past.members.items()} == {"principal": "cat.txt", ".yaml": "cat.yaml"}
        assert past.members["principal"].sha256 == spool.digest(again.principal.path)
        assert recent.alike("diffuse", again) == []
    assert (root / RECENT).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("files", "known"),
    [({"cat.txt": b"A RED HOUSE"}, True), ({"cat.txt": b"a red hous"}, False), ({"cat.yaml": b"steps: 3", "dog.txt": b"x"}, False),
     ({"cat.txt": b"a red house", "cat.yaml": b"steps: 33"}, False), ({"cat.txt": b"a red house", "cat_neg.txt": b"x"}, False)],
)  # fmt: skip
def test_a_part_of_what_was_used_is_alike_and_more_or_other_sizes_are_not(
    root: Path, spool: Spool, files: dict[str, bytes], known: bool
) -> None:
    used(spool)
    assert bool(spool.recent.alike("text", dropped(root, files))) is known


def test_what_runs_is_known_from_its_claim_on_until_it_goes_back(root: Path, spool: Spool) -> None:
    again = dropped(root)
    claim = spool.claim("text", again)
    assert claim
    assert [past.runs for past in spool.recent.alike("text", again)] == [True]
    spool.give_back(claim)
    assert spool.recent.alike("text", again) == []


def test_what_has_failed_is_remembered_where_somebody_may_still_write_it(root: Path, spool: Spool) -> None:
    folder = failed(spool, {"cat.txt": b"words"})
    (past,) = later(root).late((root / RECENT).stat().st_mtime)
    assert (past.has_failed, past.late, root / past.place) == (True, True, folder)


@pytest.mark.usefixtures("_ignored_sigio")
def test_what_a_lease_shows_nobody_to_write_is_not_looked_at_again(root: Path, spool: Spool) -> None:
    failed(spool, {"cat.txt": b"words"})
    assert not (root / RECENT).exists()
    used(spool)
    assert [past.late for past in spool.recent.alike("text", dropped(root))] == [False]


@pytest.fixture
def _ignored_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


def test_nobody_writes_late_for_ever(root: Path, spool: Spool) -> None:
    used(spool)
    (past,) = spool.recent.alike("text", dropped(root))
    assert spool.recent.late(past.at + LATE_SECONDS - 1) == [past]
    assert spool.recent.late(past.at + LATE_SECONDS + 1) == []
    assert spool.recent.late(past.at - 2 * LATE_SECONDS) == []  # the clock was set back


def test_an_empty_failure_is_withdrawn_and_nothing_else_is(root: Path, spool: Spool) -> None:
    folder = failed(spool, {"cat.txt": b""})
    (past,) = spool.recent.empty_failures("text", "cat.txt")
    assert spool.withdraw(past)
    assert not folder.exists()
    assert [path.read_bytes() for path in root.glob("done/*/cat.txt")] == [b""]
    assert not list((root / ".work").iterdir())
    for meddle in (
        lambda path: (path / "cat.txt").write_bytes(b"filled"),
        lambda path: (path / "mine.txt").write_bytes(b""),
        lambda path: (path / "cat.txt").rename(root / "elsewhere"),
    ):
        folder = failed(spool, {"cat.txt": b""})
        meddle(folder)
        assert not spool.withdraw(spool.recent.empty_failures("text", "cat.txt")[0])
        assert (folder / "error.txt").exists()


def test_what_lies_in_the_place_of_an_earlier_file_is_the_later_ones(root: Path, spool: Spool) -> None:
    used(spool, {"cat.txt": b"a red"})
    (done,) = root.glob("done/*/cat.txt")
    done.unlink()
    used(spool, {"cat.txt": b"a red house"})
    now = (root / RECENT).stat().st_mtime
    for recent in (spool.recent, later(root)):
        assert [past.members["principal"].mark[1] for past in recent.late(now)] == [len(b"a red house")]
        assert recent.alike("text", dropped(root, {"cat.txt": b"a red"})) == []


def test_torn_and_foreign_lines_are_passed_over(root: Path, spool: Spool) -> None:
    used(spool)
    good = (root / RECENT).read_text()
    outside = [json.loads(good) for _ in range(4)]
    outside[0]["place"] = "done/../../etc"
    outside[1]["members"]["principal"]["lies"] = "../cat.txt"
    outside[2]["place"] = "pictures"
    outside[3]["members"]["principal"]["mark"] = [1, 2]
    lines = ["[]", "7", "{}", *map(json.dumps, outside), good.strip(), good[:50]]
    (root / RECENT).write_text("\n".join(lines))
    recent = later(root)
    assert len(recent.alike("text", dropped(root))) == 1
    assert len(recent.late(json.loads(good)["at"])) == 1


def test_lines_of_an_earlier_version_count(root: Path, spool: Spool) -> None:
    used(spool)
    lines = [json.loads(line) for line in (root / RECENT).read_text().splitlines()]
    for line in lines:
        for file in line["members"].values():
            assert file.pop("born") > 0
    (root / RECENT).write_text("\n".join(map(json.dumps, lines)))
    (past,) = later(root).alike("text", dropped(root))
    assert {file.born for file in past.members.values()} == {None}


def test_of_what_has_left_done_no_later_file_in_its_place_is_forgotten(root: Path, spool: Spool) -> None:
    used(spool)
    (first,) = spool.recent.late((root / RECENT).stat().st_mtime)
    for path in root.glob("done/*/*"):
        path.unlink()
    used(spool)
    spool.recent.gone(first)
    (past,) = spool.recent.alike("text", dropped(root))
    assert past.late
    assert past.at > first.at


def test_a_file_keeps_the_time_of_its_making_whatever_is_done_to_it_and_a_copy_has_its_own(root: Path, spool: Spool) -> None:
    path = drop(root, "cat.txt", b"a red house", stage="text")
    born = spool.born(path)
    assert born
    age(spool, path)
    copy = root / "inbox/1-text/copy.txt"
    shutil.copy2(path, copy)
    path.write_bytes(b"a big house")
    os.utime(path, (1e9, 1e9))
    moved = path.rename(root / "inbox/2-diffuse/dog.txt")
    assert spool.born(moved) == born
    assert (spool.born(copy) or 0) > born
    copy.unlink()
    copy.symlink_to(moved)
    assert spool.born(copy) != born
    with pytest.raises(FileNotFoundError):
        spool.born(path)


def test_the_memory_does_not_grow_for_ever(root: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.spool.recent.MOST_KNOWN", 5)
    used(spool)
    again = dropped(root)
    (past,) = spool.recent.alike("text", again)
    for number in range(40):
        spool.recent.add(replace(past, at=float(number), place=f"done/{number}"))
        assert len((root / RECENT).read_text().splitlines()) <= 10
    for recent in (spool.recent, later(root)):
        assert [drop.at for drop in recent.alike("text", again)] == [39.0, 38.0, 37.0, 36.0, 35.0]
    assert MOST_KNOWN >= 5_000, "a thousand files at each stage"


def test_what_cannot_be_written_is_done_without(root: Path, spool: Spool) -> None:
    (root / RECENT).mkdir()
    used(spool)
    assert spool.recent.alike("text", dropped(root))
    assert later(root).alike("text", dropped(root)) == []


def test_files_are_taken_back_whole_under_their_names(root: Path, spool: Spool) -> None:
    used(spool)
    (past,) = spool.recent.late((root / RECENT).stat().st_mtime)
    spool.take_back(past)
    assert {path.name: path.read_bytes() for path in (root / "inbox/1-text").iterdir()} == FILES
    assert not list(root.glob("done/*/*"))
    assert not list((root / ".work").iterdir())
    assert spool.recent.late(past.at) == []


def test_a_crash_while_files_are_taken_back_leaves_them_to_be_run(
    root: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Crash(BaseException):
        pass

    def crash(*_: object) -> None:
        raise Crash

    used(spool)
    (past,) = spool.recent.late((root / RECENT).stat().st_mtime)
    monkeypatch.setattr(Spool, "give_back", crash)
    with pytest.raises(Crash):
        spool.take_back(past)
    monkeypatch.undo()
    (claim,) = Spool(root, FOLDERS).recover().claims
    assert {path.name: path.read_bytes() for path in claim.members.values()} == FILES


def test_a_crash_in_the_middle_of_that_leaves_nothing_that_could_start_alone(root: Path) -> None:
    class Crash(BaseException):
        pass

    class Dying(Filesystem):
        dies = False

        def rename(self, source: Path, target: Path) -> None:
            if self.dies and source.name == "cat.txt":
                raise Crash
            super().rename(source, target)

    fs = Dying(root)
    spool = Spool(root, FOLDERS, fs=fs)
    used(spool)
    (past,) = spool.recent.late((root / RECENT).stat().st_mtime)
    fs.dies = True
    with pytest.raises(Crash):
        spool.take_back(past)
    again = Spool(root, FOLDERS)
    assert again.recover().claims == []
    assert [path.name for path in (root / "inbox/1-text").iterdir()] == ["cat.yaml"]
    assert len(list(root.glob("done/*/cat.txt"))) == 1
    scan = inbox_of(root, "text").scan(0.0)
    assert scan.ready == scan.refused == []


def test_a_file_of_holes_is_not_read_to_its_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "holes.txt"
    with path.open("wb") as file:
        file.truncate(2**40)
    monkeypatch.setattr("hashlib.sha256", None)  # nothing of it is read
    with path.open("rb") as file:
        assert digest_of(file) is None


def test_a_file_that_grows_while_it_is_read_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    class Growing(io.BytesIO):
        def seek(self, place: int, whence: int = io.SEEK_SET, /) -> int:
            return super().seek(place, whence) - (whence == io.SEEK_END)

    monkeypatch.setattr("daemon.spool.recent.MOST_HASHED_BYTES", 10)
    assert digest_of(io.BytesIO(bytes(10))) is not None
    assert digest_of(Growing(bytes(11))) is None
