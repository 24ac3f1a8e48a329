"""The page of a spool without a browser: what it says, that it is inert, and that it is written seldom and little."""

import json
import os
import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from daemon.beneath import Beneath
from daemon.jobs.overview import FIRST, MOST_READ, Overview
from daemon.jobs.page.finished import FinishedPictures
from daemon.jobs.page.page import LISTED, PICTURES, Page
from daemon.jobs.running import RunningFile, read_running
from daemon.jobs.wording import wording_of
from daemon.service.status import page_facts, read_status, why_waiting
from tests.artifacts import file_of, half_done, latents, picture
from tests.page.spools import Look, new_spool

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)> \u2028 \" ' & `${1}`"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return new_spool(tmp_path)


def held(root: Path, name: str = "cat.3f9a1c2e.tiff", **header: Any) -> Path:
    path = root / "hold/2-diffuse" / name
    path.write_bytes(file_of(half_done(**header)))
    return path


def test_what_is_held_says_its_recipe_its_way_and_how_to_let_it_go_on(root: Path) -> None:
    held(root, history=({"stage": "text", "id": "0a0b0c0d", "seconds": 0.123}, {"stage": "diffuse", "seconds": 4, "painted": 3}))
    (root / "hold/2-diffuse/cat.3f9a1c2e.proof.png").write_bytes(b"x")
    (entry,) = Look(root).entries("held")
    assert (entry["prompt"], entry["reason"]) == ("a red house", "half-done latents, step 12 of 20")
    assert entry["settings"][:4] == [["seed", "1"], ["width", "128"], ["height", "128"], ["steps", "20"]]
    assert entry["way"] == [["text", "0.1", ""], ["diffuse", "4.0", "edited by hand"]]
    assert (entry["command"], entry["move"]) == ("tiffsd release cat", ["hold/2-diffuse", "inbox/2-diffuse"])
    assert (entry["proof"], entry["paint"]) == ("cat.3f9a1c2e.proof.png", True)
    assert re.fullmatch(r"hold/2-diffuse/cat\.3f9a1c2e\.proof\.png\?[0-9a-f]+", entry["picture"])


def test_what_is_held_without_a_proof_is_shown_by_its_preview(root: Path) -> None:
    held(root)
    (root / "previews/cat.3f9a1c2e.png").write_bytes(b"x")
    (entry,) = Look(root).entries("held")
    assert entry["picture"].startswith("previews/cat.3f9a1c2e.png?")
    assert "proof" not in entry


def test_a_picture_that_is_made_anew_has_another_link(root: Path) -> None:
    held(root)
    proof = root / "hold/2-diffuse/cat.3f9a1c2e.proof.png"
    look = Look(root)
    seen = set()
    for second in (1, 2):
        proof.write_bytes(b"x")
        os.utime(proof, (second, second))
        seen.add(look.entries("held")[0]["picture"])
    assert len(seen) == 2


def test_what_paint_on_a_proof_leads_to_is_shown_in_its_place(root: Path) -> None:
    held(root)
    proof, preview = root / "hold/2-diffuse/cat.3f9a1c2e.proof.png", root / "previews/cat.3f9a1c2e.png"
    for seconds, path in ((100, preview), (200, proof)):
        path.write_bytes(b"x")
        os.utime(path, (seconds, seconds))
    look = Look(root)
    assert look.entries("held")[0]["picture"].startswith("hold/")
    os.utime(preview, (300, 300))
    (entry,) = look.entries("held")
    assert (entry["picture"].startswith("previews/"), entry["painted"]) == (True, True)


def test_what_runs_says_its_step_the_time_left_and_how_it_would_look_by_now(root: Path) -> None:
    running = RunningFile(root, "diffuse", name="cat.0000000b.txt")
    running.start()
    running.path.write_text("diffuse: step 3 of 20, 2.5 steps/s, 7 s left\nDelete this file to cancel the job.\n")
    (root / "previews/cat.0000000b.png").write_bytes(b"x")
    (entry,) = Look(root).entries("running")
    assert (entry["step"], entry["steps"], entry["pace"]) == (3, 20, "2.5 steps/s, 7 s left")
    assert entry["picture"].startswith("previews/cat.0000000b.png?")
    assert entry["command"] == "tiffsd cancel cat"
    running.end()


def test_what_failed_says_the_sentence_and_where_its_files_and_its_report_are(root: Path) -> None:
    folder = root / "failed/1-text/owl.0000000a"
    folder.mkdir()
    (folder / "owl.txt").write_text("an owl")
    (folder / "error.txt").write_text("owl.txt: too many\n\nDropped: owl.txt\n")
    (entry,) = Look(root).entries("failed")
    assert (entry["reason"], entry["prompt"], entry["command"]) == ("owl.txt: too many", "an owl", "tiffsd retry owl")
    assert (entry["link"], entry["report"]) == ("failed/1-text/owl.0000000a/", "failed/1-text/owl.0000000a/error.txt")


def test_a_picture_of_today_has_its_recipe_all_its_files_and_its_way(root: Path) -> None:
    (root / "pictures/cat-2.3f9a1c2e.tiff").write_bytes(file_of(picture()))
    (root / "pictures/cat-2.3f9a1c2e.png").write_bytes(b"x")
    (entry,) = Look(root).entries("done")
    assert (entry["name"], entry["job"], entry["prompt"]) == ("cat-2.3f9a1c2e.png", "cat", "a red house")
    assert entry["files"] == [["png", "pictures/cat-2.3f9a1c2e.png"], ["tiff", "pictures/cat-2.3f9a1c2e.tiff"]]


def test_a_picture_that_carries_nothing_to_be_read_has_the_recipe_of_the_latents_that_were_used(root: Path) -> None:
    day = root / "done" / datetime.now().astimezone().date().isoformat()
    day.mkdir()
    (day / "cat.0a0b0c0d.tiff").write_bytes(file_of(latents()))
    (root / "pictures/cat.3f9a1c2e.png").write_bytes(b"x")
    (entry,) = Look(root).entries("done")
    assert entry["prompt"] == "a red house"


def test_a_picture_of_another_day_is_not_of_today(root: Path) -> None:
    (root / "pictures/cat.3f9a1c2e.png").write_bytes(b"x")
    pictures, now = FinishedPictures(root, most=5), datetime.now().astimezone()
    assert [len(pictures.look(at)) for at in (now, now, now + timedelta(days=1))] == [1, 1, 0]


def test_a_link_or_a_folder_among_the_pictures_is_none(root: Path) -> None:
    (root / "pictures/away.png").symlink_to("/etc/hostname")
    (root / "pictures/folder.png").mkdir()
    assert Look(root).entries("done") == []


def test_hostile_names_and_prompts_are_text_and_nothing_else(root: Path) -> None:
    name = "<img src=x onerror=alert(1)>'\"& \udcff%?#.txt"
    (root / "inbox/1-text" / name).write_text(HOSTILE)
    look = Look(root)
    (entry,) = look.entries("waiting")
    assert entry["prompt"] == HOSTILE
    assert entry["link"] == "inbox/1-text/%3Cimg%20src%3Dx%20onerror%3Dalert%281%29%3E%27%22%26%20%FF%25%3F%23.txt"
    page = (root / "index.html").read_text("ascii")
    plain = page.partition("<noscript>\n<p>")[2].partition("</noscript>")[0]
    assert "<img" not in plain
    assert "<script" not in plain
    assert "&lt;/script&gt;&lt;script&gt;alert(1)" in plain
    (root / "index.js").read_text("ascii")


def test_the_policy_lets_nothing_in_but_its_own_script_and_pictures(root: Path) -> None:
    Look(root).entries("held")
    page = (root / "index.html").read_text("ascii")
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', page)
    assert policy is not None
    said = dict(part.strip().split(" ", 1) for part in policy[1].split(";"))
    assert said["default-src"] == said["base-uri"] == said["form-action"] == "'none'"
    assert re.fullmatch(r"'sha256-[\w+/]{43}=' 'self' file:", said["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", said["style-src"])
    assert not re.search(r"https?://|\son\w+=|\sstyle=", page)


def test_the_page_is_written_where_it_says_something_new_and_not_otherwise(root: Path) -> None:
    held(root)
    look = Look(root)

    def written() -> list[int]:
        look.again()
        return [(root / name).stat().st_ino for name in ("index.html", "index.js")]

    first = written()
    assert written() == first
    (root / "previews/cat.3f9a1c2e.png").write_bytes(b"x")
    second = written()
    assert (second[0], second[1] != first[1]) == (first[0], True), "a picture beside it is for the script"
    (root / "inbox/1-text/dog.txt").write_text("a dog")
    third = written()
    assert third[0] != second[0]
    assert third[1] != second[1]


def test_a_step_of_a_job_leaves_the_page_for_those_without_scripts(root: Path) -> None:
    running = RunningFile(root, "diffuse", name="cat.0000000b.txt")
    running.start()
    look = Look(root)
    look.again()
    before = (root / "index.html").stat().st_ino
    running.update(3, 20)
    assert look.entries("running")[0]["step"] == 3
    assert (root / "index.html").stat().st_ino == before
    running.end()


def test_of_very_many_the_page_tells_the_first_and_how_many_there_are(root: Path) -> None:
    many = LISTED + 40
    for index in range(many):
        (root / f"inbox/1-text/{index}.txt").write_text("a cat")
    look = Look(root)
    looks = 0
    while not looks or look.overview.is_behind:
        entries = look.entries("waiting")
        looks += 1
    assert (len(entries), look.data["counts"]["waiting"]) == (LISTED, many)
    assert all(entry["prompt"] == "a cat" for entry in entries)
    assert looks == -(-LISTED // MOST_READ), "so that no look takes long"
    assert (root / "index.js").stat().st_size < 100_000
    assert (root / "index.html").stat().st_size < 64_000
    assert FIRST < LISTED < PICTURES


def test_who_may_read_the_status_may_read_the_page(root: Path) -> None:
    before = os.umask(0o027)
    try:
        Look(root).again()
    finally:
        os.umask(before)
    assert {(root / name).stat().st_mode & 0o777 for name in ("index.html", "index.js")} == {0o640}


def test_a_list_of_settings_is_bounded_whatever_a_file_says(root: Path) -> None:
    path = root / "hold/2-diffuse/cat.3f9a1c2e.tiff"
    path.write_bytes(file_of(latents(recipe={"prompt": "a cat", "seed": 1} | {f"key{index}": "x" * 900 for index in range(60)})))
    wording = wording_of(Beneath(root), path)
    assert len(wording.settings) == 24
    assert len(json.dumps(wording.settings)) < 8000


def test_the_facts_beside_the_files_are_those_of_the_status(root: Path) -> None:
    (root / "inbox/2-diffuse/PAUSE").touch()
    status = read_status(root, now=datetime.now().astimezone(), alive=True, complaints=["something\nodd"])
    facts = page_facts(status)
    assert facts["complaints"] == ["something\\nodd"]
    assert [stage["folder"] for stage in facts["stages"] if stage["paused"]] == ["2-diffuse"]


def test_a_folder_that_cannot_be_read_leaves_the_page_without_its_entries(root: Path) -> None:
    (root / "pictures").rmdir()
    (root / "previews").rmdir()
    held(root)
    overview, page = Overview(root), Page(root)
    status = read_status(root, now=datetime.now().astimezone(), alive=False)
    found = overview.look(read_running(root), why=why_waiting(status.stages))
    page.write(overview, found, (), now=datetime.now().astimezone(), facts=page_facts(status))
    assert '"held":[{' in (root / "index.js").read_text()
