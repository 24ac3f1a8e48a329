"""Files in the spool that are there whole, or not at all."""

import errno
import os
from pathlib import Path

import pytest

from daemon.spool.atomic import atomic_replace, atomic_write
from daemon.spool.filesystem import Filesystem
from tests.spool.disk import ROOT, Disk


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_file_takes_the_place_of_another_and_of_what_a_crash_left(tmp_path: Path) -> None:
    (tmp_path / "cat").write_bytes(b"old")
    (tmp_path / ".cat.part").write_bytes(b"of a crash")
    atomic_replace(Filesystem(tmp_path), tmp_path / "cat", b"new")
    assert content_of(tmp_path) == {"cat": b"new"}


def test_a_name_that_must_be_free_is_not_taken(tmp_path: Path) -> None:
    (tmp_path / "cat").write_bytes(b"old")
    with pytest.raises(FileExistsError), atomic_write(Filesystem(tmp_path), tmp_path / "cat", "cat", replaces=False) as file:
        file.write(b"new")
    assert content_of(tmp_path) == {"cat": b"old"}


def test_whatever_ends_the_writing_leaves_nothing(tmp_path: Path) -> None:
    (tmp_path / "cat").write_bytes(b"old")
    with pytest.raises(TypeError), atomic_write(Filesystem(tmp_path), tmp_path / "cat", None) as file:
        file.writelines([b"new", "no bytes"])
    assert content_of(tmp_path) == {"cat": b"old"}


@pytest.mark.parametrize(("durable", "synced"), [("cat: content", ["fsync"]), (None, [])])
def test_only_what_must_outlive_the_machine_is_synced(durable: str | None, synced: list[str]) -> None:
    disk = Disk()
    asked: list[str] = []
    disk.before = lambda name, _: asked.append(name)
    atomic_replace(disk, ROOT / "cat", b"new", durable)
    assert asked == ["create", "write", "write", *synced, "rename"]


def test_a_folder_that_cannot_be_synced_by_its_filesystem_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fsync(_: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "fsync", fsync)
    code = errno.EINVAL
    Filesystem(tmp_path).fsync_folder(tmp_path, "names")
    code = errno.EIO
    with pytest.raises(OSError, match="Input/output error"):
        Filesystem(tmp_path).fsync_folder(tmp_path, "names")


def test_the_kernel_is_asked_to_sync_content_and_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: synced.append(os.fstat(descriptor).st_ino))
    fs = Filesystem(tmp_path)
    atomic_replace(fs, tmp_path / "cat", b"new", "cat: content")
    fs.fsync_folder(tmp_path, "names")
    assert synced == [(tmp_path / "cat").stat().st_ino, tmp_path.stat().st_ino]
