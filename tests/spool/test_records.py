"""Damaged notes and stray files: they cost the job they belong to at most, and never another."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from daemon.spool import records
from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Claim, Spool
from tests.spool.real import claim_one, drop
from tests.spool.stories import FOLDERS


def _job_with_a_neighbour(root: Path, spool: Spool) -> tuple[Claim, Claim]:
    drop(root, "cat.tiff", b"latents")
    damaged = claim_one(spool)
    spool.begin_attempt(damaged)
    drop(root, "dog.tiff")
    return damaged, claim_one(spool)


def _variants(whole: bytes) -> Iterator[bytes]:
    """A record as a dying disk may give it back: torn anywhere, zeros from anywhere on, one bit wrong anywhere."""
    for number in range(0, len(whole), 7):
        yield whole[:number]
        yield whole[:number] + bytes(len(whole) - number)
        yield whole[:number] + bytes([whole[number] ^ 1]) + whole[number + 1 :]


def test_a_record_that_is_not_what_was_written_is_never_believed(root: Path, spool: Spool) -> None:
    damaged, _other = _job_with_a_neighbour(root, spool)
    path = root / ".work" / damaged.job / records.CLAIM
    whole = path.read_bytes()
    believed = records.read_claim(Filesystem(root), path.parent)
    for content in _variants(whole):
        path.write_bytes(content)
        try:
            assert (
                records.read_claim(Filesystem(root), path.parent) == believed
            )  # a bit of the layout, such as a space, says nothing
        except records.DamagedRecord:
            continue


@pytest.mark.parametrize("record", [records.CLAIM, records.ATTEMPT])
def test_torn_notes_lose_no_file_and_stop_no_other_job(record: str, worlds: Path) -> None:
    for number, share in enumerate((0.0, 0.3, 0.9)):
        root = worlds / str(number)
        Spool(root, FOLDERS).create()
        damaged, other = _job_with_a_neighbour(root, Spool(root, FOLDERS))
        path = root / ".work" / damaged.job / record
        path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
        recovery = Spool(root, FOLDERS).recover()
        assert other.job in [claim.job for claim in recovery.claims]
        assert recovery.stuck == {}
        assert [found.read_bytes() for found in root.rglob("cat.tiff")] == [b"latents"]


@pytest.mark.parametrize("record", [records.CLAIM, records.COMMIT, records.FAIL])
@pytest.mark.parametrize("damage", [b"", b"{", b"[]", b"{}", b'{"names": {"principal": "../../x"}}', b"\xff\xfe"])
def test_damaged_records_quarantine_the_job_and_stop_no_other(record: str, damage: bytes, root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    damaged = claim_one(spool)
    spool.begin_attempt(damaged)
    with spool.create_output(damaged, "latents.tiff") as file:
        file.write(b"result")
    (root / ".work" / damaged.job / record).write_bytes(damage)
    drop(root, "dog.tiff")
    other = claim_one(spool)
    assert [claim.job for claim in Spool(root, FOLDERS).recover().claims] == [other.job]
    (failed,) = [path for path in (root / "failed").glob("*/*") if path.is_dir()]
    assert (failed / "cat.tiff").read_bytes() == b"latents"
    assert (failed / "results/latents.tiff").read_bytes() == b"result"
    report = next(failed.glob("error*.txt")).read_text()
    assert report.startswith("The daemon's notes on this job could not be read")
    assert failed.parent.name == ("unclear" if record == records.CLAIM else "2-diffuse")


def test_job_of_a_stage_that_is_not_configured_any_more_is_kept(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    claim = claim_one(spool)
    assert Spool(root, {"text": "1-text"}).recover().claims == []
    assert (root / "failed/unclear" / claim.job / "cat.tiff").read_bytes() == b"latents"


def test_damaged_count_of_attempts_leaves_one_more(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    (root / ".work" / claim.job / records.ATTEMPT).write_bytes(b"\0\0")
    assert [again.attempts for again in Spool(root, FOLDERS).recover().claims] == [1]


def test_stray_things_in_the_work_folder_stop_no_job(root: Path, spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    (root / ".work/stray").write_bytes(b"?")
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    assert [again.job for again in Spool(root, FOLDERS).recover().claims] == [claim.job]
    assert "stray could not be recovered" in caplog.text


def test_recovery_leaves_jobs_in_flight_alone(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    assert spool.recover(in_flight={claim.job}).claims == []


def test_trash_that_holds_files_is_kept(root: Path, spool: Spool, caplog: pytest.LogCaptureFixture) -> None:
    (root / ".trash/J/out").mkdir(parents=True)
    (root / ".trash/J/out/latents.tiff").write_bytes(b"never published")
    spool.recover()
    assert (root / ".trash/J/out/latents.tiff").exists()
    assert "still holds files" in caplog.text


@pytest.mark.parametrize("name", ["../../cat.tiff", "/etc/passwd", "..", ""])
def test_a_claim_that_names_files_outside_of_its_job_is_never_believed(name: str, root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    folder = root / ".work" / claim_one(spool).job
    ops = Filesystem(root)
    said = records.read(ops, folder, records.CLAIM)
    assert said is not None
    records.write(ops, folder, records.CLAIM, {**said, "names": {"principal": name}})
    with pytest.raises(records.DamagedRecord, match="outside the job"):
        records.read_claim(ops, folder)


@pytest.mark.parametrize("place", ["done", "hold", "hold/../.work", "/etc/hold", "hold/2-diffuse/deeper", ".work/2-diffuse", ""])
def test_a_claim_that_names_a_place_where_no_files_wait_is_never_believed(place: str, root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    folder = root / ".work" / claim_one(spool).job
    ops = Filesystem(root)
    said = records.read(ops, folder, records.CLAIM)
    assert said is not None
    records.write(ops, folder, records.CLAIM, {**said, "places": {"principal": place}})
    with pytest.raises(records.DamagedRecord, match="a place in which no files wait"):
        records.read_claim(ops, folder)
