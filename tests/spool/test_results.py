"""Results: made whole, named once, published without overwriting anything, and never claimed too early."""

import threading
from pathlib import Path

import pytest

from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Claim, Publication, Spool
from tests.spool.real import claim_one, complete, drop, inbox_of, publications
from tests.spool.stories import FOLDERS


def test_begin_attempt_empties_out(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    with spool.create_output(claim, "latents.tiff") as file:
        file.write(b"of the first attempt")
    spool.begin_attempt(claim)
    with spool.create_output(claim, "latents.tiff") as file:
        file.write(b"of the second attempt")
    spool.commit(claim, publications("latents.tiff"))
    assert [path.read_bytes() for path in spool.finish(claim)] == [b"of the second attempt"]


def test_output_that_fails_leaves_nothing(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    with pytest.raises(TypeError), spool.create_output(claim, "latents.tiff") as file:
        file.writelines([b"half", "not bytes"])  # type: ignore[list-item]
    assert not list((root / ".work" / claim.job / "out").iterdir())


def test_output_with_a_long_name_fits(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    name = "x" * 250 + ".tiff"
    with spool.create_output(claim, name) as file:
        file.write(b"whole")
    assert (root / ".work" / claim.job / "out" / name).read_bytes() == b"whole"


@pytest.mark.parametrize("name", ["a/b", "..", ".hidden", ""])
def test_output_must_have_a_plain_name(name: str, root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    with pytest.raises(ValueError, match="plain name"), spool.create_output(claim, name):
        pass


@pytest.mark.parametrize(
    ("folder", "name"), [("../outside", "x"), ("/tmp", "x"), ("pictures", "../x"), ("pictures", ""), ("", "x")]
)
def test_publication_stays_inside_the_spool(folder: str, name: str) -> None:
    with pytest.raises(ValueError, match="does not name a file"):
        Publication("x", folder, name)


def test_commit_names_every_output_once(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    with spool.create_output(claim, "latents.tiff") as file:
        file.write(b"x")
    with pytest.raises(ValueError, match="would publish"):
        spool.commit(claim, [])
    with pytest.raises(ValueError, match="would publish"):
        spool.commit(claim, publications("latents.tiff", "picture.tiff"))


def test_after_the_commit_only_forward(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    claim = claim_one(spool)
    spool.begin_attempt(claim)
    spool.commit(claim, [])
    for step in (spool.give_back, spool.begin_attempt, lambda claim: spool.fail(claim, "No.", {})):
        with pytest.raises(RuntimeError, match="can only be finished"):
            step(claim)
    spool.finish(claim)
    assert spool.finish(claim) == []
    with pytest.raises(RuntimeError, match="is over"):
        spool.give_back(claim)


def test_finish_never_overwrites(root: Path, spool: Spool) -> None:
    (root / "inbox/3-decode/cat.00000000.tiff").write_bytes(b"made by hand")
    drop(root, "cat.tiff")
    published = complete(spool, claim_one(spool))
    assert published == [root / "inbox/3-decode/cat-2.00000000.tiff"]
    assert (root / "inbox/3-decode/cat.00000000.tiff").read_bytes() == b"made by hand"


def test_finish_makes_a_folder_that_a_person_deleted(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff")
    (root / "done").rmdir()
    (root / "inbox/3-decode").rmdir()
    assert complete(spool, claim_one(spool)) == [root / "inbox/3-decode/cat.00000000.tiff"]


def test_done_keeps_both_of_one_name(root: Path, spool: Spool) -> None:
    for content in (b"first", b"second"):
        drop(root, "cat.tiff", content)
        complete(spool, claim_one(spool))
    archived = sorted(path for path in (root / "done").rglob("*") if path.is_file())
    assert [(path.name, path.read_bytes()) for path in archived] == [("cat-2.tiff", b"second"), ("cat.tiff", b"first")]


class SlowToSync(Filesystem):
    """A disk on which outputs lie in the inbox of decode, and are not durable until they may be."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.published, self.may_go_on = threading.Event(), threading.Event()

    def fsync_folder(self, folder: Path, what: str) -> None:
        if folder.name == "3-decode":
            self.published.set()
            self.may_go_on.wait(60)
        super().fsync_folder(folder, what)


def test_nobody_claims_an_output_before_all_are_durable(root: Path) -> None:
    drop(root, "cat.tiff")
    disk = SlowToSync(root)
    slow = Spool(root, FOLDERS, fs=disk)
    producer = threading.Thread(target=complete, args=(slow, claim_one(slow)))
    producer.start()
    assert disk.published.wait(10)
    found = inbox_of(root, "decode").scan(0.0).ready[0]
    claims: list[Claim | None] = []
    consumer = threading.Thread(target=lambda: claims.append(slow.claim("decode", found)))
    consumer.start()
    consumer.join(0.05)
    assert found.principal.path.exists()
    disk.may_go_on.set()
    producer.join()
    consumer.join()
    assert claims[0] is not None


def test_outputs_that_appear_in_one_folder_keep_nobody_from_another(root: Path) -> None:
    drop(root, "cat.tiff")
    disk = SlowToSync(root)
    slow = Spool(root, FOLDERS, fs=disk)
    producer = threading.Thread(target=complete, args=(slow, claim_one(slow)))
    producer.start()
    try:
        assert disk.published.wait(60)
        drop(root, "dog.tiff")
        assert claim_one(slow).stem == "dog"
    finally:
        disk.may_go_on.set()
        producer.join()


def test_the_spool_knows_its_own_results_until_somebody_writes_into_them(root: Path, spool: Spool) -> None:
    stranger = drop(root, "cat.tiff")
    result = complete(spool, claim_one(spool))[0]

    def is_own(path: Path) -> bool:
        st = path.stat()
        return spool.is_own((st.st_dev, st.st_ino, st.st_size, st.st_mtime_ns, st.st_ctime_ns))

    assert is_own(result)
    held = result.rename(root / "hold" / FOLDERS["decode"] / result.name)
    assert is_own(held), "a person may move it about"
    held.write_bytes(b"output two")
    assert not is_own(held)
    assert not is_own(drop(root, stranger.name))
