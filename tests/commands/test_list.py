"""`tiffsd list`: what waits where, why, and the command that goes on; and commands that take the stem of a name."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import tiffsd
from daemon.cli import app
from daemon.stages import STAGES
from tests.artifacts import file_of, latents


def said(*words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, list(words), catch_exceptions=False, env={"COLUMNS": "100"})
    assert result.exit_code == code, result.output
    return result.output


@pytest.fixture
def spool(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    said("init")
    return tmp_path / "spool"


def hold(spool: Path, name: str) -> Path:
    path = spool / "hold" / STAGES["diffuse"].folder / name
    path.write_bytes(file_of(latents()))
    return path


def fail(spool: Path, name: str, sentence: str) -> Path:
    folder = spool / "failed" / STAGES["text"].folder / name
    folder.mkdir(parents=True)
    (folder / "dog.txt").write_text("---\nsteps: many\n---\na dog")
    (folder / "error.txt").write_text(f"{sentence}\n\nDropped: dog.txt\n")
    (folder / "error.json").write_text("{}")
    return folder


def test_a_folder_in_an_inbox_is_listed_with_what_to_do(spool: Path) -> None:
    for name in ("my photos", ".stfolder"):
        (spool / "inbox" / STAGES["encode"].folder / name).mkdir()
    entries = json.loads(said("list", "waiting", "--json"))
    assert [(entry["name"], entry["reason"]) for entry in entries] == [
        ("my photos", "is a folder; move the files in it here one by one")
    ]


def test_each_kind_is_listed_with_its_prompt_its_reason_and_the_command_that_goes_on(spool: Path) -> None:
    hold(spool, "cat.3f9a1c2e.tiff")
    fail(spool, "dog.0000000a", "dog.txt: 'steps' is no number")
    (spool / "inbox" / STAGES["text"].folder / "later.txt").write_text("a house\nby the sea")
    (spool / "running" / "slow.0000000b.txt").write_text("diffuse: step 3 of 20\nDelete this file to cancel the job.\n")

    entries = {entry["kind"]: entry for entry in json.loads(said("list", "--json"))}
    assert {kind: (entry["stage"], entry["name"], entry["command"]) for kind, entry in entries.items()} == {
        "held": ("diffuse", "cat.3f9a1c2e.tiff", "tiffsd release cat"),
        "running": ("diffuse", "slow.0000000b.txt", "tiffsd cancel slow"),
        "waiting": ("text", "later.txt", ""),
        "failed": ("text", "dog.0000000a", "tiffsd retry dog"),
    }
    assert entries["held"]["path"] == "hold/2-diffuse/cat.3f9a1c2e.tiff"
    assert entries["held"]["prompt"] == latents().header.recipe["prompt"]
    assert (entries["failed"]["prompt"], entries["failed"]["reason"]) == ("a dog", "dog.txt: 'steps' is no number")
    assert entries["waiting"]["prompt"] == "a house\nby the sea"

    text = said("list")
    assert "a house\\nby the sea" in text
    assert text.index("tiffsd release cat") < text.index("later.txt") < text.index("tiffsd retry dog")


def test_only_the_kinds_that_are_asked_for_are_listed(spool: Path) -> None:
    hold(spool, "cat.3f9a1c2e.tiff")
    fail(spool, "dog.0000000a", "no")

    assert [entry["kind"] for entry in json.loads(said("list", "failed", "--json"))] == ["failed"]
    assert said("list", "waiting") == "nothing of that kind is in the spool\n"


def test_what_lies_beside_a_file_and_what_is_nobodys_is_not_listed(spool: Path) -> None:
    path = hold(spool, "cat.3f9a1c2e.tiff")
    for name in ("cat.3f9a1c2e.yaml", "cat.3f9a1c2e_mask.png", "Thumbs.db", "HOLD", ".x.tiff.swp"):
        (path.parent / name).touch()

    assert [entry["name"] for entry in json.loads(said("list", "--json"))] == ["cat.3f9a1c2e.tiff"]


def test_a_file_is_released_by_its_stem_and_a_failed_job_retried_by_it(spool: Path) -> None:
    hold(spool, "cat.3f9a1c2e.tiff")
    (spool / "hold" / STAGES["diffuse"].folder / "cat.3f9a1c2e.yaml").write_text("steps: 3")
    fail(spool, "dog.0000000a", "no")

    assert "2-diffuse/cat.3f9a1c2e.tiff" in said("release", "cat")
    assert "1-text/dog.txt" in said("retry", "dog")


def test_a_stem_that_several_have_is_asked_about(spool: Path) -> None:
    for name in ("cat.0000000a.tiff", "cat.0000000b.tiff"):
        hold(spool, name)

    assert said("list").count("tiffsd release cat.0000000") == 2
    result = CliRunner().invoke(app, ["release", "cat"])
    assert "there are several of that name: cat.0000000a.tiff, cat.0000000b.tiff; say which" in str(
        result.exception or result.output
    )
    assert "cat.0000000b.tiff" in said("release", "cat.0000000b.tiff")


def test_a_file_that_cannot_be_read_is_listed_without_a_prompt(spool: Path) -> None:
    path = hold(spool, "cat.3f9a1c2e.tiff")
    path.write_bytes(b"not a TIFF at all")

    (entry,) = json.loads(said("list", "--json"))
    assert (entry["name"], entry["prompt"]) == ("cat.3f9a1c2e.tiff", "")
    assert "its prompt is not known: " in said("list")


def test_why_a_failed_file_cannot_be_read_is_said_once(spool: Path) -> None:
    folder = fail(spool, "dog.0000000a", "")
    (folder / "dog.txt").write_text("---\nsteps: [\n---\na dog")
    (entry,) = json.loads(said("list", "--json"))
    assert entry["unread"]
    (folder / "error.txt").write_text(f"dog.txt: {entry['unread']}\n")
    assert "its prompt is not known" not in said("list")


def test_of_a_link_it_is_said_that_it_is_one(spool: Path) -> None:
    (spool / "inbox" / STAGES["text"].folder / "cat.txt").symlink_to("/etc/hostname")
    assert "its prompt is not known: it is a link, which is not followed" in said("list")


def test_the_pictures_of_one_prompt_are_told_where_their_common_name_is_none(spool: Path) -> None:
    for name in ("cat-1.0000000a.tiff", "cat-2.0000000b.tiff"):
        hold(spool, name)

    result = CliRunner().invoke(app, ["release", "cat"])
    assert "there is no file of that name" in str(result.exception or result.output)
    assert "; there are cat-1.0000000a.tiff, cat-2.0000000b.tiff" in str(result.exception or result.output)
    assert "cat-2.0000000b.tiff" in said("release", "cat-2")


def test_another_program_gets_each_line_whole(spool: Path) -> None:
    (spool / "inbox" / STAGES["text"].folder / "long.txt").write_text("a very long story, " * 100)
    lines = said("list").splitlines()
    assert lines[1] == "    " + ("a very long story, " * 100).rstrip()


def test_a_file_in_a_paused_inbox_says_so_with_the_command_that_ends_it(spool: Path) -> None:
    (spool / "inbox" / STAGES["text"].folder / "cat.txt").write_text("a cat")
    said("pause", "text")

    (entry,) = json.loads(said("list", "waiting", "--json"))
    assert (entry["reason"], entry["command"]) == ("its stage is paused", "tiffsd resume text")


def test_how_far_latents_on_hold_are_done_is_told(spool: Path) -> None:
    path = spool / "hold" / STAGES["diffuse"].folder / "cat.3f9a1c2e.tiff"
    artifact = latents(state=tiffsd.State.PARTIAL)
    path.write_bytes(file_of(artifact))

    (entry,) = json.loads(said("list", "held", "--json"))
    assert entry["reason"] == f"half-done latents, step {artifact.header.step} of {artifact.header.steps}"


def test_the_status_for_programs_has_the_same_list_with_the_daemon_down(spool: Path) -> None:
    hold(spool, "cat.3f9a1c2e.tiff")
    fail(spool, "dog.0000000a", "no")

    first = json.loads(said("status", "--json", code=3))["listed"]
    assert [entry for kind in first.values() for entry in kind["first"]] == json.loads(said("list", "--json"))
