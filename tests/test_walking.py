"""The ways to a folder below a root: all come to the same place, and none goes where the walk would not."""

import ctypes
import errno
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.beneath import Beneath, FolderMissing, _filesystem_of
from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Spool
from daemon.walking import Kept, Ways
from tests.spool.stories import FOLDERS


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Spool(tmp_path / "spool", FOLDERS).create()
    return tmp_path / "spool"


@pytest.fixture(params=["walked", "in one call", "kept open"])
def beneath(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[Beneath]:
    if request.param == "walked":
        monkeypatch.setattr("daemon.walking._openat2", lambda *_: -1)
    kept = Kept(root) if request.param == "kept open" else None
    yield Beneath(root)
    del kept


def test_a_folder_is_listed_and_written_into_at_every_depth(beneath: Beneath, root: Path) -> None:
    for place in (root, root / "pictures", root / "hold/1-text", root / "steps"):
        beneath.touch(place / "cat.txt")
        assert "cat.txt" in beneath.names(place)
        beneath.rename(place / "cat.txt", root / "embeddings/dog.txt")
        beneath.fsync_folder(place)
        beneath.unlink(root / "embeddings/dog.txt")


def test_where_the_sync_of_a_folder_halves_a_move_all_is_synced(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []

    class Libc:
        """It answers that all is synced, or that the disk is broken."""

        answer = 0

        def syncfs(self, _descriptor: int) -> int:
            synced.append("all")
            ctypes.set_errno(errno.EIO)
            return self.answer

    monkeypatch.setattr("daemon.beneath._LIBC", libc := Libc())
    monkeypatch.setattr(os, "fsync", lambda _: synced.append("the folder"))
    for kind, what in ((0x58465342, "the folder"), (0x9123683E, "all")):  # XFS and btrfs, by the numbers of statfs(2)
        monkeypatch.setattr("daemon.beneath._filesystem_of", lambda _, kind=kind: kind)
        Beneath(root).fsync_folder(root / "pictures")
        assert synced.pop() == what
    libc.answer = -1
    with pytest.raises(OSError, match="Input/output error"):
        Beneath(root).fsync_folder(root / "pictures")


def test_the_filesystem_of_a_folder_is_told_as_the_system_tells_it(root: Path) -> None:
    folder = os.open(root, os.O_RDONLY)
    told = subprocess.run(["stat", "--file-system", "--format=%t", root], capture_output=True, text=True, check=True).stdout
    assert _filesystem_of(folder) == int(told, 16)
    os.close(folder)
    assert _filesystem_of(folder) is None


def test_a_link_to_another_folder_of_the_spool_is_not_followed(beneath: Beneath, root: Path) -> None:
    beneath.names(root / "inbox/1-text")
    for name, target in (("inbox/1-text", "2-diffuse"), ("inbox/1-text", root / "hold/1-text"), ("inbox", root / "hold")):
        (root / name).rename(root / "x")
        (root / name).symlink_to(target)
        with pytest.raises(NotADirectoryError):
            beneath.names(root / "inbox/1-text")
        with pytest.raises(NotADirectoryError):
            beneath.lstat(root / "inbox/1-text/cat.txt")
        (root / name).unlink()
        (root / "x").rename(root / name)


def test_a_folder_that_is_exchanged_is_used_under_its_name_from_then_on(beneath: Beneath, root: Path) -> None:
    for name in ("pictures", "hold/1-text", ".keep"):
        beneath.touch(root / name / "before.txt")
        (root / name).rename(root / "aside")
        with pytest.raises(FolderMissing):
            beneath.names(root / name)
        beneath.mkdir(root / name, 0o700)
        beneath.touch(root / name / "after.txt")
        assert (os.listdir(root / "aside"), os.listdir(root / name)) == (["before.txt"], ["after.txt"])
        (root / "aside" / "before.txt").unlink()
        (root / "aside").rmdir()


def test_a_folder_of_the_daemons_own_that_is_opened_to_others_is_not_used_from_then_on(beneath: Beneath, root: Path) -> None:
    beneath.touch(root / ".work/cat.txt")
    (root / ".work").chmod(0o770)
    for path in (root / ".work/cat.txt", root / ".work/cat/in"):
        with pytest.raises(PermissionError, match="open to others"):
            beneath.lstat(path)


def test_what_leads_out_of_the_root_is_refused(beneath: Beneath, root: Path) -> None:
    for path in (root.parent, root / "..", root / "inbox/../../x", root.with_name("spool2") / "x", Path("inbox/x"), Path("/x")):
        with pytest.raises(ValueError, match="leads out of"):
            beneath.lstat(path)
    with pytest.raises(ValueError, match="leads out of"):
        beneath.lstat(root)


def test_the_root_may_be_where_we_are_or_all_there_is(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    assert "1-text" in Beneath(Path()).names(Path("inbox"))
    for path in (root / "inbox", Path("/tmp")):
        with pytest.raises(ValueError, match="leads out of"):
            Beneath(Path()).lstat(path)
    assert "bin" in Beneath(Path("/")).names(Path("/usr"))


def test_another_device_is_not_entered(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(OSError, match="mount of its own") as caught:
        Beneath(Path("/")).names(Path("/proc"))
    assert caught.value.errno == errno.EXDEV
    # A subvolume is one, and is entered by a call that refuses mounts.
    monkeypatch.setattr("daemon.lease.has_subvolumes", lambda _: True)
    monkeypatch.setattr("daemon.walking._openat2", lambda *_: os.open("/proc", os.O_RDONLY))
    assert Beneath(root).names(root / "inbox/1-text") == []


def _no_walk(*_: object) -> int:
    raise AssertionError("it was walked to")


def test_whoever_has_the_lock_walks_to_a_folder_at_the_top_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fs = Filesystem(root)
    fs.keep_folders()
    fs.list(root / "inbox")
    monkeypatch.setattr("daemon.walking.stepped", _no_walk)
    assert Beneath(root).lexists(root / "inbox/1-text")
    fs.let_folders_go()
    with pytest.raises(AssertionError, match="walked"):
        Beneath(root).lexists(root / "inbox/1-text")


def test_a_move_within_a_folder_walks_there_once(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    beneath, ways = Beneath(root), list[bool]()
    beneath.touch(root / "pictures/cat.txt")
    monkeypatch.setattr(Ways, "at", lambda ways_, *args, at=Ways.at: ways.append(True) or at(ways_, *args))
    beneath.rename(root / "pictures/cat.txt", root / "pictures/dog.txt")
    assert len(ways) == 1
    beneath.rename(root / "pictures/dog.txt", root / "steps/dog.txt")
    assert len(ways) == 3
    assert os.listdir(root / "steps") == ["dog.txt"]


def test_a_spool_that_is_released_or_forgotten_keeps_nothing_open(root: Path) -> None:
    before = sorted(os.listdir("/proc/self/fd"))
    spool = Spool(root, FOLDERS)
    spool.acquire()
    spool.recover()
    assert len(os.listdir("/proc/self/fd")) > len(before) + 2
    spool.release()
    assert sorted(os.listdir("/proc/self/fd")) == before
    kept = Kept(root)
    assert not Beneath(root).lexists(root / "pictures/cat.png")
    del kept
    assert sorted(os.listdir("/proc/self/fd")) == before


def test_a_folder_in_use_stays_open_when_it_is_kept_no_longer(root: Path) -> None:
    kept = Kept(root)
    with Beneath(root).folder(root / "pictures") as pictures:
        del kept
        assert os.fstat(pictures).st_ino == (root / "pictures").stat().st_ino


def test_what_is_kept_is_let_go_where_it_lies_in_a_mount_of_before(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept, beneath, rename = Kept(root), Beneath(root), os.rename
    beneath.touch(root / "pictures/cat.png")
    of_before = dict(kept.entrances)

    def across_mounts(*args: Any, **options: Any) -> None:
        if kept.entrances.get("pictures") is of_before["pictures"]:
            raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))
        rename(*args, **options)

    monkeypatch.setattr("os.rename", across_mounts)
    beneath.rename(root / "pictures/cat.png", root / "embeddings/cat.png")
    assert (root / "embeddings/cat.png").exists()
