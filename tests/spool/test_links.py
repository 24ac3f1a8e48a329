"""What a member of the group may put in the way of the daemon: links and folders of hers in place of its own. Nothing outside the
spool is read, written, moved or deleted, no file is lost, and it goes on when she has put it back."""

import os
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest

from daemon.beneath import Beneath
from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Claim, Spool
from daemon.walking import Kept
from tests.spool.real import claim_one, drop, publications
from tests.spool.stories import FOLDERS

SECRET = b"a secret"


@pytest.fixture(params=["walked", "in one call", "kept open"], autouse=True)
def _ways(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, root: Path) -> Iterator[None]:
    """Each of the ways to a folder: of an old kernel, of one that goes all of it in one call, and of a daemon that has the lock."""
    if request.param == "walked":
        monkeypatch.setattr("daemon.walking._openat2", lambda *_: -1)
    kept = Kept(root) if request.param == "kept open" else None
    yield
    del kept


@pytest.fixture
def outside(root: Path) -> Iterator[Path]:
    """A folder that only the daemon's user may read, on the same disk, and what must be the same afterwards."""
    with TemporaryDirectory(dir=root.parent) as name:
        folder = Path(name)
        (folder / "in").mkdir()
        for place in (folder / "secret", folder / "in" / "cat.tiff", folder / "claim.json"):
            place.write_bytes(SECRET)
        yield folder


def everything(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def with_a_link_at(place: Path, target: Path) -> Path:
    """What she did: moved a folder aside, and put a link in its place; where the folder is now."""
    aside = place.with_name(f"{place.name}-aside")
    place.rename(aside)
    place.symlink_to(target, target_is_directory=True)
    return aside


def attempted(spool: Spool, claim: Claim) -> None:
    spool.begin_attempt(claim)
    with spool.create_output(claim, "latents.tiff") as file:
        file.write(b"output")
    spool.commit(claim, publications("latents.tiff"))


def finished(spool: Spool, claim: Claim) -> None:
    attempted(spool, claim)
    spool.finish(claim)


def failed(spool: Spool, claim: Claim) -> None:
    spool.begin_attempt(claim)
    spool.fail(claim, "cat.tiff is all cat; draw a dog.", {})


WAYS: dict[str, tuple[str, Callable[[Spool, Claim], object]]] = {
    "the inbox of the next stage": ("inbox/3-decode", finished),
    "all inboxes": ("inbox", finished),
    "the folder of used files": ("done", finished),
    "the folder of failed jobs": ("failed/2-diffuse", failed),
    "the inbox that a job is given back to": ("inbox/2-diffuse", lambda spool, claim: spool.give_back(claim)),
    "the daemon's own folder": (".work", finished),
    "the daemon's trash": (".trash", finished),
}


@pytest.mark.parametrize("way", WAYS)
def test_a_link_in_place_of_a_folder_is_not_followed_and_the_job_ends_well_without_it(
    way: str, root: Path, spool: Spool, outside: Path
) -> None:
    place, end = WAYS[way]
    before = everything(outside)
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    aside = with_a_link_at(root / place, outside)
    with pytest.raises(OSError, match="Not a directory"):
        end(spool, claim)
    assert everything(outside) == before

    (root / place).unlink()
    aside.rename(root / place)
    for again in spool.recover().claims:
        finished(spool, again)
    assert everything(outside) == before
    found = everything(root)
    assert [path for path in found if path.endswith("cat.tiff")], "the file is lost"
    assert not os.listdir(root / ".work")


def test_a_link_in_place_of_a_jobs_files_makes_no_prompt_of_what_it_leads_to(root: Path, spool: Spool, outside: Path) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    before = everything(outside)
    with_a_link_at(root / ".work" / claim.job / "in", outside / "in")
    spool.begin_attempt(claim)
    with pytest.raises(OSError, match="Not a directory"):
        spool.is_stable(claim)
    assert everything(outside) == before


@pytest.mark.parametrize("operation", ["rename_noreplace", "lstat", "read", "list"])
def test_what_is_out_of_reach_for_one_call_is_not_taken_for_gone(operation: str, root: Path) -> None:
    """An output that is not seen in out/ counts as published, a member that is not in in/ as archived."""

    class Away(Filesystem):
        left = 10**6

        def __getattribute__(self, name: str) -> Any:
            value = super().__getattribute__(name)
            return self._without_jobs(value) if name == operation else value

        def _without_jobs(self, call: Any) -> Any:
            self.left -= 1
            if self.left != 0:
                return call

            def called(*args: Any) -> Any:
                (root / ".work").rename(root / "away")
                try:
                    return call(*args)
                finally:
                    (root / "away").rename(root / ".work")

            return called

    for number in range(1, 12):
        name = f"cat{number}.tiff"
        drop(root, name)
        fs = Away(root)
        spool = Spool(root, FOLDERS, fs=fs)
        claim = claim_one(spool)
        attempted(spool, claim)
        fs.left = number
        with suppress(OSError):
            spool.finish(claim)
        fs.left = 10**6
        assert (spool.recover().stuck, os.listdir(root / ".work"), os.listdir(root / ".trash")) == ({}, [], [])
        assert len([*(root / "inbox/3-decode").iterdir(), *(root / "done").rglob("*.tiff")]) == 2 * number


def test_a_link_among_the_jobs_is_no_job_and_nothing_that_it_leads_to_is_deleted(root: Path, spool: Spool, outside: Path) -> None:
    before = everything(outside)
    (root / ".work" / "zzz").symlink_to(outside, target_is_directory=True)
    (root / ".trash" / "zzz").symlink_to(outside, target_is_directory=True)
    recovery = spool.recover()
    assert (recovery.claims, everything(outside)) == ([], before)


def test_a_job_that_somebody_threw_away_is_whole_when_it_is_moved_back(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    attempted(spool, claim)
    (root / ".work" / claim.job / "out" / "latents.tiff").rename(root / "inbox/3-decode/latents.tiff")
    (root / ".work" / claim.job).rename(root / ".trash" / claim.job)
    assert spool.recover().stuck == {}
    (root / ".trash" / claim.job).rename(root / ".work" / claim.job)
    assert (spool.recover().stuck, os.listdir(root / ".work")) == ({}, [])
    assert list((root / "done").rglob("cat.tiff"))


def test_while_the_folder_of_the_jobs_is_away_no_job_counts_as_over(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    attempted(spool, claim)
    (root / ".work").rename(root / "x")
    for step in (spool.finish, spool.begin_attempt, spool.give_back):
        with pytest.raises(FileNotFoundError):
            step(claim)
    (root / "x").rename(root / ".work")
    assert len(spool.finish(claim)) == len(publications("latents.tiff"))


@pytest.mark.parametrize("own", [".work", ".trash"])
def test_a_folder_of_peoples_in_the_place_of_the_daemons_own_loses_no_file(own: str, root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    finished(spool, claim_one(spool))
    before = everything(root / "done")
    (root / own).rename(root / "x")
    (root / "done").rename(root / own)
    (root / "x").rename(root / "done")
    with suppress(OSError):
        spool.recover()
    assert everything(root / own) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be two users")
def test_a_folder_of_somebody_elses_in_place_of_the_daemons_own_is_not_used(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    (root / ".work").rename(root / "x")
    (root / ".work").mkdir()
    os.chown(root / ".work", 12345, 12345)
    with pytest.raises(PermissionError, match="somebody else's"):
        claim_one(spool)
    os.chown(root / ".work", os.geteuid(), -1)
    (root / ".work").chmod(0o2777)
    with pytest.raises(PermissionError, match="open to others"):
        claim_one(spool)
    assert (root / "inbox" / FOLDERS["diffuse"] / "cat.tiff").exists()


def test_what_blocks_or_leads_elsewhere_is_not_opened(root: Path, outside: Path) -> None:
    beneath = Beneath(root)
    os.mkfifo(root / "embeddings" / "fifo")
    (root / "embeddings" / "link").symlink_to(outside / "secret")
    for name in ("fifo", "link"):
        with pytest.raises(OSError):  # noqa: PT011 - each its own
            beneath.open_plain(root / "embeddings" / name)
    with pytest.raises(ValueError, match="leads out of"):
        beneath.open_plain(root / "embeddings" / ".." / "x")
    with pytest.raises(ValueError, match="leads out of"):
        beneath.open_plain(outside / "secret")


def test_the_root_may_be_a_link_which_is_the_administrators(root: Path, tmp_path: Path) -> None:
    (tmp_path / "spool").symlink_to(root, target_is_directory=True)
    linked = Filesystem(tmp_path / "spool")
    assert sorted(linked.list(tmp_path / "spool" / "inbox")) == sorted(FOLDERS.values())


def test_no_descriptor_stays_open(root: Path, spool: Spool) -> None:
    for name in ("dog.tiff", "cat.tiff"):
        before = len(os.listdir("/proc/self/fd"))
        drop(root, name)
        finished(spool, claim_one(spool))
    assert len(os.listdir("/proc/self/fd")) == before
