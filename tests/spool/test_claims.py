"""Claims: who has a file, what changed since, how often it was tried, and the way back."""

import errno
import json
import os
import signal
import threading
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import BinaryIO

import pytest

from daemon.inbox.grouping import Drop, Member
from daemon.spool import records
from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Claim, Spool
from tests.spool.real import claim_one, complete, drop, inbox_of
from tests.spool.stories import FOLDERS, SIGNED, TRIPLE, drops_in


def test_claim_takes_the_members(root: Path, spool: Spool) -> None:
    drop(root, "cat.3f9a1c2e.tiff", b"latents")
    drop(root, "cat.yaml", b"steps: 3")
    claim = claim_one(spool)
    assert (claim.stage, claim.stem, claim.attempts) == ("diffuse", "cat", 0)
    assert dict(claim.names) == {"principal": "cat.3f9a1c2e.tiff", ".yaml": "cat.yaml"}
    assert claim.members["principal"].read_bytes() == b"latents"
    assert claim.members[".yaml"].read_bytes() == b"steps: 3"
    assert not list((root / "inbox/2-diffuse").iterdir())
    assert claim.job.endswith(claim.id)


def test_claim_is_won_by_one(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    found = inbox_of(root, "diffuse").scan(0.0).ready[0]
    claims: list[Claim | None] = []
    threads = [threading.Thread(target=lambda: claims.append(spool.claim("diffuse", found))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len([claim for claim in claims if claim]) == 1
    assert len(list((root / ".work").iterdir())) == 1


def test_claim_of_a_drop_whose_half_is_gone_takes_nothing(root: Path, spool: Spool) -> None:
    latents = drop(root, "cat_latent.tiff")
    prompt = drop(root, "cat_prompt.tiff")
    found = inbox_of(root, "diffuse").scan(0.0).ready[0]
    prompt.unlink()
    assert spool.claim("diffuse", found) is None
    assert latents.read_bytes() == b"content"
    assert not list((root / ".work").iterdir())


def test_claim_leaves_a_folder_that_took_the_name(root: Path, spool: Spool) -> None:
    path = drop(root, "cat.tiff")
    found = inbox_of(root, "diffuse").scan(0.0).ready[0]
    path.unlink()
    path.mkdir()
    assert spool.claim("diffuse", found) is None
    assert path.is_dir()


def test_attempts_are_counted_across_daemons(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    assert spool.begin_attempt(claim) == 1
    again = Spool(root, FOLDERS).recover().claims[0]
    assert again.attempts == 1
    assert spool.begin_attempt(again) == 2


def test_job_out_of_attempts_is_failed_with_a_sentence(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.begin_attempt(claim)
    assert Spool(root, FOLDERS).recover().claims == []
    text = (root / f"failed/2-diffuse/cat.{claim.id}/error.txt").read_text()
    assert text.startswith("cat was started 2 times, and each time the daemon ended before it was done.")


def test_kills_of_the_daemon_do_not_fail_a_job_that_lies_with_a_worker(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    for _ in range(5):
        assert spool.begin_attempt(claim) == 1
        spool.mark_dispatched(claim)
        spool = Spool(root, FOLDERS)
        (claim,) = spool.recover().claims
        assert claim.attempts == 0


def test_a_job_that_came_back_from_its_worker_counts_its_attempt_again(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.mark_dispatched(claim)
    spool.clear_dispatched(claim)
    assert [again.attempts for again in Spool(root, FOLDERS).recover().claims] == [1]


def test_a_note_that_a_worker_had_an_earlier_attempt_uncounts_no_later_one(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.mark_dispatched(claim)  # the worker dies
    spool.begin_attempt(claim)
    again = Spool(root, FOLDERS, max_attempts=3)
    assert [claim.attempts for claim in again.recover().claims] == [2]


def test_an_uncounted_attempt_leaves_the_next_one_counted(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.mark_dispatched(claim)
    again = Spool(root, FOLDERS)
    (claim,) = again.recover().claims
    again.begin_attempt(claim)
    assert [claim.attempts for claim in Spool(root, FOLDERS).recover().claims] == [1]


def test_an_attempt_counts_when_the_whole_machine_went_down_with_it(root: Path) -> None:
    class OtherBoot(Filesystem):
        def boot(self) -> str:
            return "the boot before"

    drop(root, "cat.tiff")
    spool = Spool(root, FOLDERS, fs=OtherBoot(root))
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.mark_dispatched(claim)
    assert [again.attempts for again in Spool(root, FOLDERS).recover().claims] == [1]


@pytest.fixture
def _ignored_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


@pytest.mark.usefixtures("_ignored_sigio")
def test_settled_is_false_while_the_writer_goes_on(root: Path, spool: Spool) -> None:
    path = drop(root, "cat.tiff")
    found = inbox_of(root, "diffuse").scan(0.0).ready[0]
    with path.open("ab") as writer:
        claim = spool.claim("diffuse", found)
        assert claim is not None
        assert not spool.is_stable(claim)
        writer.write(b"more")
    assert not spool.is_stable(claim)  # it changed since the last look
    assert spool.is_stable(claim)


def test_give_back_restores_names_and_forgets_the_attempt(root: Path, spool: Spool) -> None:
    for name, content in TRIPLE.items():
        drop(root, name, content)
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.give_back(claim)
    assert {path.name: path.read_bytes() for path in (root / "inbox/2-diffuse").iterdir()} == TRIPLE
    assert claim_one(spool).attempts == 0


def test_give_back_keeps_a_newer_drop_of_the_same_name(root: Path, spool: Spool) -> None:
    for name, content in TRIPLE.items():
        drop(root, name, content)
    claim = claim_one(spool)
    drop(root, "cat_latent.tiff", b"newer")
    spool.give_back(claim)
    names = {path.name for path in (root / "inbox/2-diffuse").iterdir()}
    assert names == {"cat_latent.tiff", "cat-2_latent.tiff", "cat-2_prompt.tiff", "cat-2.yaml"}


def test_give_back_works_on_a_full_disk(root: Path) -> None:
    class Full(Filesystem):
        def create(self, path: Path) -> BinaryIO:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), path)

    drop(root, "cat.tiff")
    claim = claim_one(Spool(root, FOLDERS))
    Spool(root, FOLDERS, fs=Full(root)).give_back(claim)
    assert (root / "inbox/2-diffuse/cat.tiff").exists()


def test_claim_on_a_full_disk_leaves_the_inbox_alone(root: Path) -> None:
    class Full(Filesystem):
        def fsync(self, file: BinaryIO, _what: str) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), file.name)

    path = drop(root, "cat.tiff")
    with pytest.raises(OSError, match="No space left"):
        claim_one(Spool(root, FOLDERS, fs=Full(root)))
    assert path.exists()
    assert not list((root / ".work").iterdir())


def test_an_attempt_that_is_discounted_does_not_count_and_all_others_do(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.discount_attempt(claim)
    assert not (root / ".work" / claim.job / "entrusted.json").exists(), "nothing was begun"
    spool.begin_attempt(claim)
    spool.discount_attempt(claim)
    again = Spool(root, FOLDERS)
    (claim,) = again.recover().claims
    assert claim.attempts == 0
    again.begin_attempt(claim)
    (claim,) = Spool(root, FOLDERS).recover().claims
    assert claim.attempts == 1


def test_an_attempt_of_a_job_that_is_over_is_not_discounted(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    complete(spool, claim)
    spool.discount_attempt(claim)
    assert not list((root / ".work").iterdir())


def _on_hold(root: Path, names: Iterable[str] = SIGNED) -> Drop:
    """Files that wait on hold, as the drop that they are together."""
    for name in names:
        (root / "hold/2-diffuse" / name).write_bytes(SIGNED[name])
    (found,) = drops_in(Filesystem(root), root / "hold/2-diffuse", "diffuse")
    return found


def _lying_in(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("begins", [False, True])
def test_what_is_claimed_from_hold_goes_back_to_hold(begins: bool, root: Path, spool: Spool) -> None:
    claim = spool.claim("diffuse", _on_hold(root), principal_last=True)
    assert claim is not None
    assert not _lying_in(root / "hold/2-diffuse")
    if begins:
        spool.begin_attempt(claim)
    spool.give_back(claim)
    assert _lying_in(root / "hold/2-diffuse") == SIGNED
    assert not _lying_in(root / "inbox/2-diffuse"), "as if somebody had approved them"


def test_a_claim_from_hold_that_finds_one_gone_leaves_the_others_on_hold(root: Path, spool: Spool) -> None:
    found = _on_hold(root)
    for name in SIGNED:
        (root / "hold/2-diffuse" / name).rename(root / name)
        assert spool.claim("diffuse", found, principal_last=True) is None
        (root / name).rename(root / "hold/2-diffuse" / name)
        assert _lying_in(root / "hold/2-diffuse") == SIGNED
    assert not _lying_in(root / "inbox/2-diffuse")


def test_the_latents_leave_hold_last_so_that_no_crash_takes_them_without_what_lies_beside_them(root: Path) -> None:
    class Stopped(BaseException):
        """The daemon is killed."""

    class Dying(Filesystem):
        def rename(self, source: Path, target: Path) -> None:
            if source.name == "cat.3f9a1c2e.tiff":
                raise Stopped
            super().rename(source, target)

    with pytest.raises(Stopped):
        Spool(root, FOLDERS, fs=Dying(root)).claim("diffuse", _on_hold(root), principal_last=True)
    assert list(_lying_in(root / "hold/2-diffuse")) == ["cat.3f9a1c2e.tiff"]
    assert Spool(root, FOLDERS).recover().claims == []
    assert _lying_in(root / "hold/2-diffuse") == SIGNED


def test_what_goes_back_to_hold_beside_a_newer_file_of_its_name_keeps_together(root: Path, spool: Spool) -> None:
    claim = spool.claim("diffuse", _on_hold(root))
    assert claim is not None
    (root / "hold/2-diffuse/cat.3f9a1c2e.proof.png").write_bytes(b"newer")
    spool.give_back(claim)
    back = {name.replace("cat.", "cat-2."): content for name, content in SIGNED.items()}
    assert _lying_in(root / "hold/2-diffuse") == {**back, "cat.3f9a1c2e.proof.png": b"newer"}


def test_what_goes_back_to_hold_finds_its_folder_made_again(root: Path, spool: Spool) -> None:
    claim = spool.claim("diffuse", _on_hold(root))
    assert claim is not None
    (root / "hold/2-diffuse").rmdir()
    spool.give_back(claim)
    assert _lying_in(root / "hold/2-diffuse") == SIGNED


def _with_proof_from(place: str, root: Path) -> Drop:
    drop(root, "cat.3f9a1c2e.tiff", b"latents")
    (found,) = drops_in(Filesystem(root), root / "inbox/2-diffuse", "diffuse")
    proof = root / place / "cat.3f9a1c2e.proof.png"
    proof.write_bytes(b"paint")
    st = proof.stat()
    mark = (st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns)
    return replace(found, members=(*found.members, Member(".proof.png", proof, mark)))


@pytest.mark.parametrize("place", ["hold/2-diffuse", "hold/3-decode", "inbox/3-decode"])
def test_a_proof_that_goes_along_goes_back_to_where_it_waited(place: str, root: Path, spool: Spool) -> None:
    claim = spool.claim("diffuse", _with_proof_from(place, root))
    assert claim is not None
    assert claim.members[".proof.png"].read_bytes() == b"paint"
    assert not _lying_in(root / place)
    spool.give_back(claim)
    assert _lying_in(root / "inbox/2-diffuse") == {"cat.3f9a1c2e.tiff": b"latents"}
    assert _lying_in(root / place) == {"cat.3f9a1c2e.proof.png": b"paint"}


def test_a_proof_that_went_meanwhile_leaves_its_latents_in_their_inbox(root: Path, spool: Spool) -> None:
    found = _with_proof_from("hold/2-diffuse", root)
    found.members[1].path.unlink()
    assert spool.claim("diffuse", found) is None
    assert _lying_in(root / "inbox/2-diffuse") == {"cat.3f9a1c2e.tiff": b"latents"}


def test_a_claim_of_a_version_that_knew_no_places_goes_back_to_its_inbox(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    claim = claim_one(spool)
    record = json.loads((root / ".work" / claim.job / records.CLAIM).read_text())
    older = {key: value for key, value in record.items() if key not in ("sha256", "places")}
    records.write(Filesystem(root), root / ".work" / claim.job, records.CLAIM, older)
    (again,) = Spool(root, FOLDERS).recover().claims
    assert again.places == {}
    Spool(root, FOLDERS).give_back(again)
    assert _lying_in(root / "inbox/2-diffuse") == {"cat.tiff": b"latents"}
