"""Whose results are: noted by the daemon when it claims and publishes, and never read from a file that others may change."""

import os
from pathlib import Path

import pytest

from daemon.layout import OWNERS
from daemon.spool.filesystem import Filesystem
from daemon.spool.owners import MOST_KNOWN, Owners
from daemon.spool.spool import Claim, Spool
from tests.spool.real import complete, drop, inbox_of
from tests.spool.stories import FOLDERS

ALICE = 1234


def owners_of(root: Path) -> Owners:
    owners = Owners(root, Filesystem(root))
    owners.read()
    return owners


def like(inode: int, uid: int | None = None) -> os.stat_result:
    """What the system says of a file, ours unless said otherwise."""
    return os.stat_result([0o100644, inode, 1, 1, os.geteuid() if uid is None else uid, 0, 0, 0, 0, 0])


def test_a_file_of_somebody_else_is_theirs_and_one_of_ours_is_whose_we_noted(tmp_path: Path) -> None:
    owners = owners_of(tmp_path)
    owners.record(7, ALICE)
    assert owners.of(like(7)) == ALICE
    assert owners.of(like(8)) is None
    assert owners.of(like(7, uid=os.geteuid() + 1)) == os.geteuid() + 1


def test_a_later_daemon_knows_what_was_noted_and_survives_a_torn_line(tmp_path: Path) -> None:
    owners = owners_of(tmp_path)
    owners.record(7, ALICE)
    owners.record(8, ALICE)
    owners.record(8, None)
    with (tmp_path / OWNERS).open("a") as file:
        file.write('[]\n{"inode": 9, "ow')
    again = owners_of(tmp_path)
    assert [again.of(like(inode)) for inode in (7, 8, 9)] == [ALICE, None, None]
    assert (tmp_path / OWNERS).stat().st_mode & 0o077 == 0


def test_where_nobody_else_drops_files_nothing_is_written(tmp_path: Path) -> None:
    owners_of(tmp_path).record(7, None)
    assert not (tmp_path / OWNERS).exists()


def test_the_notes_do_not_grow_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.spool.owners.MOST_KNOWN", 5)
    owners = owners_of(tmp_path)
    for inode in range(100):
        owners.record(inode, ALICE)
        assert len((tmp_path / OWNERS).read_text().splitlines()) <= 10
    again = owners_of(tmp_path)
    assert [again.of(like(inode)) for inode in (94, 95, 99)] == [None, ALICE, ALICE]
    assert MOST_KNOWN >= 5_000, "a thousand files at each stage"


def test_what_cannot_be_written_is_done_without(tmp_path: Path) -> None:
    (tmp_path / OWNERS).mkdir()
    owners = owners_of(tmp_path)
    owners.record(7, ALICE)
    assert owners.of(like(7)) == ALICE


def claimed(spool: Spool, stage: str) -> Claim:
    """The first drop of a stage, claimed with its owner."""
    claim = spool.claim(stage, inbox_of(spool.root, stage, spool.owner_of).scan(0.0).ready[0])
    assert claim is not None
    return claim


def test_nothing_is_added_to_a_file_that_somebody_has_given_the_name(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    os.link(other, tmp_path / OWNERS)
    owners = owners_of(tmp_path)
    owners.record(7, ALICE)
    assert other.read_text() == "mine"
    assert owners.of(like(7)) == ALICE


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_a_result_belongs_to_whoever_dropped_the_first_file_also_after_a_restart(root: Path, spool: Spool) -> None:
    os.chown(drop(root, "cat.tiff"), ALICE, ALICE)
    result = complete(spool, claimed(spool, "diffuse"))[0]
    later = Spool(root, FOLDERS)
    later.acquire()
    held = result.rename(root / "hold" / FOLDERS["decode"] / "another-name.tiff")
    assert [knows.owner_of(held.stat()) for knows in (spool, later)] == [ALICE, ALICE]
    held.rename(result)
    again = complete(later, claimed(later, "decode"))[0]
    assert later.owner_of(again.stat()) == ALICE
    later.release()
