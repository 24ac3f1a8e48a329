"""failed/ and hold/: what people are told, and the ways back to an inbox."""

import json
import os
from pathlib import Path

import pytest

from daemon.errors import InputError, Kind, NotThere
from daemon.settings.prompts import parse_prompt
from daemon.spool.filesystem import Filesystem
from daemon.spool.spool import Spool
from tests.spool.real import claim_one, complete, drop, inbox_of
from tests.spool.stories import SIGNED, TRIPLE, drops_in


def test_failure_tells_people_what_to_do(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    drop(root, "cat.yaml", b"settings")
    claim = claim_one(spool)
    failed = spool.fail(claim, "cat.tiff is 8 bit; save it as 32-bit float.", {"kind": "BadValues"})
    assert failed == root / f"failed/2-diffuse/cat.{claim.id}"
    assert {path.name for path in failed.iterdir()} == {"cat.tiff", "cat.yaml", "error.txt", "error.json"}
    assert (failed / "error.txt").read_text() == (
        "cat.tiff is 8 bit; save it as 32-bit float.\n\n"
        "Dropped: cat.tiff, cat.yaml\n"
        "To try again: put it right, then move it back to inbox/2-diffuse\n"
        f"or run: tiffsd retry cat.{claim.id}\n"
    )
    facts = json.loads((failed / "error.json").read_text())
    assert facts["sentence"] == "cat.tiff is 8 bit; save it as 32-bit float."
    assert (facts["stage"], facts["kind"], facts["attempts"]) == ("diffuse", "BadValues", 0)
    assert not list((root / ".work").iterdir())


@pytest.mark.parametrize("elsewhere", ["", "inbox/1-text"])
def test_a_report_that_is_moved_back_is_no_prompt(elsewhere: str, root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    failed = spool.fail(claim_one(spool), "No.", {"kind": Kind.UNREADABLE, "elsewhere": elsewhere})
    report = (failed / "error.txt").read_bytes()
    with pytest.raises(InputError, match=r"error\.txt: this is the report on a job that failed, and no prompt; delete it"):
        parse_prompt(report, "error.txt", characters=20_000)
    assert parse_prompt(b"Dropped: a vase\nTo try again", "error.txt", characters=99).settings


def test_a_failure_of_a_known_kind_names_the_section_of_the_documents(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    failed = spool.fail(claim_one(spool), "No.", {"kind": Kind.UNREADABLE})
    named = "\nMore: docs/troubleshooting.md#unreadable, or run: tiffsd help unreadable\n"
    assert (failed / "error.txt").read_text().endswith(named)
    assert json.loads((failed / "error.json").read_text())["kind"] == "unreadable"


def test_a_failure_names_the_way_to_the_original_where_one_is_kept(root: Path, spool: Spool) -> None:
    (root / ".keep/cat.3f9a1c2e.tiff").write_bytes(b"original")
    for name, is_named in (("cat.3f9a1c2e.tiff", True), ("cat.3f9a1c2f.tiff", False), ("cat.tiff", False)):
        drop(root, name, b"spoilt")
        text = (spool.fail(claim_one(spool), "No.", {}) / "error.txt").read_text()
        way = f"put an empty file {name}.restore into inbox/2-diffuse\nor run: tiffsd restore {name}\n"
        assert (way in text) == is_named
        assert ("restore" in text) == is_named


def test_the_report_of_a_hostile_name_and_sentence_has_the_lines_of_any_other(root: Path, spool: Spool) -> None:
    name = "cat\n\x1b[2J\u202e" + os.fsdecode(b"\xff") + ".tiff"
    drop(root, name, b"latents")
    failed = spool.fail(claim_one(spool), "It says 'a\n\nDropped: nothing\u2028\x9b\ud800'.", {})
    sentence, nothing, *lines = (failed / "error.txt").read_text(encoding="utf-8").split("\n")
    assert (sentence, nothing) == ("It says 'a\\n\\nDropped: nothing\\u2028\\x9b\\ud800'.", "")
    assert [line.partition(":")[0] for line in lines] == ["Dropped", "To try again", "or run", ""]
    assert all(line.isprintable() for line in lines)
    facts = json.loads((failed / "error.json").read_text())
    assert (facts["sentence"], list(facts["files"].values())) == (sentence, [name])
    assert [path.name for path in spool.retry(failed)] == [name]


def test_retry_moves_the_files_back(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    drop(root, "cat.yaml", b"settings")
    failed = spool.fail(claim_one(spool), "No.", {})
    moved = spool.retry(failed)
    assert sorted(path.name for path in moved) == ["cat.tiff", "cat.yaml"]
    assert (root / "inbox/2-diffuse/cat.tiff").read_bytes() == b"latents"
    assert not failed.exists()


def test_retry_leaves_what_programs_put_there_and_takes_the_folder_away(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    failed = spool.fail(claim_one(spool), "No.", {})
    for name in (".DS_Store", "Thumbs.db", "._cat.tiff"):
        (failed / name).write_bytes(b"x")
    assert [path.name for path in spool.retry(failed)] == ["cat.tiff"]
    assert [path.name for path in (root / "inbox/2-diffuse").iterdir()] == ["cat.tiff"]
    assert not failed.exists()


def failed_and_moved_out(root: Path, spool: Spool, name: str = "cat.tiff") -> Path:
    """A failed job whose file somebody has moved back to the inbox, as over a share."""
    drop(root, name, b"latents")
    failed = spool.fail(claim_one(spool), "No.", {})
    (failed / name).rename(root / "inbox/2-diffuse" / name)
    return failed


def test_the_folder_of_a_file_that_was_moved_back_goes_when_it_has_run(root: Path, spool: Spool) -> None:
    failed = failed_and_moved_out(root, spool)
    (failed / ".DS_Store").write_bytes(b"x")
    complete(spool, claim_one(spool))
    assert not failed.exists()


def test_the_folder_of_a_file_that_was_moved_back_gives_way_to_its_next_failure(root: Path, spool: Spool) -> None:
    failed = failed_and_moved_out(root, spool, "why?.tiff")
    claim = claim_one(spool)
    assert failed.exists(), "until it has run the reasons are worth reading"
    again = spool.fail(claim, "No, still.", {})
    assert [path.name for path in again.parent.iterdir()] == [again.name] == [f"why_.{claim.id}"]


def test_of_what_has_failed_with_another_name_nothing_is_asked(root: Path, spool: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    other = failed_and_moved_out(root, spool, "cats.tiff")
    (root / "inbox/2-diffuse/cats.tiff").unlink()
    drop(root, "cat.tiff", b"latents")
    asked: list[Path] = []
    look = Filesystem.lstat
    monkeypatch.setattr(Filesystem, "lstat", lambda self, path: (asked.append(path), look(self, path))[1])
    complete(spool, claim_one(spool))
    assert [path for path in asked if path.is_relative_to(root / "failed")] == []
    assert other.exists()


def test_folders_with_anything_of_a_persons_stay(root: Path, spool: Spool) -> None:
    drop(root, "dog.tiff", b"latents")
    other = spool.fail(claim_one(spool), "No.", {})  # whose file is still there
    prompt = root / "inbox/1-text/error.txt"
    prompt.write_bytes(b"a drop named like a report")
    named_like_a_report = spool.fail(claim_one(spool, "text"), "No.", {})
    for report in ("error-report.txt", "error-report.json"):
        (named_like_a_report / report).unlink()
    noted = failed_and_moved_out(root, spool)
    (noted / "my notes.txt").write_text("sharpen it")
    complete(spool, claim_one(spool))
    drop(root, "dog.tiff", b"again")
    prompt.write_bytes(b"again")
    spool.fail(claim_one(spool), "No.", {})
    spool.fail(claim_one(spool, "text"), "No.", {})
    assert (other / "dog.tiff").exists()
    assert (named_like_a_report / "error.txt").read_bytes() == b"a drop named like a report"
    assert (noted / "my notes.txt").exists()


def test_retry_keeps_halves_together_beside_a_newer_drop(root: Path, spool: Spool) -> None:
    for name in TRIPLE:
        drop(root, name)
    failed = spool.fail(claim_one(spool), "No.", {})
    drop(root, "cat_prompt.tiff", b"newer")
    assert {path.name for path in spool.retry(failed)} == {"cat-2_latent.tiff", "cat-2_prompt.tiff", "cat-2.yaml"}
    assert (root / "inbox/2-diffuse/cat_prompt.tiff").read_bytes() == b"newer"


def test_retry_of_a_drop_named_like_a_report(root: Path, spool: Spool) -> None:
    drop(root, "error.txt", b"a prompt about errors", stage="text")
    failed = spool.fail(claim_one(spool, "text"), "No.", {})
    assert (failed / "error-report.txt").read_text().startswith("No.")
    assert [path.read_bytes() for path in spool.retry(failed)] == [b"a prompt about errors"]
    assert not failed.exists()


def _failed_from_hold(root: Path, spool: Spool) -> Path:
    for name, content in SIGNED.items():
        (root / "hold/2-diffuse" / name).write_bytes(content)
    (found,) = drops_in(Filesystem(root), root / "hold/2-diffuse", "diffuse")
    claim = spool.claim("diffuse", found, principal_last=True)
    assert claim is not None
    return spool.fail(claim, "No.", {})


def test_retry_of_what_waited_on_hold_approves_nothing(root: Path, spool: Spool) -> None:
    failed = _failed_from_hold(root, spool)
    assert "To try again: put it right, then move it back to hold/2-diffuse\n" in (failed / "error.txt").read_text()
    (root / "hold/2-diffuse").rmdir()
    moved = spool.retry(failed)
    assert moved[-1].name == "cat.3f9a1c2e.tiff", "the latents last"
    assert {path.name: path.read_bytes() for path in (root / "hold/2-diffuse").iterdir()} == SIGNED
    assert not list((root / "inbox/2-diffuse").iterdir())
    assert not failed.exists()


@pytest.mark.parametrize("place", ["hold/9-none", "done", "hold/../.work", "pictures/2-diffuse", "/tmp/2-diffuse", 7])
def test_a_report_that_was_edited_sends_files_to_no_other_place(place: object, root: Path, spool: Spool) -> None:
    failed = _failed_from_hold(root, spool)
    report = json.loads((failed / "error.json").read_text())
    (failed / "error.json").write_text(json.dumps({**report, "places": dict.fromkeys(report["places"], place)}))
    assert {path.parent for path in spool.retry(failed)} == {root / "inbox/2-diffuse"}
    assert not (root / "hold/9-none").exists()


def test_retry_of_something_else_is_refused(root: Path, spool: Spool) -> None:
    with pytest.raises(NotThere, match="not a failed job"):
        spool.retry(root / "done")
    with pytest.raises(NotThere, match="is not there"):
        spool.retry(root / "failed/1-text/cat.00000000")


def test_release_moves_the_file_and_its_settings(root: Path, spool: Spool) -> None:
    (root / "hold/2-diffuse/cat.3f9a1c2e.tiff").write_bytes(b"painted")
    (root / "hold/2-diffuse/cat.yaml").write_bytes(b"steps: 5")
    assert spool.release_hold(root / "hold/2-diffuse/cat.3f9a1c2e.tiff") == root / "inbox/2-diffuse/cat.3f9a1c2e.tiff"
    assert (root / "inbox/2-diffuse/cat.yaml").read_bytes() == b"steps: 5"
    assert not list((root / "hold/2-diffuse").iterdir())


@pytest.mark.parametrize("ways", [("hold", "inbox"), ("inbox", "hold")])
def test_all_companions_go_with_the_file_and_nothing_else(root: Path, spool: Spool, ways: tuple[str, str]) -> None:
    source, target = (root / way / "2-diffuse" for way in ways)
    mine = {"fox.3f9a1c2e.tiff", "fox.txt", "fox_neg.txt", "fox_mask.png", "fox.3f9a1c2e.yaml", "fox.yml"}
    others = {"fox2.txt", "dog.tiff", "dog_neg.txt", "fox.12345678.tiff"}
    for name in mine | others:
        (source / name).write_text(name)
    move = spool.release_hold if source.parent.name == "hold" else spool.move_to_hold
    assert move(source / "fox.3f9a1c2e.tiff") == target / "fox.3f9a1c2e.tiff"
    assert {path.name for path in target.iterdir()} == mine
    assert {path.name for path in source.iterdir()} == others


def test_companions_of_a_half_go_with_it_and_the_other_half_stays(root: Path, spool: Spool) -> None:
    for name in ("fox_latent.tiff", "fox_prompt.tiff", "fox.yaml"):
        (root / "hold/2-diffuse" / name).write_text(name)
    spool.release_hold(root / "hold/2-diffuse/fox_latent.tiff")
    assert {path.name for path in (root / "inbox/2-diffuse").iterdir()} == {"fox_latent.tiff", "fox.yaml"}


def test_release_of_something_else_is_refused(root: Path, spool: Spool) -> None:
    with pytest.raises(NotThere, match="not in a hold folder"):
        spool.release_hold(root / "pictures/cat.png")
    with pytest.raises(NotThere, match="is not there"):
        spool.release_hold(root / "hold/2-diffuse/cat.tiff")


def test_symlinks_and_fifos_move_as_they_are(root: Path, spool: Spool) -> None:
    (root / "secret").write_bytes(b"secret")
    (root / "inbox/2-diffuse/link.tiff").symlink_to(root / "secret")
    os.mkfifo(root / "inbox/2-diffuse/pipe.tiff")
    for refusal in inbox_of(root, "diffuse").scan(0.0).refused:
        claim = spool.claim("diffuse", refusal.drop)
        assert claim is not None
        assert spool.is_stable(claim)
        spool.fail(claim, refusal.sentence, {})
    kinds = {path.name: (path.is_symlink(), path.is_fifo()) for path in (root / "failed/2-diffuse").glob("*/*.tiff")}
    assert kinds == {"link.tiff": (True, False), "pipe.tiff": (False, True)}
    assert (root / "secret").read_bytes() == b"secret"


@pytest.mark.parametrize(
    "name", [b"line\nbreak.tiff", b"not utf-8 \xff\xfe.tiff", b"-dash %s {}.tiff", "\N{CAT}.tiff".encode(), b"x" * 250 + b".tiff"]
)
def test_any_name_goes_through(name: bytes, root: Path, spool: Spool) -> None:
    text = os.fsdecode(name)
    drop(root, text)
    spool.fail(claim_one(spool), "No.", {"name": text})
    (failed,) = (root / "failed/2-diffuse").iterdir()
    (back,) = spool.retry(failed)
    assert os.fsencode(back.name) == name
    complete(spool, claim_one(spool))
    assert [path.name for path in (root / "done").rglob("*.tiff")] == [text]


def test_what_another_place_takes_is_sent_there_and_nowhere_else(root: Path, spool: Spool) -> None:
    (root / ".keep/cat.3f9a1c2e.tiff").write_bytes(b"original")
    drop(root, "cat.3f9a1c2e.tiff", b"a picture")
    failed = spool.fail(claim_one(spool), "Move it to inbox/encode.", {"elsewhere": "inbox/encode"})
    assert (failed / "error.txt").read_text() == (
        "Move it to inbox/encode.\n\nDropped: cat.3f9a1c2e.tiff\nTo go on: move it from here to inbox/encode\n"
    )


def test_a_place_that_is_the_inbox_itself_is_a_way_back(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    text = (spool.fail(claim_one(spool), "No.", {"elsewhere": "inbox/2-diffuse"}) / "error.txt").read_text()
    assert "To try again: put it right, then move it back to inbox/2-diffuse\n" in text


def test_no_way_to_an_original_is_named_where_no_latents_are_taken(root: Path, spool: Spool) -> None:
    (root / ".keep/cat.3f9a1c2e.tiff").write_bytes(b"the finished picture")
    drop(root, "cat.3f9a1c2e.tiff", b"a picture", stage="text")
    assert "restore" not in (spool.fail(claim_one(spool, "text"), "No.", {}) / "error.txt").read_text()


def test_the_folder_of_a_file_that_was_moved_to_another_inbox_goes_when_it_has_run_there(root: Path, spool: Spool) -> None:
    drop(root, "cat.tiff", b"latents")
    failed = spool.fail(claim_one(spool), "No.", {})
    (failed / "cat.tiff").rename(root / "inbox/1-text/cat.tiff")
    complete(spool, claim_one(spool, "text"))
    assert not failed.exists()


def test_a_retry_of_what_was_moved_on_by_hand_says_so(root: Path, spool: Spool) -> None:
    failed = failed_and_moved_out(root, spool)
    with pytest.raises(NotThere, match="holds no file any more, so there is nothing to try again"):
        spool.retry(failed)
    assert (failed / "error.txt").exists()
