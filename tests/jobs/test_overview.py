"""The first of what lies in a spool, for status.json: bounded, read once, and honest about what cannot be read."""

import json
import os
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import pytest

from daemon.jobs.listing import listed
from daemon.jobs.overview import FIRST, First, Overview
from daemon.jobs.running import RunningFile, read_running
from daemon.service.status import read_status
from daemon.spool.spool import Spool
from daemon.stages import STAGES
from tests.artifacts import file_of, latents
from tests.conftest import wait_until
from tests.leases import leased


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Spool(tmp_path, {stage.name: stage.folder for stage in STAGES.values()}).create()
    return tmp_path


def nothing(_stage: str, _name: str) -> tuple[str, str]:
    return "", ""


def looked(overview: Overview, root: Path) -> dict[str, First]:
    return overview.look(read_running(root), why=nothing)


def drop(root: Path, name: str, text: str = "a cat") -> Path:
    path = root / "inbox/1-text" / name
    path.write_text(text)
    return path


def names(first: First) -> list[str]:
    return [entry.name for entry in first.first]


def rewritten_as_if_nothing_was(path: Path, text: str) -> None:
    before = path.stat()
    assert len(text) == before.st_size
    with path.open("r+") as file:
        file.write(text)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_it_is_what_the_command_lists(root: Path) -> None:
    (root / "hold/2-diffuse/cat.3f9a1c2e.tiff").write_bytes(file_of(latents()))
    drop(root, "dog.txt", "---\nsteps: 3\n---\na dog")
    failed = root / "failed/1-text/owl.0000000a"
    failed.mkdir(parents=True)
    (failed / "owl.txt").write_text("an owl")
    (failed / "error.txt").write_text("owl.txt: too many\n\nDropped: owl.txt\n")
    running = RunningFile(root, "decode", name="elk.0000000b.txt", owner=os.getuid())
    running.start()
    running.show("an elk")
    found = looked(Overview(root), root)
    assert [entry for first in found.values() for entry in first.first] == list(listed(root, found, why=nothing))
    said = {kind: [(entry.prompt, entry.reason, entry.command) for entry in first.first] for kind, first in found.items()}
    assert said == {
        "held": [(latents().header.recipe["prompt"], "noise", "tiffsd release cat")],
        "running": [("an elk", "waiting for the worker", "tiffsd cancel elk")],
        "waiting": [("a dog", "", "")],
        "failed": [("an owl", "owl.txt: too many", "tiffsd retry owl")],
        "done": [],
    }
    running.end()


def test_of_very_many_only_the_first_are_told_and_how_many_more_there_are(root: Path) -> None:
    for index in range(FIRST + 7):
        drop(root, f"{index:03}.txt", "a cat " * 1000)
        (root / f"hold/3-decode/{index:03}.0000000{index % 10}.tiff").touch()
    overview = Overview(root)
    found = looked(overview, root)
    assert (len(found["waiting"].first), found["waiting"].more) == (FIRST, 7)
    assert (len(found["held"].first), found["held"].more) == (FIRST, 7)
    assert found["held"].first[0].command.endswith(".tiff"), "of the others nobody knows the stems"
    assert len(json.dumps({kind: asdict(first) for kind, first in found.items()})) < 64_000


def test_what_goes_and_what_comes_is_seen(root: Path) -> None:
    overview = Overview(root)
    first = drop(root, "a.txt")
    assert names(looked(overview, root)["waiting"]) == ["a.txt"]
    drop(root, "b.txt")
    assert sorted(names(looked(overview, root)["waiting"])) == ["a.txt", "b.txt"]
    first.unlink()
    assert names(looked(overview, root)["waiting"]) == ["b.txt"]


@pytest.mark.parametrize("known", [FIRST, 500])
def test_those_behind_move_up_as_the_first_go_on(root: Path, known: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.jobs.overview.KNOWN", known)
    everything = {f"{index:03}.txt" for index in range(3 * FIRST)}
    for name in everything:
        drop(root, name)
    overview, seen = Overview(root), set[str]()
    while found := looked(overview, root)["waiting"].first:
        for entry in found[:7]:
            seen.add(entry.name)
            (root / entry.path).unlink()
    assert seen == everything


def test_of_what_is_done_the_latest_is_told(root: Path) -> None:
    overview = Overview(root)
    looked(overview, root)
    (place,) = (one.folder for one in overview._known if one.kind == "done")
    place.mkdir(parents=True)
    for index in range(FIRST + 1):
        _written_later(place / f"{index:03}.txt", place)
    found = looked(overview, root)["done"]
    assert names(found) == [f"{index:03}.txt" for index in range(1, FIRST + 1)]
    assert found.more == 1


def _written_later(path: Path, folder: Path) -> None:
    """Write a file that is younger than all others there."""
    youngest = max((other.stat().st_ctime_ns for other in folder.iterdir()), default=0)

    def is_younger() -> bool:
        path.write_text("a cat")
        return path.stat().st_ctime_ns > youngest

    wait_until(is_younger, what="time goes on")


def test_nothing_is_read_again_while_it_is_as_it_was(root: Path) -> None:
    overview = Overview(root)
    path = drop(root, "cat.txt", "a red cat")
    for _ in range(3):
        assert looked(overview, root)["waiting"].first[0].prompt == "a red cat"
    rewritten_as_if_nothing_was(path, "a big dog")
    assert looked(overview, root)["waiting"].first[0].prompt == "a red cat"
    path.write_text("a bigger dog")
    assert looked(overview, root)["waiting"].first[0].prompt == "a bigger dog"


def test_a_prompt_that_another_program_keeps_from_being_read_is_said_so_and_read_later(root: Path) -> None:
    path = drop(root, "cat.txt", "a red cat")
    overview = Overview(root)
    with leased(path):
        (held,) = looked(overview, root)["waiting"].first
        assert (held.prompt, held.unread) == ("", "another program has the file open")
    assert looked(overview, root)["waiting"].first[0].prompt == "a red cat"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("cat.png", b"a picture", "if it has one it is in the picture"),
        ("cat.tiff", b"no TIFF at all", "TIFF"),
        ("cat.txt", b"\xff\xfe\xff", "UTF-16"),
        ("cat.txt", b"---\nsteps: 3\n", "no closing --- line"),
    ],
)
def test_why_a_prompt_is_not_known_is_said(root: Path, name: str, content: bytes, words: str) -> None:
    (root / "inbox/1-text" / name).write_bytes(content)
    (entry,) = looked(Overview(root), root)["waiting"].first
    assert entry.prompt == ""
    assert words in entry.unread
    assert not entry.unread.startswith(f"{name}: ")


def test_for_whom_the_daemon_made_a_file_is_told(root: Path) -> None:
    (root / "hold/2-diffuse/cat.3f9a1c2e.tiff").write_bytes(file_of(latents()))
    (entry,) = Overview(root).look((), why=nothing, owner_of=lambda _: 4242)["held"].first
    assert entry.owner == "4242"


def test_folders_that_are_away_hold_nothing(root: Path) -> None:
    overview = Overview(root)
    drop(root, "cat.txt")
    looked(overview, root)
    (root / "inbox").rename(root / "away")
    assert looked(overview, root)["waiting"] == First((), 0)
    (root / "away").rename(root / "inbox")
    assert names(looked(overview, root)["waiting"]) == ["cat.txt"]


def test_a_failed_job_whose_file_was_moved_on_by_hand_is_not_told(root: Path) -> None:
    for name in ("cat.3f9a1c2e", "dog.3f9a1c2f"):
        folder = root / "failed/1-text" / name
        folder.mkdir(parents=True)
        (folder / "error.txt").write_text("No.\n")
        (folder / "error.json").write_text("{}")
        (folder / f"{name[:3]}.txt").write_text("a cat")
    overview = Overview(root)
    assert names(looked(overview, root)["failed"]) == ["cat.3f9a1c2e", "dog.3f9a1c2f"]
    (root / "failed/1-text/cat.3f9a1c2e/cat.txt").rename(root / "inbox/1-text/cat.txt")
    found = looked(overview, root)["failed"]
    assert (names(found), found.more) == (["dog.3f9a1c2f"], 0)
    assert [entry.name for entry in listed(root, ["failed"], why=nothing)] == ["dog.3f9a1c2f"]
    assert read_status(root, now=datetime.now(UTC), alive=False).stages["text"].failed == 1


def test_a_drop_that_was_named_like_a_report_is_a_failed_job_like_any_other(root: Path) -> None:
    folder = root / "failed/1-text/error.3f9a1c2e"
    folder.mkdir(parents=True)
    for name in ("error.txt", "error-report.txt", "error-report.json"):
        (folder / name).write_text("a cat")
    assert names(looked(Overview(root), root)["failed"]) == ["error.3f9a1c2e"]


def test_no_retry_is_offered_for_what_another_place_takes(root: Path) -> None:
    folder = root / "failed/3-decode/cat.3f9a1c2e"
    folder.mkdir(parents=True)
    (folder / "error.txt").write_text("Move it.\n\nDropped: cat.txt\nTo go on: move it from here to inbox/1-text\n")
    (folder / "cat.txt").write_text("a cat")
    (entry,) = looked(Overview(root), root)["failed"].first
    assert (entry.reason, entry.command) == ("Move it.", "")
    assert [entry.command for entry in listed(root, ["failed"], why=nothing)] == [""]
