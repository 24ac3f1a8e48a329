"""Files that replace others: whole, or not at all, and on the disk with their names."""

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path

import pytest

import tiffsd
from tests.artifacts import latents
from tiffsd.atomic import replacing

FailingFor = Callable[[Callable[[int], bool], int], None]


@pytest.fixture
def fails_for(monkeypatch: pytest.MonkeyPatch) -> FailingFor:
    """Let the fsync of some descriptors fail with an error of this number."""

    def fail(which: Callable[[int], bool], code: int) -> None:
        def fsync(descriptor: int) -> None:
            if which(descriptor):
                raise OSError(code, os.strerror(code))

        monkeypatch.setattr(os, "fsync", fsync)

    return fail


def is_folder(descriptor: int) -> bool:
    return stat.S_ISDIR(os.fstat(descriptor).st_mode)


def test_content_is_on_the_disk_before_the_name_and_the_name_when_it_returns(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, bool]] = []
    path = tmp_path / "cat.tiff"
    monkeypatch.setattr(os, "fsync", lambda fd: synced.append(("folder" if is_folder(fd) else "file", path.exists())))
    tiffsd.write(path, latents())
    assert synced == [("file", False), ("folder", True)]


def test_a_folder_that_cannot_be_synced_by_its_filesystem_is_no_error(tmp_path: Path, fails_for: FailingFor) -> None:
    fails_for(is_folder, errno.EINVAL)
    with replacing(tmp_path / "cat") as file:
        file.write(b"cat")
    assert (tmp_path / "cat").read_bytes() == b"cat"


def test_any_other_error_of_the_folder_is_told(tmp_path: Path, fails_for: FailingFor) -> None:
    fails_for(is_folder, errno.EIO)
    with pytest.raises(OSError, match="Input/output error"), replacing(tmp_path / "cat") as file:
        file.write(b"cat")


def test_content_that_is_not_on_the_disk_takes_no_place(tmp_path: Path, fails_for: FailingFor) -> None:
    (tmp_path / "cat").write_bytes(b"old")
    fails_for(lambda descriptor: not is_folder(descriptor), errno.EINVAL)
    with pytest.raises(OSError, match="Invalid argument"), replacing(tmp_path / "cat") as file:
        file.write(b"new")
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == {"cat": b"old"}


@pytest.mark.skipif(os.geteuid() == 0, reason="root may look into every folder")
def test_a_folder_that_may_be_written_and_not_looked_into_takes_files(tmp_path: Path) -> None:
    (tmp_path / "box").mkdir()
    (tmp_path / "box").chmod(0o300)
    with replacing(tmp_path / "box" / "cat") as file:
        file.write(b"cat")
    (tmp_path / "box").chmod(0o700)
    assert (tmp_path / "box" / "cat").read_bytes() == b"cat"
