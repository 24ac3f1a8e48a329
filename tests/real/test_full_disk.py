"""A disk without room, or without room for names: nothing is lost or torn, and it goes on by itself when space returns."""

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest

import tiffsd
from tests.conftest import wait_until
from tests.real.disk import SmallDisk
from tests.real.fast_daemon import FastDaemon, Ledger
from tests.real.fast_worker import noise_of
from tests.real.programs import needs_mounting


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[SmallDisk]:
    needs_mounting()
    with SmallDisk(tmp_path / "disk", megabytes=2, inodes=400) as small:
        yield small


@pytest.fixture
def ledger(disk: SmallDisk, tmp_path: Path) -> Iterator[Ledger]:
    daemon = FastDaemon(tmp_path / "daemon", spool=disk.place / "spool")
    daemon.start()
    yield Ledger(daemon)
    daemon.close()


def work_without_room(ledger: Ledger, stem: str) -> None:
    """Let the stage go on with a prompt that lies there, until it is done or the daemon has met the full disk."""
    spool = ledger.daemon.spool
    met = ledger.daemon.log().count("No space left")
    (spool / "inbox/1-text/PAUSE").unlink()
    wait_until(
        lambda: list(spool.glob(f"done/*/{stem}.txt")) or ledger.daemon.log().count("No space left") > met,
        what=f"{stem} is done, or the full disk was met",
    )


def drop_in_pause(ledger: Ledger, stem: str) -> None:
    (ledger.daemon.spool / "inbox/1-text/PAUSE").touch()
    wait_until(lambda: '"paused": true' in (ledger.daemon.spool / "status.json").read_text(), what="the stage is paused")
    ledger.drop(stem, f"{stem}, very" + " very" * 1000)


def test_jobs_survive_a_full_disk_at_every_level(disk: SmallDisk, ledger: Ledger) -> None:
    for pages in range(14):
        drop_in_pause(ledger, f"cat{pages}")
        disk.fill(pages_left=pages)
        work_without_room(ledger, f"cat{pages}")
        disk.free()
        ledger.settle()
    assert "No space left" in ledger.daemon.log()


def test_jobs_survive_a_disk_without_free_names(disk: SmallDisk, ledger: Ledger) -> None:
    for names in range(7):
        drop_in_pause(ledger, f"cat{names}")
        disk.use_up_names(left=names)
        work_without_room(ledger, f"cat{names}")
        disk.free()
        ledger.settle()
    assert "No space left" in ledger.daemon.log()


def test_an_artifact_is_written_whole_or_not_at_all_whatever_room_there_is(disk: SmallDisk) -> None:
    """The end of the pixels may fall on the first byte without room, where numpy's tofile says nothing."""
    noise = noise_of("a cat")
    header = tiffsd.Header(
        kind=tiffsd.Kind.LATENTS, id=tiffsd.new_id(), layout=tiffsd.Layout.MOSAIC, size=noise.shape, state=tiffsd.State.NOISE
    )
    refused = 0
    for length in range(0, 2000, 100):
        longer = dataclasses.replace(header, recipe={"prompt": "x" * length})
        disk.free()
        disk.fill(pages_left=1)
        path = disk.place / f"cat{length}.tiff"
        try:
            with path.open("x+b") as file:
                tiffsd.write(file, tiffsd.Artifact(longer, {"latents": noise}))
            assert (tiffsd.read(path).tensors["latents"] == noise).all()
        except OSError:
            refused += 1
        path.unlink()
    assert 0 < refused < 20
