"""The disk in memory against the kernel: the same operations, the same answers, the same errors."""

import ctypes
import errno
import os
import random
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from daemon.spool.filesystem import Filesystem
from tests.spool.disk import ROOT, Disk

SOMEBODY = 12345
EXCHANGE = 2
LIBC = ctypes.CDLL(None, use_errno=True)
PLACES = ("a", "b", "a/x", "a/y", "b/x", "a/x/z", ".work", ".work/x")
OF_TWO = ("rename", "rename_noreplace", "exchange")
DAEMONS = ("mkdir", "create", "unlink", "rmdir", "list", "kinds", "lstat", "read", "plain", "fsync_folder", "make_private")
MEMBERS = ("symlink", "mkfifo", "share", *(["give_away"] if os.geteuid() == 0 else []))
CODES = "NOENT EXIST NOTDIR ISDIR NOTEMPTY INVAL LOOP PERM"


class Kernel(Filesystem):
    """The real system, with what members do there besides."""

    def symlink(self, path: Path, target: str) -> None:
        with self._beneath.parent(path) as (name, folder):
            os.symlink(target, name, dir_fd=folder)

    def mkfifo(self, path: Path) -> None:
        with self._beneath.parent(path) as (name, folder):
            os.mkfifo(name, dir_fd=folder)

    def exchange(self, one: Path, other: Path) -> None:
        with self._beneath.parent(one) as (first, here), self._beneath.parent(other) as (second, there):
            if LIBC.renameat2(here, os.fsencode(first), there, os.fsencode(second), EXCHANGE) != 0:
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))

    def share(self, folder: Path) -> None:
        self._change(folder, lambda name, above, st: os.chmod(name, st.st_mode | stat.S_IWGRP, dir_fd=above))

    def give_away(self, folder: Path) -> None:
        self._change(folder, lambda name, above, _st: os.chown(name, SOMEBODY, -1, dir_fd=above))

    def _change(self, folder: Path, change: Callable[[str, int, os.stat_result], None]) -> None:
        st = self.lstat(folder)
        with self._beneath.parent(folder) as (name, above):
            if stat.S_ISDIR(st.st_mode):
                change(name, above, st)


@pytest.fixture(autouse=True)
def shared_by_a_group() -> Iterator[None]:
    """New folders are open to the group, as under the daemon's unit."""
    before = os.umask(0o007)
    yield
    os.umask(before)


@pytest.mark.parametrize("seed", range(30))
def test_the_disk_in_memory_answers_as_the_kernel_does(seed: int, worlds: Path) -> None:
    draw = random.Random(seed)
    disk, real = Disk(), Kernel(worlds)
    for _ in range(300):
        operation = draw.choice((*DAEMONS, *OF_TWO, *MEMBERS))
        places = draw.choices(PLACES, k=2 if operation in (*OF_TWO, "symlink") else 1)
        asked = f"{operation} {places}"
        assert _answer(disk, ROOT, operation, places) == _answer(real, worlds, operation, places), asked
    plain = [path for path in worlds.rglob("*") if path.is_file() and not path.is_symlink()]
    assert disk.contents.paths() == {path.relative_to(worlds): path.read_bytes() for path in plain}


def test_all_answers_are_met() -> None:
    """A comparison that only ever meets errors says nothing."""
    draw, disk = random.Random(0), Disk()
    met = set()
    for _ in range(9000):
        operation = draw.choice((*DAEMONS, *OF_TWO, *MEMBERS))
        answer = _answer(disk, ROOT, operation, draw.choices(PLACES, k=2 if operation in (*OF_TWO, "symlink") else 1))
        met.add((operation, answer[1] if isinstance(answer, tuple) else None))
    assert {(operation, None) for operation in (*DAEMONS, *OF_TWO, *MEMBERS)} <= met
    kinds = {code for _, code in met}
    assert {
        errno.ENOENT,
        errno.EEXIST,
        errno.ENOTDIR,
        errno.EISDIR,
        errno.ENOTEMPTY,
        errno.EINVAL,
        errno.ELOOP,
        errno.EPERM,
    } <= kinds


def _answer(fs: Filesystem, root: Path, operation: str, places: list[str]) -> Any:
    args: list[Any] = [root / place for place in places]
    if operation == "symlink":
        args[1] = places[1]
    if operation == "fsync_folder":
        args.append("names")
    try:
        return _told(fs, operation, getattr(fs, operation)(*args))
    except OSError as error:
        return type(error).__name__, error.errno


def _told(fs: Filesystem, operation: str, result: Any) -> Any:
    if operation == "create":
        with result as file:
            fs.write(file, b"content")
            fs.fsync(file, "content")
        return None
    if operation == "plain":
        with result as file:
            return file.read()
    if operation == "lstat":
        return f"{result.st_mode >> 12} {0 if stat.S_ISDIR(result.st_mode) else result.st_size}"
    return sorted(result) if operation == "list" else result


FATES: dict[str, Callable[[Any, Path], object]] = {
    "renamed": lambda fs, root: fs.rename(root / "a/x", root / "y"),
    "gone": lambda fs, root: fs.unlink(root / "a/x"),
    "replaced": lambda fs, root: fs.rename(root / "other", root / "a/x"),
    "exchanged with a FIFO": lambda fs, root: (fs.mkfifo(root / "f"), fs.exchange(root / "f", root / "a/x")),
    "in a folder that is a link now": lambda fs, root: (fs.rename(root / "a", root / "b"), fs.symlink(root / "a", "/")),
}


@pytest.mark.parametrize("fate", FATES)
def test_a_file_that_is_open_stays_the_same_whatever_becomes_of_its_name(fate: str, worlds: Path) -> None:
    disk, real = Disk(), Kernel(worlds)
    found = []
    for fs, root in ((disk, ROOT), (real, worlds)):
        fs.mkdir(root / "a")
        fs.create(root / "other").__exit__(None, None, None)
        with fs.create(root / "a/x") as file:
            fs.write(file, b"first")
            with fs.plain(root / "a/x") as held:
                FATES[fate](fs, root)
                fs.write(file, b", second")
                fs.fsync(file, "content")
                found.append(held.read())
    plain = {path.relative_to(worlds): path.read_bytes() for path in worlds.rglob("*") if path.is_file() and not path.is_symlink()}
    assert found == [b"first, second"] * 2
    assert disk.contents.paths() == plain


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")
def test_owners_are_asked_of_the_daemons_own_folders_only(worlds: Path) -> None:
    for fs, root in ((Disk(), ROOT), (Kernel(worlds), worlds)):
        for name in (".work", "pictures"):
            fs.mkdir(root / name)
            fs.mkdir(root / name / "x")
            fs.give_away(root / name)
        assert fs.list(root / "pictures") == ["x"]
        with pytest.raises(PermissionError):
            fs.list(root / ".work")
        with pytest.raises(PermissionError):
            fs.lstat(root / ".work/x")
