"""The lifecycle, in this process and without a worker: what needs no maths is decided in the front."""

import errno
import json
import logging
import os
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml

import tiffsd
from daemon.compute.engine import new_engine
from daemon.compute.protocol import Compute, EngineOptions
from daemon.errors import AnotherDaemon, InputError, OutOfMemory
from daemon.jobs.retry_budget import MOST_TRIES, SHORT_FILES
from daemon.service.backoff import CLAIM_FAILED, FIRST_BACKOFF_SECONDS, LONGEST_BACKOFF_SECONDS, REFUSAL_FAILED, StageBackoff
from daemon.service.misplaced import Misplaced
from daemon.service.service import Service
from daemon.settings.config import Config
from daemon.spool.spool import Recovery
from tests.artifacts import latents
from tests.conftest import wait_until
from tests.leases import leased

QUICK = {
    "watch": {
        "rescan_seconds": 0.2,
        "settle_seconds": 0.01,
        "settle_unleased_seconds": 0.05,
        "empty_grace_seconds": 0.1,
        "empty_grace_unleased_seconds": 0.1,
    }
}


def config_of(folder: Path, **settings: object) -> Config:
    return Config.model_validate({"folder": folder, **QUICK, **settings})


def service_in(folder: Path, **settings: object) -> Service:
    return Service(config_of(folder, **settings))


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
    with pytest.raises(AnotherDaemon):
        service_in(tmp_path).start()
    first.stop()


def test_where_the_order_of_changes_is_not_kept_the_disk_is_waited_for_and_that_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.spool.ordering.why_unordered", lambda *_: "it lies on btrfs")
    for durability, says in (("ordered", True), ("full", False)):
        service = service_in(tmp_path, durability=durability)
        service.start()
        service.stop()
        assert ("`durability: ordered` has no effect: it lies on btrfs" in (tmp_path / "spool/status.json").read_text()) is says


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


def test_latents_that_were_exported_as_a_picture_are_refused_by_their_id(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.start()
    kept = latents()
    tiffsd.write(service.spool.root / f".keep/cat.{kept.header.id}.tiff", kept)
    (service.spool.inbox("decode") / f"cat.{kept.header.id}.png").write_bytes(b"png")

    def errors() -> list[Path]:
        service.tick(time.monotonic())
        return list(service.spool.root.glob("failed/3-decode/*/error.txt"))

    (error,) = wait_until(errors, what="the picture is refused")
    assert f"these are latents {kept.header.id}, saved as .png" in error.read_text()
    service.stop()


@pytest.mark.parametrize("ending", [".tiff.restore", ".restore"])
def test_an_original_comes_back_where_a_file_asks_for_it_and_replaces_nothing(ending: str, tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.start()
    root, kept = service.spool.root, latents()
    name = f"cat.{kept.header.id}.tiff"
    tiffsd.write(root / ".keep" / name, kept)
    (root / "hold/2-diffuse" / name).write_bytes(b"spoilt")
    (root / "inbox/2-diffuse" / f"cat.{kept.header.id}{ending}").touch()

    def found() -> list[Path]:
        service.tick(time.monotonic())
        return list(root.glob(f"hold/2-diffuse/cat-2.{kept.header.id}.tiff"))

    (back,) = wait_until(found, what="the original is back")
    assert back.read_bytes() == (root / ".keep" / name).read_bytes()
    assert (root / "hold/2-diffuse" / name).read_bytes() == b"spoilt"
    assert list(root.glob("done/*/*.restore"))
    assert not list(root.glob("failed/*/*"))
    service.stop()


def test_an_original_that_is_not_kept_is_said_to_be_gone(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.start()
    (service.spool.inbox("decode") / "cat.00000000.restore").touch()

    def failed() -> list[Path]:
        service.tick(time.monotonic())
        return list(tmp_path.glob("spool/failed/3-decode/*/error.txt"))

    (error,) = wait_until(failed, what="the sign is answered")
    assert "asks for an original, and none of that id is kept" in error.read_text()
    service.stop()


def test_what_was_dropped_beside_the_inboxes_is_told_where_it_belongs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    misplaced = Misplaced(tmp_path)
    (tmp_path / "inbox/1-text").mkdir(parents=True)
    for name in ("cat.txt", "status.txt", "status.json", "README.md", ".lock", "config.yaml", "inbox/cat.png", "inbox/cat.tiff",
                 "inbox/1-text/dog.txt", "inbox/cat.txt~", "inbox/README.txt", "inbox/pause.txt", "Hold"):  # fmt: skip
        (tmp_path / name).write_bytes(b"x")
    for _ in range(2):
        misplaced.look()
    beside = "lies beside the inboxes, where nothing is taken from; move it to"
    told = [
        f"Hold {beside} hold/2-diffuse, or wherever it shall count",
        f"cat.txt {beside} inbox/1-text",
        f"inbox/cat.png {beside} inbox/encode, or to inbox/1-text to repeat its recipe",
        f"inbox/cat.tiff {beside} inbox/2-diffuse or inbox/3-decode",
        f"inbox/pause.txt {beside} inbox/2-diffuse, or wherever it shall count",
    ]
    assert sorted(misplaced.complaints()) == told
    assert sorted(caplog.messages) == told, "once of each"
    (tmp_path / "cat.txt").unlink()
    misplaced.look()
    assert sorted(misplaced.complaints()) == [told[0], *told[2:]]


def test_a_prompt_beside_the_inboxes_is_complained_of_by_the_service(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.start()
    (service.spool.root / "inbox/cat.txt").write_text("a cat")

    def told() -> bool:
        service.tick(time.monotonic())
        return "inbox/cat.txt lies beside the inboxes" in (service.spool.root / "status.json").read_text()

    wait_until(told, what="the status says where it belongs")
    service.stop()


def test_a_broken_configuration_leaves_the_old_one_in_force_and_is_complained_of_until_it_is_mended(tmp_path: Path) -> None:
    path = tmp_path / "config.yaml"
    path.write_text("defaults:\n  steps: 30\n")
    service = Service(config_of(tmp_path), config_path=path)
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
    assert "the old one stays in force" in complaint
    assert service.config.defaults["steps"] == 30
    path.write_text("defaults:\n  steps: 40\n")
    assert complaints() == []
    assert service.config.defaults["steps"] == 40
    service.stop()


def test_a_kernel_that_lets_people_link_to_files_of_others_is_complained_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "protected_hardlinks").write_text("0\n")
    monkeypatch.setattr("daemon.spool.hardlinks.PROTECTED", tmp_path / "protected_hardlinks")
    service = service_in(tmp_path)
    service.spool.create()
    (tmp_path / "spool/inbox/1-text").chmod(0o2770)
    service.start()
    (complaint,) = json.loads((tmp_path / "spool/status.json").read_text())["complaints"]
    assert "fs.protected_hardlinks=1" in complaint
    service.stop()


class Fitful:
    """The compute side of a machine that fails at the first jobs."""

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

    def close(self, *, grace_seconds: float) -> None:
        del grace_seconds


def test_a_fault_of_the_machine_keeps_the_file_and_tries_it_again_later(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.start()
    full = OSError("3 GB are taken")
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
            assert tried(times), "the stage backs off"
        status = json.loads((tmp_path / "spool/status.json").read_text())
        assert "3 GB are taken" in status["stages"]["text"]["degraded"]
    wait_until(lambda: tried(3), what="the third attempt: a fault of the machine counts no attempt")
    (error,) = tmp_path.glob("spool/failed/1-text/cat.*/error.txt")
    assert "at fault" in error.read_text()
    for _ in range(20):
        tried(3)
    assert json.loads((tmp_path / "spool/status.json").read_text())["stages"]["text"]["degraded"] is None
    service.stop()


def test_once_does_not_wait_for_a_machine_that_keeps_failing(tmp_path: Path) -> None:
    service = service_in(tmp_path, compute={"ahead": 0})
    service.spool.create()
    service.compute = compute = Fitful(OSError("3 GB are taken"))
    prompts = [tmp_path / f"spool/inbox/1-text/{name}.txt" for name in ("cat", "dog")]
    for prompt in prompts:
        prompt.write_text("a cat")
    service.run_once()
    assert all(prompt.exists() for prompt in prompts)
    assert compute.asked == 1


class Small:
    """The compute side of a machine that has no memory for cats; of others it says that they are at fault, which is an end too."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def submit(self, _stage: str, _arrays: Any, settings: dict[str, Any], **_: Any) -> Any:
        self.asked.append(settings["prompt"])
        future: Future[Any] = Future()
        full = OutOfMemory("the device had not enough memory for this job (Tried to allocate 30 GiB of 24)")
        future.set_exception(full if "cat" in settings["prompt"] else InputError("dogs are done"))
        return SimpleNamespace(future=future)

    tick, describe, close = Fitful.tick, Fitful.describe, Fitful.close


def test_a_file_that_never_fits_waits_alone_and_goes_to_failed_with_the_figure_after_a_few_tries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.jobs.retry_budget.WAIT_SECONDS", 1.5)
    service = service_in(tmp_path, compute={"ahead": 0})
    service.start()
    service.compute = compute = Small()
    inbox = tmp_path / "spool/inbox/1-text"
    (inbox / "cat.txt").write_text("a cat")
    ticked(service, lambda: "of 4" in str(stages(tmp_path)["text"]["waits"]))
    (inbox / "dog.txt").write_text("a dog")
    ticked(service, lambda: list(tmp_path.glob("spool/failed/1-text/dog.*/error.txt")))
    assert compute.asked.count("a cat") < MOST_TRIES, "others go on meanwhile"
    assert stages(tmp_path)["text"]["degraded"] is None
    (error,) = ticked(service, lambda: list(tmp_path.glob("spool/failed/1-text/cat.*/error.txt")))
    assert "(Tried to allocate 30 GiB of 24). It was tried 4 times; make the picture smaller" in error.read_text()
    assert compute.asked.count("a cat") == MOST_TRIES
    service.stop()


def test_where_files_lack_memory_one_after_the_other_their_stage_rests_until_something_is_done(tmp_path: Path) -> None:
    service = service_in(tmp_path, compute={"ahead": 0})
    service.start()
    service.compute = compute = Small()
    for number in range(SHORT_FILES + 2):
        (tmp_path / f"spool/inbox/1-text/{number}.txt").write_text("a cat")
    ticked(service, lambda: stages(tmp_path)["text"]["degraded"])
    assert len(compute.asked) == SHORT_FILES
    assert "not enough memory" in stages(tmp_path)["text"]["degraded"]
    service.stop()


def test_once_tries_a_file_that_never_fits_a_few_times_and_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.jobs.retry_budget.WAIT_SECONDS", 0.1)
    service = service_in(tmp_path, compute={"ahead": 0})
    service.spool.create()
    service.compute = compute = Small()
    (tmp_path / "spool/inbox/1-text/cat.txt").write_text("a cat")
    service.run_once()
    assert list(tmp_path.glob("spool/failed/1-text/cat.*/error.txt"))
    assert len(compute.asked) == MOST_TRIES


def test_once_leaves_what_waits_for_memory_where_the_machine_is_short_of_it(tmp_path: Path) -> None:
    service = service_in(tmp_path, compute={"ahead": 0})
    service.spool.create()
    service.compute = compute = Small()
    prompts = [tmp_path / f"spool/inbox/1-text/{number}.txt" for number in range(SHORT_FILES)]
    for prompt in prompts:
        prompt.write_text("a cat")
    service.run_once()
    assert all(prompt.exists() for prompt in prompts)
    assert len(compute.asked) == SHORT_FILES


def test_a_job_whose_embedding_another_program_holds_waits_in_sight_and_keeps_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.service.intake.IN_USE_SECONDS", 0.5)
    service = service_in(tmp_path, compute={"ahead": 0})
    service.start()
    inbox, embedding = tmp_path / "spool/inbox/1-text", tmp_path / "spool/embeddings/mine.tiff"
    embedding.write_bytes(b"no embedding")
    with leased(embedding):
        (inbox / "cat.txt").write_text("---\nembedding: mine\n---\na cat")
        ticked(service, lambda: "cat.txt: mine.tiff is still being written" in stages(tmp_path)["text"]["waits"])
        (inbox / "bad.txt").write_text("---\nstepz: 1\n---\na cat")
        ticked(service, lambda: list(tmp_path.glob("spool/failed/1-text/bad.*/error.txt")))
        assert stages(tmp_path)["text"]["degraded"] is None
        assert not list(tmp_path.glob("spool/failed/1-text/cat.*"))
    (error,) = ticked(service, lambda: list(tmp_path.glob("spool/failed/1-text/cat.*/error.txt")))
    assert "mine.tiff is not a TIFF file" in error.read_text()
    assert json.loads(error.with_name("error.json").read_text())["attempts"] == 1
    service.stop()


def test_a_job_runs_though_a_person_deleted_the_folder_running(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.start()
    service.compute = Fitful(InputError("cat.txt: at fault"))
    (tmp_path / "spool/running").rmdir()
    (tmp_path / "spool/inbox/1-text/cat.txt").write_text("a cat")
    (error,) = ticked(service, lambda: list(tmp_path.glob("spool/failed/1-text/cat.*/error.txt")))
    assert "at fault" in error.read_text(), "it was not taken for cancelled"
    service.stop()


def test_an_inbox_that_is_none_any_more_degrades_its_stage_and_nothing_else(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.start()
    inbox = tmp_path / "spool/inbox/1-text"
    inbox.rmdir()
    inbox.touch()
    (tmp_path / "spool/inbox/3-decode/words.txt").write_text("no latents")
    ticked(service, lambda: list(tmp_path.glob("spool/failed/3-decode/words.*/error.txt")))
    ticked(service, lambda: "cannot be read" in str(stages(tmp_path)["text"]["degraded"]))
    inbox.unlink()
    inbox.mkdir()
    ticked(service, lambda: stages(tmp_path)["text"]["degraded"] is None)
    service.stop()


def test_many_wrong_files_are_refused_a_while_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.service.refusing.REFUSING_SECONDS", 0.02)
    service = service_in(tmp_path)
    service.start()
    inbox = tmp_path / "spool/inbox/3-decode"
    for number in range(400):
        (inbox / f"{number}.txt").touch()
        (inbox / f"{number}.txt").write_text("no latents")
    left = set()

    def all_refused() -> bool:
        due = service.tick(time.monotonic())
        left.add(len(list(inbox.iterdir())))
        assert not service._intake.scans["decode"].refused or due <= time.monotonic(), "what is left is not forgotten"
        return not list(inbox.iterdir())

    wait_until(all_refused, seconds=60, what="all are refused")
    assert len(left) > 3, "the loop had its turn in between"
    service.stop()


def full_disk(*_: object) -> None:
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


@pytest.mark.parametrize(("name", "what"), [("bad.tiff.txt", REFUSAL_FAILED), ("good.tiff", CLAIM_FAILED)])
def test_a_full_disk_is_tried_once_per_rest_and_the_trouble_ends_with_its_cause(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, what: str
) -> None:
    service = service_in(tmp_path)
    service.start()
    tried: list[object] = []
    monkeypatch.setattr(service.spool, "claim", lambda *drop: (tried.append(drop), full_disk()))
    now = time.monotonic()
    files = [tmp_path / "spool/inbox/3-decode" / f"{number}-{name}" for number in range(20)]
    for file in files:
        file.write_text("content")
    for tick in range(20):
        service.tick(now + tick * 0.1)
    assert len(tried) == 1
    service.tick(now + 2 * FIRST_BACKOFF_SECONDS)
    assert len(tried) == 2
    assert what in service._backoff.reasons()["decode"]
    for file in files:
        file.unlink()
    service.tick(now + 2 * FIRST_BACKOFF_SECONDS + 1)
    assert service._backoff.reasons() == {}
    service.stop()


def test_what_a_claim_could_not_give_back_is_recovered_without_a_new_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service, work, away = service_in(tmp_path), tmp_path / "spool/.work", tmp_path / "spool/x"
    service.start()

    def take_and_lose(*claimed: Any) -> bool:
        take(*claimed)
        work.rename(away)
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    take = service.spool._take
    monkeypatch.setattr(service.spool, "_take", take_and_lose)
    (tmp_path / "spool/inbox/3-decode/words.tiff").write_text("no latents")
    ticked(service, away.exists)
    monkeypatch.undo()
    away.rename(work)

    def failed() -> list[Path]:
        service.tick(time.monotonic() + 2 * FIRST_BACKOFF_SECONDS)
        return list(tmp_path.glob("spool/failed/3-decode/words.*/error.txt"))

    wait_until(failed, what="the job is resumed")
    service.stop()


def test_recovery_has_a_clock_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    service = service_in(tmp_path)
    service.start()
    now = time.monotonic()
    asked: list[float] = []
    stuck = [{"a job": OSError("no disk")}] * 2 + [{}]

    def recover(**_: object) -> Recovery:
        asked.append(tick)
        return Recovery([], stuck.pop(0))

    monkeypatch.setattr(service.spool, "recover", recover)
    service._recovery.failed(now)
    for tick in range(60):
        service._backoff.record_failure("encode", f"another trouble that never ends, number {tick}", now + tick)
        service.tick(now + tick)
    assert asked == [5, 15, 35]
    service.stop()


def test_a_stop_is_not_lost_in_the_instant_before_the_sleep(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.request_stop()
    service._wake.clear()
    started = time.monotonic()
    service._sleep(started + 60)
    assert time.monotonic() - started < 30


@pytest.mark.parametrize("spool", ["~nosuchuser/x", '"a\\0b"'])
def test_a_reload_with_a_spool_that_can_be_no_folder_ends_nothing(tmp_path: Path, spool: str) -> None:
    path = tmp_path / "config.yaml"
    path.write_text(f"spool: {spool}\n")
    service = Service(config_of(tmp_path), config_path=path)
    service.start()
    service.request_reload()
    service.tick(time.monotonic())
    service.tick(time.monotonic())
    service.stop()


@pytest.mark.parametrize("saved", ["", "# nothing yet\n"])
def test_a_reload_while_an_editor_saves_changes_nothing(tmp_path: Path, saved: str) -> None:
    service = Service(config_of(tmp_path, stages={"diffuse": {"hold": True}}), config_path=tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text(saved)
    service.start()
    service.request_reload()
    service.tick(time.monotonic())
    assert service.gated("diffuse")
    (complaint,) = json.loads((tmp_path / "spool/status.json").read_text())["complaints"]
    assert complaint.startswith(
        f"configuration not reloaded, the old one stays in force: {tmp_path}/config.yaml has no settings in it"
    )
    service.stop()


def test_how_long_a_job_may_compute_changes_with_a_reload(tmp_path: Path) -> None:
    told: list[EngineOptions] = []

    def engine(options: EngineOptions) -> Compute:
        told.append(options)
        return new_engine(options)

    service = Service(config_of(tmp_path), config_path=tmp_path / "config.yaml", engine=engine)
    (tmp_path / "config.yaml").write_text("limits: {job_minutes: 2}\n")
    service.start()
    assert told[0].job_seconds() is None
    service.request_reload()
    service.tick(time.monotonic())
    assert told[0].job_seconds() == 120
    service.stop()


def test_a_file_waits_for_the_settle_time_of_its_own_inbox(tmp_path: Path) -> None:
    service = service_in(tmp_path, stages={"text": {"settle_seconds": 50.0}})
    service.spool.create()
    for stage in ("text", "decode"):
        (service.spool.inbox(stage) / "cat.png").write_bytes(b"png")
    now = time.monotonic()
    due = {name: service.inboxes[name].scan(now).due for name in ("text", "decode")}
    assert (due["text"], due["decode"]) == (pytest.approx(now + 50), pytest.approx(now + 0.01))


def test_a_reload_says_of_each_change_whether_it_waits_for_the_next_start(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    path = tmp_path / "config.yaml"
    watch = yaml.safe_dump({"watch": {**QUICK["watch"], "rescan_seconds": 0.3}})
    path.write_text(f"{watch}\ncompute: {{threads: 3, picture_memory_gb: 1.0}}\nstages: {{text: {{settle_seconds: 2}}}}\n")
    service = Service(config_of(tmp_path), config_path=path)
    service.start()
    service.request_reload()
    service.tick(time.monotonic())
    late = "compute.threads, stages.text.settle_seconds"
    assert f"configuration reloaded from {path}; {late} will change at the next start" in caplog.messages
    service.stop()


def stages(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "spool/status.json").read_text())["stages"]
    return found


def ticked(service: Service, condition: Callable[[], Any]) -> Any:
    """Let the service go on until the condition is true."""
    return wait_until(lambda: (service.tick(time.monotonic()), condition())[1])


def test_a_stage_in_trouble_rests_longer_each_time_and_its_reason_is_said_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    backoff = StageBackoff()
    now, pauses = 0.0, []
    for _ in range(9):
        backoff.record_failure("text", "no disk", now)
        until = next(second for second in range(1, 1000) if not backoff.is_backing_off("text", now + second))
        pauses.append(until)
        backoff.record_failure("text", "no disk", now + 1)  # while it backs off anyway
        now += until
    assert pauses == [5, 10, 20, 40, 80, 160, 300, 300, 300]
    assert max(pauses) == LONGEST_BACKOFF_SECONDS
    assert caplog.messages == ["text: no disk"]
    assert backoff.reasons() == {"text": "no disk"}
    backoff.recovered("text", "another kind")
    assert backoff.reasons() == {"text": "no disk"}
    backoff.recovered("text", "no")
    assert backoff.reasons() == {}
    backoff.record_failure("text", "no disk", now)
    assert backoff.is_backing_off("text", now + FIRST_BACKOFF_SECONDS - 0.1)
    assert not backoff.is_backing_off("text", now + FIRST_BACKOFF_SECONDS)


def test_the_status_lists_what_waits_with_its_prompt_and_why_and_is_not_written_again_for_nothing(tmp_path: Path) -> None:
    service = service_in(tmp_path)
    service.start()
    inbox, status = tmp_path / "spool/inbox/1-text", tmp_path / "spool/status.json"
    (inbox / "PAUSE").touch()
    (inbox / "cat.txt").write_text("a cat")

    def told() -> list[dict[str, str]]:
        service.tick(time.monotonic())
        first: list[dict[str, str]] = json.loads(status.read_text())["listed"]["waiting"]["first"]
        return first

    (entry,) = wait_until(told, what="it is listed")
    assert (entry["name"], entry["prompt"]) == ("cat.txt", "a cat")
    assert (entry["reason"], entry["command"]) == ("is ready, but the stage is paused", "tiffsd resume text")
    written = status.stat().st_mtime_ns
    service._status.due = 0.0
    service.tick(time.monotonic())
    assert status.stat().st_mtime_ns == written
    service.stop()
