"""The lifecycle, in this process and without a worker: what needs no maths is decided in the front."""

import time
from pathlib import Path

import pytest

from daemon.config import Config
from daemon.errors import SpoolError
from daemon.service import Service
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


def test_a_broken_configuration_leaves_the_old_one_in_force(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("defaults:\n  steps: 30\n")
    service = service_in(tmp_path)
    service.config_path = path
    service.start()
    service.request_reload()
    service.tick(0.0)
    assert service.config.defaults["steps"] == 30
    path.write_text("nonsense: true\n")
    service.request_reload()
    service.tick(0.0)
    assert service.config.defaults["steps"] == 30
    service.stop()
