"""What the daemon says of itself."""

import json
import os
import socket
import threading
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import pytest

from daemon.jobs.running import RunningFile, read_running
from daemon.service.status import has_sign, notify, read_status, write_status
from daemon.spool.spool import Spool
from daemon.stages import STAGES

NOON = datetime(2026, 11, 22, 12, 0).astimezone()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Spool(tmp_path, {stage.name: stage.folder for stage in STAGES.values()}).create()
    return tmp_path


def test_the_folders_are_counted_and_signs_are_not_files(root: Path) -> None:
    for name in ("a.txt", "b.txt", "PAUSE", ".hidden"):
        (root / "inbox/1-text" / name).touch()
    (root / "hold/2-diffuse/HOLD").touch()
    (root / "hold/2-diffuse/c.tiff").touch()
    (root / "failed/3-decode/d.0a1b2c3d").mkdir(parents=True)
    status = read_status(root, now=NOON)
    assert (status.stages["text"].waiting, status.stages["text"].paused) == (2, True)
    assert (status.stages["diffuse"].held, status.stages["diffuse"].gated) == (1, True)
    assert status.stages["decode"].failed == 1
    assert status.line() == "0 running, 2 waiting, 1 on hold, 0 done today, 1 failed"


def test_what_editors_keep_for_themselves_does_not_wait(root: Path) -> None:
    for folder in ("inbox/1-text", "hold/2-diffuse"):
        for name in ("a.tiff~", "a.xcf", "a.txt:Zone.Identifier", "a.tiff@SynoEAStream", "a.txt.sb-1a2b3c4d-AbCdEf", "Icon\r"):
            (root / folder / name).touch()
    assert read_status(root, now=NOON).line() == "0 running, 0 waiting, 0 on hold, 0 done today, 0 failed"


@pytest.mark.parametrize("ending", ["", ".txt", ".TXT", ".txt.txt"])
@pytest.mark.parametrize("case", [str.upper, str.lower, str.title])
def test_signs_count_in_any_case(case: Callable[[str], str], ending: str, root: Path) -> None:
    (root / f"inbox/1-text/{case('PAUSE')}{ending}").touch()
    (root / f"hold/2-diffuse/{case('HOLD')}{ending}").touch()
    stages = read_status(root, now=NOON).stages
    assert [name for name, stage in stages.items() if stage.paused] == ["text"]
    assert [name for name, stage in stages.items() if stage.gated] == ["diffuse"]
    assert has_sign(root, "hold/2-diffuse", "HOLD")
    assert read_status(root, now=NOON).line() == "0 running, 0 waiting, 0 on hold, 0 done today, 0 failed"


def test_what_programs_leave_on_shares_is_counted_nowhere(root: Path) -> None:
    for folder in ("inbox/1-text", "hold/2-diffuse", "failed/1-text"):
        for name in ("desktop.ini", "Thumbs.db", ".DS_Store", "._cat.txt", ".stignore"):
            (root / folder / name).touch()
        for name in ("@eaDir", "$RECYCLE.BIN", ".stfolder", ".stversions"):
            (root / folder / name).mkdir(parents=True)
    assert read_status(root, now=NOON).line() == "0 running, 0 waiting, 0 on hold, 0 done today, 0 failed"


def test_a_sign_that_lets_a_stage_rest_is_sent_from_a_hold_folder_to_where_it_counts(root: Path) -> None:
    (root / "hold/3-decode/Pause.txt").touch()
    status = read_status(root, now=NOON).stages["decode"]
    assert (status.paused, status.held) == (False, 0)
    said = "is the sign PAUSE, which counts in inbox/3-decode; move it there, or rename it if it is meant to be used"
    assert status.waits == (f"hold/3-decode/Pause.txt: {said}",)


def test_a_copy_of_a_conflict_on_hold_is_told_from_what_waits_for_approval(root: Path) -> None:
    (root / "hold/3-decode/cat.3f9a1c2e.tiff").touch()
    (root / "hold/3-decode/cat.3f9a1c2e.sync-conflict-20261130-120000-ABCDEF7.tiff").touch()
    (said,) = read_status(root, now=NOON).stages["decode"].waits
    assert said.startswith("hold/3-decode/cat.3f9a1c2e.sync-conflict-20261130-120000-ABCDEF7.tiff: is a copy that a sync program")
    assert "because cat.3f9a1c2e.tiff was changed in two places" in said


def test_the_lock_says_whether_a_daemon_lives(root: Path) -> None:
    assert not read_status(root, now=NOON).alive
    spool = Spool(root, {"text": "1-text"})
    spool.acquire()
    assert read_status(root, now=NOON).alive
    spool.release()


def test_status_is_written_whole_for_programs_and_people(root: Path) -> None:
    write_status(root, read_status(root, now=NOON, degraded={"text": "no disk"}))
    assert json.loads((root / "status.json").read_text())["stages"]["text"]["degraded"] == "no disk"
    assert "text: no disk" in (root / "status.txt").read_text()
    assert not list(root.glob(".status*"))


def test_systemd_is_told_where_it_listens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    notify("nobody listens")
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(str(tmp_path / "notify"))
        monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
        notify("READY=1")
        assert listener.recv(100) == b"READY=1"
    (tmp_path / "notify").unlink()
    notify("nobody listens any more")


def test_a_running_file_tells_the_step_and_stays_deleted(root: Path) -> None:
    file = RunningFile(root, "diffuse", name="cat.0a1b2c3d.txt")
    file.start()
    assert [(job.name, job.doing) for job in read_running(root)] == [("cat.0a1b2c3d", "waiting for the worker")]
    file.update(3, 30)
    assert [(job.stage, job.step, job.steps) for job in read_running(root)] == [("diffuse", 3, 30)]
    assert not file.deleted()
    file.path.unlink()
    file.update(4, 30)
    assert file.deleted()
    file.end()


def test_what_people_should_see_to_stands_in_every_form_of_the_status(root: Path) -> None:
    status = read_status(root, now=NOON, degraded={"text": "no disk"}, complaints=["the hook 'done' ended with code 1"])
    assert not status.well()
    write_status(root, status)
    assert json.loads((root / "status.json").read_text())["complaints"] == ["the hook 'done' ended with code 1"]
    assert status.line().endswith("text: no disk; the hook 'done' ended with code 1")
    assert status.line() in (root / "status.txt").read_text()
    assert read_status(root, now=NOON).well()


def test_programs_read_the_step_of_each_running_job(root: Path) -> None:
    file = RunningFile(root, "diffuse", name="cat\n.0a1b2c3d.txt")
    file.start()
    file.update(3, 30)
    write_status(root, read_status(root, now=NOON, alive=True))
    (job,) = json.loads((root / "status.json").read_text())["running"]
    told = {"name": "cat\\n.0a1b2c3d", "stage": "diffuse", "doing": "step 3 of 30", "step": 3, "steps": 30}
    assert {key: job[key] for key in told} == told


def test_done_counts_what_lies_in_the_folder_of_this_day_and_nothing_else(root: Path) -> None:
    for place in ("done/2026-11-22/a.txt", "done/2026-11-22/b.txt", "done/2026-11-21/c.txt", "failed/1-text/d.0a1b2c3d/d.txt"):
        (root / place).parent.mkdir(parents=True, exist_ok=True)
        (root / place).touch()
    (root / "pictures/e.0a1b2c3d.png").touch()
    status = read_status(root, now=NOON)
    assert (status.done_today, status.pictures) == (2, 1)


def test_a_folder_that_cannot_be_read_counts_nothing_and_hinders_nothing(root: Path) -> None:
    (root / "inbox/1-text").rmdir()
    (root / "inbox/1-text").touch()
    (root / "running").rmdir()
    (root / "running").touch()
    status = read_status(root, now=NOON, alive=True)
    assert (status.stages["text"].waiting, status.stages["text"].paused, status.running) == (0, False, ())


def test_what_a_person_puts_into_running_is_neither_followed_nor_waited_for(root: Path) -> None:
    (root / "secret").write_text("text: a secret")
    (root / "running/link.txt").symlink_to(root / "secret")
    os.mkfifo(root / "running/pipe.txt")
    (root / "running/folder.txt").mkdir()
    (root / "running/long.txt").write_text("text: " + "x" * 1_000_000)
    (job,) = read_running(root)
    assert job.name == "long"
    assert len(job.doing) < 5000


def test_a_link_in_the_way_of_the_status_is_not_written_through(root: Path) -> None:
    (root / "mine").write_text("mine")
    for name in (".status.json.part", ".status.txt.part"):
        (root / name).symlink_to(root / "mine")
    write_status(root, read_status(root, now=NOON))
    assert (root / "mine").read_text() == "mine"
    assert json.loads((root / "status.json").read_text())["alive"] is False


def test_a_job_that_a_killed_daemon_left_is_not_running_but_interrupted(root: Path) -> None:
    RunningFile(root, "diffuse", name="cat.0a1b2c3d.txt").start()
    (root / ".work/20261122T000000Z-000001-0a1b2c3d").mkdir()
    dead = read_status(root, now=NOON, alive=False)
    assert (dead.running, dead.interrupted) == ((), 1)
    assert "0 running" in dead.line()
    assert "1 interrupted, to go on at the next start" in dead.line()
    living = read_status(root, now=NOON, alive=True)
    assert (len(living.running), living.interrupted) == (1, 0)
    assert "interrupted" not in living.line()


def test_a_running_file_makes_its_folder_and_says_where_it_cannot(root: Path) -> None:
    (root / "running").rmdir()
    file = RunningFile(root, "diffuse", name="cat.0a1b2c3d.txt")
    file.start()
    assert not file.deleted()
    file.end()
    (root / "running").rmdir()
    (root / "running").touch()
    with pytest.raises(OSError, match="running"):
        file.start()
    file.update(1, 2)
    file.end()


def test_a_fifo_in_the_place_of_a_running_file_holds_no_job_up(root: Path) -> None:
    file = RunningFile(root, "diffuse", name="cat.0a1b2c3d.txt")
    os.mkfifo(file.path)
    file.update(1, 2)
    file.start()
    file.update(1, 2)
    assert file.path.read_text().startswith("diffuse: step 1 of 2\n")
    file.end()
    assert not file.path.exists()


def test_a_link_in_the_place_of_a_running_file_or_of_its_folder_leads_nothing_elsewhere(root: Path, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "kept").write_text("kept")
    file = RunningFile(root, "diffuse", name="cat.0a1b2c3d.txt")
    file.path.symlink_to(outside / "kept")
    file.start()
    file.path.unlink()
    file.path.symlink_to(outside / "kept")
    file.update(1, 2)
    (root / "running").rename(root / "aside")
    (root / "running").symlink_to(outside)
    file.update(2, 2)
    file.end()
    assert [(path.name, path.read_text()) for path in outside.iterdir()] == [("kept", "kept")]


def test_a_running_file_can_be_read_in_every_instant_of_its_job(root: Path) -> None:
    file = RunningFile(root, "diffuse", name="cat.0a1b2c3d.txt")
    file.start()
    done = threading.Event()

    def count() -> None:
        for step in range(3000):
            file.update(step, 3000)
        done.set()

    counting = threading.Thread(target=count)
    counting.start()
    said = set()
    while not done.is_set():
        said |= {job.stage for job in read_running(root)}
    counting.join()
    assert said == {"diffuse"}
    first, second, third = file.path.read_text().splitlines()
    assert first.startswith("diffuse: step 2999 of 3000, ")
    assert second == "Delete this file to cancel the job."
    assert third.startswith("Begun ")


def test_a_status_is_one_line_whatever_is_in_it(root: Path) -> None:
    hostile = "gone\nMAINPID=1\x1b[2J\u202e\ud800"
    status = read_status(root, now=NOON, degraded={"text": hostile}, complaints=[hostile])
    assert status.line().endswith("text: gone\\nMAINPID=1\\x1b[2J\\u202e\\ud800; gone\\nMAINPID=1\\x1b[2J\\u202e\\ud800")
    write_status(root, status)
    assert (root / "status.txt").read_text(encoding="utf-8").count("\n") == 1
