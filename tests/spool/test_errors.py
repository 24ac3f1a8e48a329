"""No error of the machine costs a file, a job or a descriptor, and the daemon goes on by itself when the machine is well."""

import errno
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, BinaryIO

import pytest

from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Claim, Spool
from tests.spool.errors import Faults
from tests.spool.real import claim_one, complete, drop
from tests.spool.stories import FOLDERS, STORIES

SOME = (
    "pair and settings",
    "failing",
    "given back",
    "applied",
    "a proof goes along",
)  # `prove` takes all stories, and all errors of each


class FullDisk(Filesystem):
    """A real disk with no room until `well`."""

    well = False

    def create(self, path: Path) -> BinaryIO:
        if not self.well:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)
        return super().create(path)


@pytest.mark.parametrize("name", SOME)
def test_every_error_at_every_call_is_survived_and_a_crash_after_it_too(name: str) -> None:
    assert Faults(STORIES[name]).try_all(every=13).survived > 40


def test_a_daemon_that_leaves_a_file_open_is_found_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tests.spool.disk.OpenFile.__exit__", lambda *_: None)
    with pytest.raises(AssertionError, match="left open"):
        Faults(STORIES["one output"]).try_all(every=13)


def test_no_descriptor_is_left_open_by_an_error(root: Path) -> None:
    class Dying(Filesystem):
        left = 0

        def fsync(self, file: BinaryIO, what: str) -> None:
            self._die(file.name)
            super().fsync(file, what)

        def fsync_folder(self, folder: Path, what: str) -> None:
            self._die(folder)
            super().fsync_folder(folder, what)

        def _die(self, path: Any) -> None:
            self.left -= 1
            if self.left < 0:
                raise OSError(errno.EIO, os.strerror(errno.EIO), path)

    fs = Dying(root)
    spool = Spool(root, FOLDERS, fs=fs, max_attempts=99)
    descriptors = len(os.listdir("/proc/self/fd"))
    drop(root, "cat.tiff")
    for calls in range(30):
        fs.left = calls
        try:
            for claim in [*spool.recover().claims, *([claim_one(spool)] if list((root / "inbox/2-diffuse").iterdir()) else [])]:
                complete(spool, claim)
        except OSError:
            pass
        assert len(os.listdir("/proc/self/fd")) == descriptors
    fs.left = 10**6
    assert spool.recover().stuck == {}


def _fail(spool: Spool, claim: Claim) -> None:
    spool.fail(claim, "cat.tiff is 8 bit; save it as 32-bit float.", {"kind": "BadValues"})


def _commit(spool: Spool, claim: Claim) -> None:
    spool.commit(claim, [])


@pytest.mark.parametrize(("decide", "place"), [(_fail, "failed/2-diffuse"), (_commit, "done")])
def test_what_a_full_disk_interrupts_goes_on_when_there_is_room(
    decide: Callable[[Spool, Claim], None], place: str, root: Path
) -> None:
    drop(root, "cat.tiff", b"latents")
    fs = FullDisk(root)
    spool = Spool(root, FOLDERS, fs=fs)
    fs.well = True
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    fs.well = False
    with pytest.raises(OSError, match="No space left"):
        decide(spool, claim)
    stuck = spool.recover().stuck
    assert list(stuck) == ([claim.job] if decide is _fail else [])
    fs.well = True
    for again in spool.recover().claims:
        complete(spool, again)
    (kept,) = (root / place).glob("*/cat.tiff")
    assert kept.read_bytes() == b"latents"
    assert not list((root / ".work").iterdir())


def test_a_failure_that_could_not_be_told_on_a_full_disk_is_told_later(root: Path) -> None:
    drop(root, "cat.tiff")
    fs = FullDisk(root)
    claim = claim_one(Spool(root, FOLDERS))
    spool = Spool(root, FOLDERS, fs=fs)
    with pytest.raises(OSError, match="No space left"):
        _fail(spool, claim)
    assert list(spool.recover().stuck) == [claim.job]
    fs.well = True
    assert spool.recover().stuck == {}
    text = (root / f"failed/2-diffuse/cat.{claim.id}/error.txt").read_text()
    assert text.startswith("cat.tiff is 8 bit; save it as 32-bit float.")


def test_a_job_that_could_not_be_given_back_goes_back_later_and_its_attempt_does_not_count(root: Path) -> None:
    class ReadOnly(Filesystem):
        well = False

        def rename(self, source: Path, target: Path) -> None:
            if not self.well:
                raise OSError(errno.EROFS, os.strerror(errno.EROFS), source)
            super().rename(source, target)

    drop(root, "cat.tiff")
    claim = claim_one(Spool(root, FOLDERS))
    Spool(root, FOLDERS).begin_attempt(claim)
    fs = ReadOnly(root)
    spool = Spool(root, FOLDERS, fs=fs, max_attempts=1)
    with pytest.raises(OSError, match="Read-only"):
        spool.give_back(claim)
    assert list(spool.recover().stuck) == [claim.job]
    fs.well = True
    assert spool.recover().claims == []
    assert (root / "inbox/2-diffuse/cat.tiff").exists()


def test_a_job_whose_place_is_no_folder_is_stuck_and_a_stray_file_among_the_jobs_is_not(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    (root / "failed/2-diffuse").rmdir()
    (root / "failed/2-diffuse").touch()
    (root / ".work/stray").touch()
    with pytest.raises(NotADirectoryError):
        _fail(spool, claim)
    assert list(spool.recover().stuck) == [claim.job]
    (root / "failed/2-diffuse").unlink()
    assert spool.recover().stuck == {}
    assert list((root / "failed/2-diffuse").glob("cat.*/error.txt"))
