"""One daemon for a spool: the lock that others cannot hold, and the sign by which they see that one lives."""

import errno
import fcntl
import os
import stat
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.beneath import Beneath
from daemon.errors import AnotherDaemon
from daemon.service.status import read_status, write_status
from daemon.spool.spool import Spool
from tests.spool.stories import FOLDERS

ALICE = 4321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")


@contextmanager
def owned(root: Path) -> Iterator[Spool]:
    spool = Spool(root, FOLDERS)
    spool.acquire()
    try:
        yield spool
    finally:
        spool.release()


@contextmanager
def locked(path: Path, how: int = fcntl.LOCK_EX) -> Iterator[None]:
    with path.open("rb") as file:
        fcntl.flock(file, how)
        yield


def is_alive(root: Path) -> bool:
    return read_status(root, now=datetime.now(UTC)).alive


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_the_lock_is_for_nobody_else_and_the_sign_of_life_for_the_group(root: Path) -> None:
    with owned(root):
        assert mode(root / ".lock") == 0o600
        assert mode(root / ".alive") == 0o640


def test_a_lock_of_an_older_version_keeps_its_inode_and_loses_its_mode(root: Path) -> None:
    (root / ".lock").write_text("123\n")
    (root / ".lock").chmod(0o644)
    before = (root / ".lock").stat().st_ino
    with owned(root):
        assert (root / ".lock").stat().st_ino == before
        assert mode(root / ".lock") == 0o600


def test_an_older_daemon_still_excludes_a_new_one(root: Path, spool: Spool) -> None:
    (root / ".lock").write_text("123\n")
    with locked(root / ".lock"), pytest.raises(AnotherDaemon, match=r"already runs on .* \(process 123\)"):
        spool.acquire()


@pytest.mark.parametrize("how", [fcntl.LOCK_EX, fcntl.LOCK_SH])
def test_whoever_holds_the_sign_of_life_keeps_no_daemon_from_starting(root: Path, how: int) -> None:
    (root / ".alive").touch()
    with locked(root / ".alive", how), owned(root):
        assert is_alive(root)
        with pytest.raises(AnotherDaemon, match="already runs"):
            Spool(root, FOLDERS).acquire()


@pytest.mark.parametrize("make", [os.mkfifo, os.mkdir, lambda path: path.symlink_to("/etc/passwd")])
def test_a_sign_of_life_that_is_something_else_keeps_no_daemon_from_starting(root: Path, make: object) -> None:
    assert callable(make)
    make(root / ".alive")
    with owned(root):
        assert is_alive(root)


@pytest.mark.parametrize("name", [".alive", ".lock"])
def test_a_second_name_of_a_persons_file_is_locked_and_left_as_it_is(root: Path, name: str) -> None:
    picture = root / "pictures/cat.png"
    picture.write_bytes(b"a picture")
    picture.chmod(0o664)
    os.link(picture, root / name)
    with owned(root), pytest.raises(AnotherDaemon, match="already runs"):
        Spool(root, FOLDERS).acquire()
    assert (picture.read_bytes(), mode(picture)) == (b"a picture", 0o664)


@pytest.mark.parametrize("remove", [Path.unlink, lambda path: path.rename(f"{path}.old"), lambda path: replaced(path)])
def test_a_daemon_sees_that_its_lock_was_taken_away_and_no_other_gets_the_spool(
    root: Path, remove: Callable[[Path], object]
) -> None:
    with owned(root) as spool:
        assert spool.is_still_ours()
        remove(root / ".lock")
        assert not spool.is_still_ours()
        for _ in range(2):  # the first of them makes a lock, and must not have taken it from the others
            with pytest.raises(AnotherDaemon, match=rf"already runs on .* \(process {os.getpid()}\)"):
                Spool(root, FOLDERS).acquire()
    with owned(root) as later:
        assert later.is_still_ours()


def replaced(path: Path) -> None:
    """As a restore from a backup leaves it: the same content, another file."""
    other = path.with_name("other")
    other.write_text(path.read_text())
    other.rename(path)


def test_a_lock_that_is_put_back_is_the_daemons_again(root: Path) -> None:
    with owned(root) as spool:
        aside = (root / ".lock").rename(root / "aside")
        assert not spool.is_still_ours()
        aside.rename(root / ".lock")
        assert spool.is_still_ours()


def test_a_member_who_holds_the_sign_of_a_daemon_that_is_over_keeps_none_from_starting(root: Path) -> None:
    with owned(root):
        pass
    with subprocess.Popen(["sleep", "60"]) as dead:
        dead.terminate()
    (root / ".alive").write_text(f"{dead.pid}\n")
    (root / ".lock").unlink()
    with locked(root / ".alive"), owned(root) as spool:
        assert spool.is_still_ours()


def test_where_nobody_is_seen_to_hold_the_sign_of_a_daemon_the_missing_lock_decides(
    root: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """As of a daemon in another container, whose processes are not to be seen here."""
    monkeypatch.setattr("daemon.spool.lock.LOCKS", tmp_path / "nothing")
    with owned(root):
        pass
    with locked(root / ".alive"):
        with owned(root):
            pass
        (root / ".lock").unlink()
        with pytest.raises(AnotherDaemon, match="already runs"):
            Spool(root, FOLDERS).acquire()


def test_a_spool_that_is_away_is_nobody_elses(root: Path) -> None:
    with owned(root) as spool:
        away = root.rename(root.with_name(f"{root.name}-away"))
        assert spool.is_still_ours()
        away.rename(root)


def test_who_may_not_look_at_the_locks_believes_what_the_daemon_has_said(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def forbidden(_beneath: Beneath, path: Path) -> int:
        if path.name in {".alive", ".lock"}:
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), os.fspath(path))
        return os.open(path, os.O_RDONLY)

    monkeypatch.setattr(Beneath, "open_plain", forbidden)
    for said in (True, False):
        write_status(root, read_status(root, now=datetime.now(UTC), alive=said))
        assert is_alive(root) is said
    (root / "status.json").unlink()
    assert not is_alive(root)


def test_the_status_sees_a_daemon_by_either_file(root: Path) -> None:
    assert not is_alive(root)
    for name in (".lock", ".alive"):
        (root / name).touch()
        assert not is_alive(root)
        with locked(root / name):
            assert is_alive(root)
        (root / name).unlink()
    with owned(root):
        assert is_alive(root)
    assert not is_alive(root)


@needs_root
@pytest.mark.parametrize("what", ["a file that is locked", "a file", "a FIFO", "a link", "a folder"])
def test_a_lock_that_a_stranger_made_is_put_aside(root: Path, what: str) -> None:
    path = root / ".lock"
    if what == "a FIFO":
        os.mkfifo(path)
    elif what == "a link":
        path.symlink_to("/etc/passwd")
    elif what == "a folder":
        (path / "in it").mkdir(parents=True)
    else:
        path.touch()
    os.chown(path, ALICE, ALICE, follow_symlinks=False)
    descriptor = os.open(path, os.O_RDONLY) if what == "a file that is locked" else None
    if descriptor is not None:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        with owned(root):
            assert path.is_file()
            assert path.lstat().st_uid == os.geteuid()
            assert len(list(root.glob(".lock.*"))) == 1
    finally:
        if descriptor is not None:
            os.close(descriptor)


@needs_root
def test_a_lock_of_the_user_whose_the_jobs_are_is_not_put_aside(root: Path, spool: Spool) -> None:
    (root / ".lock").touch()
    for path in (root / ".lock", root / ".work"):
        os.chown(path, ALICE, ALICE)
    with locked(root / ".lock"), pytest.raises(AnotherDaemon, match="already runs"):
        spool.acquire()
