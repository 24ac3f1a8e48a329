"""Control of a real daemon, each time by moving files as people do, and by the commands that only move files."""

import json
import re
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from daemon.cli import app
from tests.conftest import wait_until
from tests.running_daemon import RunningDaemon

HELD = "---\nseed: 1\nhold: diffuse\n---\na red house"
ENDLESS = "---\nseed: 1\nsteps: 900\nscheduler: ddim\n---\na red house"
UNUSABLE = "---\nstepz: 3\n---\na cat"
BY = pytest.mark.parametrize("by", ["file", "command"])


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDaemon]:
    folder = tmp_path_factory.mktemp("control")
    tell = ["/bin/sh", "-c", f'echo "$TIFFSD_EVENT $TIFFSD_STAGE $TIFFSD_NAME $(wc -c < "$TIFFSD_FILE")" >> {folder}/told']
    running = RunningDaemon(folder, compute={"ahead": 0}, hooks={event: [*tell] for event in ("done", "failed", "review")})
    running.start()
    yield running
    running.close()


def tiffsd(daemon: RunningDaemon, *words: str, code: int = 0) -> str:
    result = CliRunner().invoke(app, [*words, "--config", str(daemon.config)], catch_exceptions=False)
    assert result.exit_code == code, result.output
    return result.output


def status_of(daemon: RunningDaemon) -> dict[str, Any]:
    status: dict[str, Any] = json.loads((daemon.spool / "status.json").read_text())
    return status


def says(daemon: RunningDaemon, stage: str, key: str, value: object) -> None:
    wait_until(lambda: status_of(daemon)["stages"][stage][key] == value, what=f"{key} of {stage} is {value}")


def told(daemon: RunningDaemon) -> list[str]:
    path = daemon.folder / "told"
    return path.read_text().splitlines() if path.exists() else []


@BY
def test_a_paused_stage_takes_nothing_until_it_goes_on(daemon: RunningDaemon, by: str) -> None:
    sign = daemon.spool / "inbox/1-text/PAUSE"
    tiffsd(daemon, "pause", "text") if by == "command" else sign.touch()
    says(daemon, "text", "paused", True)
    prompt = daemon.drop("inbox/1-text", f"paused-{by}.txt", HELD)
    wait_until(
        lambda: any(f"paused-{by}.txt: is ready" in line for line in status_of(daemon)["stages"]["text"]["waits"]),
        what="the status says that it would be ready",
    )
    assert prompt.exists()
    tiffsd(daemon, "resume", "text") if by == "command" else sign.unlink()
    daemon.found(f"hold/2-diffuse/paused-{by}.*.tiff")


@BY
def test_a_gate_holds_what_comes_and_a_release_lets_it_go_on(daemon: RunningDaemon, by: str) -> None:
    pause = daemon.spool / "inbox/2-diffuse/PAUSE"
    pause.touch()
    tiffsd(daemon, "hold", "diffuse") if by == "command" else (daemon.spool / "hold/2-diffuse/HOLD").touch()
    daemon.drop("inbox/1-text", f"gate-{by}.txt", "---\nseed: 1\n---\na red house")
    (held,) = daemon.found(f"hold/2-diffuse/gate-{by}.*.tiff")
    says(daemon, "diffuse", "gated", True)
    if by == "command":
        tiffsd(daemon, "release", held.name)
        tiffsd(daemon, "release", "diffuse")
    else:
        held.rename(daemon.spool / "inbox/2-diffuse" / held.name)
        (daemon.spool / "hold/2-diffuse/HOLD").unlink()
    assert (daemon.spool / "inbox/2-diffuse" / held.name).exists()
    (daemon.spool / "inbox/2-diffuse" / held.name).unlink()
    pause.unlink()
    says(daemon, "diffuse", "gated", False)


@BY
def test_one_job_is_held_before_it_starts(daemon: RunningDaemon, by: str) -> None:
    (daemon.spool / "inbox/1-text/PAUSE").touch()
    says(daemon, "text", "paused", True)
    waiting = daemon.drop("inbox/1-text", f"one-{by}.txt", HELD)
    daemon.drop("inbox/1-text", f"one-{by}.yaml", "steps: 3\n")
    held = daemon.spool / "hold/1-text" / waiting.name
    if by == "command":
        tiffsd(daemon, "hold", waiting.name)
        assert held.with_suffix(".yaml").exists(), "its settings file goes with it"
    else:
        waiting.rename(held)
        waiting.with_suffix(".yaml").rename(held.with_suffix(".yaml"))
    tiffsd(daemon, "resume")
    daemon.drop("inbox/1-text", f"after-{by}.txt", HELD)
    daemon.found(f"hold/2-diffuse/after-{by}.*.tiff")
    assert held.exists()
    tiffsd(daemon, "release", held.name)
    daemon.found(f"hold/2-diffuse/one-{by}.*.tiff")


@BY
def test_a_failed_job_is_put_right_and_tried_again(daemon: RunningDaemon, by: str) -> None:
    daemon.drop("inbox/1-text", f"bad-{by}.txt", "---\nstepz: 3\nhold: diffuse\n---\na red house")
    (error,) = daemon.found(f"failed/1-text/bad-{by}.*/error.txt")
    prompt = error.parent / f"bad-{by}.txt"
    prompt.write_text(HELD)
    tiffsd(daemon, "retry", error.parent.name) if by == "command" else prompt.rename(daemon.spool / "inbox/1-text" / prompt.name)
    daemon.found(f"hold/2-diffuse/bad-{by}.*.tiff")


@BY
def test_a_running_job_is_cancelled_and_its_file_is_not_lost(daemon: RunningDaemon, by: str) -> None:
    daemon.drop("inbox/1-text", f"long-{by}.txt", ENDLESS)

    def looping() -> list[str]:
        return [job["name"] for job in status_of(daemon)["running"] if job["stage"] == "diffuse" and job["step"] > 0]

    (name,) = wait_until(looping, what="the loop runs")
    assert "step" in tiffsd(daemon, "status"), "the table tells the step"
    tiffsd(daemon, "cancel", name) if by == "command" else (daemon.spool / f"running/{name}.txt").unlink()
    (error,) = daemon.found(f"failed/2-diffuse/long-{by}.*/error.txt")
    assert "cancelled" in error.read_text()
    assert len(list(error.parent.glob(f"long-{by}.*.tiff"))) == 1
    wait_until(lambda: status_of(daemon)["running"] == [], what="nothing runs")


def test_priorities_decide_and_arrival_decides_between_equals(daemon: RunningDaemon) -> None:
    (daemon.spool / "inbox/1-text/PAUSE").touch()
    says(daemon, "text", "paused", True)
    for name, priority in (("p1", 0), ("p2", 10), ("p3", -10), ("p4", 0), ("p5", 10)):
        daemon.drop("inbox/1-text", f"{name}.txt", HELD.replace("seed", f"priority: {priority}\nseed"))
    wait_until(lambda: len(status_of(daemon)["stages"]["text"]["waits"]) == 5, what="all five are ready")
    (daemon.spool / "inbox/1-text/PAUSE").unlink()
    daemon.found("hold/2-diffuse/p?.*.tiff", count=5)

    # In this order they are computed; those that are written to the disk at the same time are done in any.
    begun = re.findall(r"^text (p\d)\.txt: started", daemon.log(), re.MULTILINE)
    assert begun == ["p2", "p5", "p1", "p4", "p3"]


def test_hooks_are_called_for_what_happens(daemon: RunningDaemon) -> None:
    daemon.drop("inbox/1-text", "hooked.txt", HELD)
    daemon.drop("inbox/1-text", "unhappy.txt", UNUSABLE)
    (held,) = daemon.found("hold/2-diffuse/hooked.*.tiff")
    wait_until(lambda: f"review text hooked.txt {held.stat().st_size}" in told(daemon), what="the review hook")
    wait_until(lambda: f"failed text unhappy.txt {len(UNUSABLE)}" in told(daemon), what="the failed hook")
    held.rename(daemon.spool / "inbox/2-diffuse" / held.name)
    (picture,) = daemon.found("pictures/hooked.*.png")
    told_of_it = f"done decode {picture.name.split('.')[0]}."
    size = str(picture.stat().st_size)
    wait_until(
        lambda: any(line.startswith(told_of_it) and line.split()[-1] == size for line in told(daemon)),
        what="the done hook",
    )
    assert len([line for line in told(daemon) if line.startswith("done")]) == 1, "once for the PNG and its TIFF together"


def test_done_is_said_only_of_what_is_there_to_see(daemon: RunningDaemon) -> None:
    def said() -> tuple[int, int]:
        return status_of(daemon)["pictures"], status_of(daemon)["done_today"]

    used = len(list(daemon.spool.glob("done/*/*")))
    pictures = len(list(daemon.spool.glob("pictures/*")))
    wait_until(lambda: said() == (pictures, used), what="the status counts what is there")
    daemon.drop("inbox/1-text", "no good.txt", UNUSABLE)
    daemon.found("failed/1-text/no good.*/error.txt")
    says(daemon, "text", "failed", len(list(daemon.spool.glob("failed/1-text/*"))))
    assert status_of(daemon)["done_today"] == used, "what failed is not done"
    daemon.drop("inbox/1-text", "good.txt", HELD)
    daemon.found("hold/2-diffuse/good.*.tiff")
    wait_until(lambda: status_of(daemon)["done_today"] == used + 1, what="it is counted once it lies in done/")
    assert list(daemon.spool.glob("done/*/good.txt"))


def test_a_reload_changes_what_can_change_and_a_broken_one_nothing(daemon: RunningDaemon) -> None:
    assert daemon.process is not None
    good = daemon.config.read_text()
    daemon.config.write_text(good + "\nnonsense: true\n")
    daemon.process.send_signal(signal.SIGHUP)
    wait_until(lambda: status_of(daemon)["complaints"], what="the status complains")
    (complaint,) = status_of(daemon)["complaints"]
    assert "the old one stays in force" in complaint
    assert "'nonsense'" in complaint
    assert complaint in daemon.log()
    assert "nonsense" in tiffsd_status(daemon)
    daemon.drop("inbox/1-text", "old rules.txt", HELD)
    daemon.found("hold/2-diffuse/old rules.*.tiff")
    changed = {**yaml.safe_load(good), "stages": {"diffuse": {"hold": True}}, "watch": {"rescan_seconds": 2}}
    daemon.config.write_text(yaml.safe_dump(changed))
    daemon.process.send_signal(signal.SIGHUP)
    says(daemon, "diffuse", "gated", True)
    assert status_of(daemon)["complaints"] == []
    assert re.search(r"watch\.settle_seconds.* will change at the next start", daemon.log())
    assert "rescan_seconds" not in daemon.log(), "it has changed at once"
    daemon.drop("inbox/1-text", "new rules.txt", "---\nseed: 1\n---\na red house")
    daemon.found("hold/2-diffuse/new rules.*.tiff")


def tiffsd_status(daemon: RunningDaemon, *, code: int = 0) -> str:
    return tiffsd(daemon, "status", code=code).replace("\n", " ")


def test_a_job_that_waits_is_called_back_by_deleting_its_file(daemon: RunningDaemon) -> None:
    (daemon.spool / "inbox/1-text/PAUSE").touch()
    says(daemon, "text", "paused", True)
    waiting = daemon.drop("inbox/1-text", "never mind.txt", HELD)
    wait_until(lambda: status_of(daemon)["stages"]["text"]["waiting"] == 1, what="it is seen")
    waiting.unlink()
    (daemon.spool / "inbox/1-text/PAUSE").unlink()
    says(daemon, "text", "waiting", 0)
    says(daemon, "text", "paused", False)
    assert not list(daemon.spool.glob("*/*/never mind*"))


def test_the_signs_and_commands_work_with_the_daemon_down(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path)
    tiffsd(daemon, "pause")
    tiffsd(daemon, "hold", "decode")
    text = tiffsd_status(daemon, code=3)
    assert "not running" in text
    assert text.count("paused") == len(list(daemon.spool.glob("inbox/*")))
    assert text.count("gate on") == 1
    tiffsd(daemon, "resume")
    tiffsd(daemon, "release", "decode")
    assert not list(daemon.spool.glob("inbox/*/PAUSE"))
    assert not list(daemon.spool.glob("hold/*/HOLD"))


def test_signs_of_any_case_are_taken_away_by_command(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path)
    for sign in ("inbox/1-text/pause", "inbox/1-text/Pause.txt", "hold/3-decode/hold.TXT"):
        (daemon.spool / sign).touch()
    text = tiffsd_status(daemon, code=3)
    assert (text.count("paused"), text.count("gate on")) == (1, 1)
    tiffsd(daemon, "resume")
    tiffsd(daemon, "release", "decode")
    assert not [path for place in ("inbox", "hold") for path in daemon.spool.glob(f"{place}/*/*")]


def test_a_folder_in_the_place_of_a_sign_is_said_in_words(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path)
    tiffsd(daemon, "pause", "text")
    (daemon.spool / "inbox/1-text/PAUSE").unlink()
    (daemon.spool / "inbox/1-text/PAUSE").mkdir()
    said = daemon.command("resume", "text", check=False)
    assert said.returncode == 1
    assert "PAUSE is a folder, and a sign is a file" in said.stderr


def test_a_file_is_found_by_its_name_whatever_signs_are_in_it(tmp_path: Path) -> None:
    daemon = RunningDaemon(tmp_path)
    daemon.drop("hold/2-diffuse", "cat[1].0a1b2c3d.tiff", b"")
    tiffsd(daemon, "release", "cat[1].0a1b2c3d.tiff")
    assert (daemon.spool / "inbox/2-diffuse/cat[1].0a1b2c3d.tiff").exists()
