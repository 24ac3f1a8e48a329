"""What the status says of the machines that compute, to people and to programs."""

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from daemon.cli import app
from daemon.service.away import away
from daemon.service.machines import machines_of
from daemon.service.status import Status, page_facts, read_status, write_status
from daemon.spool.spool import Spool
from daemon.stages import STAGES

NOON = datetime(2026, 11, 22, 12, 0).astimezone()
LOST = datetime(2026, 11, 22, 11, 58, 3).astimezone().timestamp()
HERE = {"device": "cpu", "pid": 4711, "alive": True, "busy": True, "stage": "diffuse", "since": NOON.timestamp()}
LOCAL = HERE | {"node": "local", "state": "ready", "lost_since": None, "reason": None, "model": "demo"}
READY = LOCAL | {"node": "gpu-box", "device": "cuda", "busy": False, "stage": None, "since": None, "model": None}
AWAY = READY | {"pid": None, "alive": False, "state": "away", "lost_since": LOST, "reason": "nothing was heard of it for 12 s"}
SENTENCE = "the worker on gpu-box is away since 2026-11-22 11:58:03: nothing was heard of it for 12 s"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    Spool(tmp_path / "spool", {stage.name: stage.folder for stage in STAGES.values()}).create()
    return tmp_path / "spool"


def status(root: Path, *workers: dict[str, Any]) -> Status:
    said = {**workers[0], "queued": 0, "workers": list(workers)}
    return read_status(root, now=NOON, alive=True, worker=said, complaints=away(workers))


def test_a_machine_that_is_away_is_told_in_one_line_with_since_when_and_why(root: Path) -> None:
    write_status(root, status(root, LOCAL, AWAY))
    assert SENTENCE in (root / "status.txt").read_text()
    said = json.loads((root / "status.json").read_text())["worker"]["workers"]
    assert [(one["node"], one["state"], one["lost_since"]) for one in said] == [("local", "ready", None), ("gpu-box", "away", LOST)]


def test_machines_that_work_are_not_told_in_that_line(root: Path) -> None:
    alone = read_status(root, now=NOON, alive=True, worker={**HERE, "queued": 0})
    assert status(root, LOCAL, READY).line() == alone.line()


def test_a_machine_with_several_workers_is_told_once(root: Path) -> None:
    assert status(root, LOCAL, AWAY, AWAY).line().count("gpu-box") == 1


@pytest.mark.parametrize("said", [AWAY, AWAY | {"state": "refused"}, AWAY | {"state": "connecting"}])
def test_of_a_machine_that_cannot_be_had_it_is_told_since_when(said: dict[str, Any]) -> None:
    (machine,) = machines_of({"workers": [said]})
    assert (machine.state, machine.since) == (said["state"], "2026-11-22 11:58:03")


def test_what_another_machine_says_cannot_play_with_a_terminal(root: Path) -> None:
    bold = status(root, LOCAL, AWAY | {"node": "gpu\x1b[1m", "reason": "bad\x1b[1m\nnews", "model": "\x1b[1m"})
    assert "\x1b" not in bold.line()
    assert "\x1b" not in str([vars(machine) for machine in machines_of(bold.worker)])
    assert "\n" not in page_facts(bold)["complaints"][0]


@pytest.mark.parametrize("workers", [[], [HERE, HERE | {"device": "cpu"}]])
def test_where_all_workers_are_here_nothing_is_told_of_machines(root: Path, workers: list[dict[str, Any]]) -> None:
    one = read_status(root, now=NOON, alive=True, worker=HERE | ({"workers": workers} if workers else {}))
    assert machines_of(one.worker) == []
    assert page_facts(one).keys() == {"alive", "complaints", "stages"}


def test_the_page_is_told_of_each_and_of_those_that_are_away(root: Path) -> None:
    facts = page_facts(status(root, LOCAL, AWAY))
    assert facts["machines"] == [{"name": "local", "state": "ready"}, {"name": "gpu-box", "state": "away"}]
    assert facts["complaints"] == [SENTENCE]


def test_the_command_shows_what_each_machine_does(root: Path) -> None:
    config = root.parent / "config.yaml"
    config.write_text("spool: spool\n")
    spool = Spool(root, {stage.name: stage.folder for stage in STAGES.values()})
    spool.acquire()  # as a daemon does
    try:
        write_status(root, status(root, LOCAL, AWAY))
        said = CliRunner().invoke(app, ["status", "--config", str(config)], env={"COLUMNS": "200"}, catch_exceptions=False).output
    finally:
        spool.release()
    rows = [[cell.strip() for cell in line.split("│")[1:-1]] for line in said.splitlines() if line.startswith("│")]
    assert ["local", "ready", "diffuse with demo", "2026-11-22 12:00:00"] in rows
    assert ["gpu-box", "away", "", "2026-11-22 11:58:03"] in rows
    assert SENTENCE in " ".join(said.split())
