"""The lifecycle, in this process and without a worker: what needs no maths is decided in the front."""

import json
import logging
import time
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from daemon.config import Config
from daemon.errors import InputError, OutOfMemory, SpoolError
from daemon.service import Service
from daemon.troubles import FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS, Troubles
from tests.conftest import wait_until

QUICK = {"watch": {"rescan_seconds": 0.2, "settle_seconds": 0.01, "settle_unleased_seconds": 0.05, "empty_grace_seconds": 0.1}}


def service_in(folder: Path, **settings: object) -> Service:
    return Service(Config.model_validate({"folder": folder, **QUICK, **settings}))


def test_once_works_off_what_lies_there_and_ends(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.spool.create()
    (tmp_path / "spool/inbox/1-text/bad.txt").write_text("---\nstepz: 1\n---\na cat")
    service.run_once()
    (error,) = tmp_path.glob("spool/failed/1-text/bad.*/error.txt")
    assert "stepz" in error.read_text()
    assert '"alive": false' in (tmp_path / "spool/status.json").read_text()


def test_a_spool_that_is_taken_is_refused(tmp_path: Path) -> None:
    first = service_in(tmp_path)
    first.start()
    with pytest.raises(SpoolError):
        service_in(tmp_path).start()
    first.stop()


def test_the_gate_is_on_by_configuration_or_by_a_file(tmp_path: Path) -> None:
    service = service_in(tmp_path, stages={"diffuse": {"hold": True}})
    service.spool.create()
    assert service.gated("diffuse")
    assert not service.gated("decode")
    (tmp_path / "spool/hold/3-decode/HOLD").touch()
    assert service.gated("decode")


def test_a_tick_after_the_settle_time_fails_a_bad_file(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.start()
    (tmp_path / "spool/inbox/3-decode/words.txt").write_text("no latents")

    def failed() -> list[Path]:
        service.tick(time.monotonic())
        return list(tmp_path.glob("spool/failed/3-decode/words.*/error.txt"))

    (error,) = wait_until(failed)
    assert "inbox/1-text" in error.read_text()
    service.stop()


def test_a_broken_configuration_leaves_the_old_one_in_force_and_is_complained_of_until_it_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("defaults:\n  steps: 30\n")
    service = service_in(tmp_path)
    service.config_path = path
    service.start()

    def complaints() -> list[str]:
        service.request_reload()
        service.tick(time.monotonic())
        said: list[str] = json.loads((tmp_path / "spool/status.json").read_text())["complaints"]
        return said

    assert complaints() == []
    assert service.config.defaults["steps"] == 30
    path.write_text("nonsense: true\n")
    (complaint,) = complaints()
    assert "'nonsense'" in complaint
    assert "stays as it was" in complaint
    assert service.config.defaults["steps"] == 30
    path.write_text("defaults:\n  steps: 40\n")
    assert complaints() == []
    assert service.config.defaults["steps"] == 40
    service.stop()


class Fitful:
    """The compute side of a machine that has no memory left for the first jobs."""

    def __init__(self, *ends: Exception) -> None:
        self.ends = list(ends)
        self.asked = 0

    def submit(self, *_: Any, **__: Any) -> Any:
        self.asked += 1
        future: Future[Any] = Future()
        future.set_exception(self.ends.pop(0))
        return SimpleNamespace(future=future)

    def tick(self, now: float) -> None:
        del now

    def describe(self) -> dict[str, Any]:
        return {}

    def close(self) -> None:
        pass


def test_a_fault_of_the_machine_keeps_the_file_and_tries_it_again_later(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.start()
    full = OutOfMemory("3 GB are taken")
    service.compute = compute = Fitful(full, full, InputError("cat.txt: at fault"))
    prompt = tmp_path / "spool/inbox/1-text/cat.txt"
    prompt.write_text("a cat")
    now = time.monotonic()

    def tried(times: int) -> bool:
        nonlocal now
        now += 0 if service._jobs else 0.1
        service.tick(now)
        return compute.asked == times and not service._jobs

    for times, rest in ((1, FIRST_BACKOFF_SECONDS), (2, 2 * FIRST_BACKOFF_SECONDS)):
        wait_until(lambda: tried(times), what=f"attempt {times}")  # noqa: B023
        assert prompt.exists(), "the file waits in its inbox"
        until = now + rest
        while now < until - 0.2:
            assert tried(times), "the stage rests"
        status = json.loads((tmp_path / "spool/status.json").read_text())
        assert "3 GB are taken" in status["stages"]["text"]["degraded"]
    wait_until(lambda: tried(3), what="the third attempt: a fault of the machine counts no attempt")
    (error,) = tmp_path.glob("spool/failed/1-text/cat.*/error.txt")
    assert "at fault" in error.read_text()
    for _ in range(20):
        tried(3)
    assert json.loads((tmp_path / "spool/status.json").read_text())["stages"]["text"]["degraded"] is None
    service.stop()


def test_a_stage_in_trouble_rests_longer_each_time_and_its_reason_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    troubles = Troubles()
    now, rests = 0.0, []
    for _ in range(9):
        troubles.note("text", "no disk", now)
        until = next(second for second in range(1, 1000) if not troubles.rests("text", now + second))
        rests.append(until)
        troubles.note("text", "no disk", now + 1)  # while it rests anyway
        now += until
    assert rests == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert max(rests) == LONGEST_BACKOFF_SECONDS
    assert caplog.messages == ["text: no disk"]
    assert troubles.reasons() == {"text": "no disk"}
    troubles.end("text", "another kind")
    assert troubles.reasons() == {"text": "no disk"}
    troubles.end("text", "no")
    assert troubles.reasons() == {}
    troubles.note("text", "no disk", now)
    assert troubles.rests("text", now + FIRST_BACKOFF_SECONDS - 0.1)
    assert not troubles.rests("text", now + FIRST_BACKOFF_SECONDS)
