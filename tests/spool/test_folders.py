"""The folders of a spool, the lock on it, and the rename that replaces nothing."""

import errno
import os
from pathlib import Path

import pytest

from daemon.beneath import Beneath, FolderMissing
from daemon.errors import AnotherDaemon, SpoolError
from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Publication, Spool
from daemon.spool.transitions import Transitions
from tests.spool.real import claim_one, drop
from tests.spool.stories import FOLDERS


def test_create_makes_all_folders(root: Path, spool: Spool) -> None:
    assert (root / "hold/2-diffuse").is_dir()
    assert (root / "failed/encode").is_dir()
    assert {path.name for path in root.iterdir()} == {
        *("inbox", "hold", "failed", "embeddings", "running", "steps", "pictures", "done", "previews", ".work", ".keep", ".trash")
    }
    assert (root / ".work").stat().st_mode & 0o777 == 0o700
    spool.check()


@pytest.mark.parametrize("umask", [0o002, 0o007])
def test_a_spool_can_be_made_where_new_folders_are_open_to_the_group(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        spool = Spool(tmp_path, FOLDERS)
        spool.create()
        assert [(tmp_path / name).stat().st_mode & 0o777 for name in (".work", ".keep", ".trash")] == [0o700] * 3
        assert (tmp_path / "inbox/1-text").stat().st_mode & 0o020
        # A person tidied up: what is made again is to be used as before.
        (tmp_path / ".keep").rmdir()
        drop(tmp_path, "cat.tiff")
        claim = claim_one(spool)
        spool.begin_attempt(claim)
        with spool.create_output(claim, "latents.tiff") as file:
            file.write(b"output")
        spool.commit(claim, [Publication("latents.tiff", ".keep", "cat.00000000.tiff")])
        assert spool.finish(claim) == [tmp_path / ".keep/cat.00000000.tiff"]
    finally:
        os.umask(before)


@pytest.mark.parametrize("own", [".work", ".keep", ".trash"])
def test_what_an_older_version_left_open_to_the_group_is_closed(root: Path, spool: Spool, own: str) -> None:
    (root / own).chmod(0o2775)
    spool.create()
    assert (root / own).stat().st_mode & 0o777 == 0o700


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")
def test_a_folder_of_a_stranger_is_not_made_the_daemons_own(root: Path, spool: Spool) -> None:
    (root / ".keep").chmod(0o777)
    os.chown(root / ".keep", 4321, -1)
    with pytest.raises(SpoolError, match=r"\.keep cannot be made or used .*somebody else's"):
        spool.create()
    assert (root / ".keep").stat().st_mode & 0o777 == 0o777


def test_a_spool_that_is_away_is_not_made_anew_and_says_nothing_of_what_lay_in_it(worlds: Path) -> None:
    root = worlds / "mounted" / "spool"
    Spool(root, FOLDERS).create()
    transitions = Transitions(root, Filesystem(root))
    (worlds / "mounted").rename(worlds / "away")
    (worlds / "mounted").mkdir()
    with pytest.raises(FolderMissing):
        transitions.exists(root / "pictures")
    with pytest.raises(FolderMissing):
        transitions.ensure(root / "done" / "2026-11-29")
    assert not Beneath(root).is_gone(root / "running" / "cat.txt")
    assert not root.exists()


def test_second_daemon_is_refused(root: Path, spool: Spool) -> None:
    spool.acquire()
    with pytest.raises(AnotherDaemon, match=f"A daemon already runs on .* \\(process {os.getpid()}\\)"):
        Spool(root, FOLDERS).acquire()
    spool.release()
    other = Spool(root, FOLDERS)
    other.acquire()
    other.release()


def test_check_refuses_a_symlinked_folder(root: Path, spool: Spool) -> None:
    (root / "pictures").rmdir()
    (root / "pictures").symlink_to(root / "done")
    with pytest.raises(SpoolError, match="is a symbolic link"):
        spool.check()


def test_check_refuses_nested_or_shared_inboxes(root: Path) -> None:
    with pytest.raises(SpoolError, match="one plain folder name"):
        Spool(root, {"text": "a/b"}).check()
    with pytest.raises(SpoolError, match="the same folder"):
        Spool(root, {"text": "1-text", "diffuse": "1-text"}).check()


def test_check_refuses_what_is_missing_or_a_file(root: Path, spool: Spool) -> None:
    (root / "steps").rmdir()
    with pytest.raises(SpoolError, match="`tiffsd init`"):
        spool.check()
    (root / "steps").write_bytes(b"")
    with pytest.raises(SpoolError, match="is a file where a folder"):
        spool.check()


def test_a_folder_of_another_user_is_named_with_the_way_out(root: Path) -> None:
    class OfRoot(Filesystem):
        def make_private(self, folder: Path) -> None:
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), folder)

    with pytest.raises(
        SpoolError, match=r"\.work cannot be made or used \(Operation not permitted\); give it to the daemon's user"
    ):
        Spool(root, FOLDERS, fs=OfRoot(root)).create()


def _written(path: Path) -> Path:
    path.write_bytes(b"x")
    return path


def test_rename_without_replace_also_without_the_system_call(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unsupported(*_: object) -> None:
        raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))

    monkeypatch.setattr("daemon.beneath._renameat2", unsupported)
    _written(tmp_path / "a")
    Filesystem(tmp_path).rename_noreplace(tmp_path / "a", tmp_path / "b")
    _written(tmp_path / "a")
    with pytest.raises(FileExistsError):
        Filesystem(tmp_path).rename_noreplace(tmp_path / "a", tmp_path / "b")
