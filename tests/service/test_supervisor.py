"""Jobs that stand still: who is named, what the watchdog hears, and that a stop does not wait for them for ever."""

import json
import threading
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from daemon.jobs import job
from daemon.jobs.heartbeat import Heartbeat
from daemon.service import shutdown
from daemon.service.service import Service
from daemon.service.shutdown import Shutdown
from daemon.service.supervisor import STALL_SECONDS, ActiveJob, Places, Supervisor
from daemon.spool.spool import Claim
from tests.conftest import wait_until
from tests.service.test_service import config_of, service_in

NOON = datetime(2026, 11, 22, 12, 0)


class Clock:
    """Seconds that only a test lets pass."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def active(clock: Clock, stem: str, doing: str = "") -> ActiveJob:
    heartbeat = Heartbeat(clock)
    if doing:
        heartbeat.beat(doing)
    return ActiveJob(Claim("text", stem, "0a1b2c3d", {"principal": f"{stem}.txt"}, {}, job=f"job-{stem}", members={}), heartbeat)


def test_a_job_that_stands_still_is_named_once_with_what_it_does_since_when_and_what_to_do(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    supervisor = Supervisor(Places(3), clock=lambda: NOON)
    cat, dog = active(clock, "cat", "reading its files"), active(clock, "dog", "reading its files")
    clock.now += STALL_SECONDS - 1
    supervisor.report_stalled([cat, dog], clock.now)
    assert supervisor.complaints() == ()
    dog.heartbeat.beat("reading its files")
    clock.now += 1
    for _ in range(3):
        supervisor.report_stalled([cat, dog], clock.now)
    (sentence,) = supervisor.complaints()
    assert sentence.startswith("text cat.txt: stalled since 11:58:00 while reading its files; check whether")
    assert caplog.messages == [sentence]
    cat.heartbeat.beat("writing cat.tiff")
    supervisor.report_stalled([cat, dog], clock.now)
    assert supervisor.complaints() == ()


def test_a_job_that_waits_for_its_turn_does_not_stand_still() -> None:
    clock = Clock()
    supervisor = Supervisor(Places(1))
    waiting = active(clock, "cat")
    clock.now += 10 * STALL_SECONDS
    supervisor.report_stalled([waiting], clock.now)
    assert supervisor.complaints() == ()
    assert not supervisor.all_stalled()


def test_all_stand_still_when_every_place_is_taken_by_one_that_does() -> None:
    clock = Clock()
    supervisor = Supervisor(Places(2))
    cat, dog = active(clock, "cat", "reading its files"), active(clock, "dog", "reading its files")
    clock.now += STALL_SECONDS
    dog.heartbeat.beat("waiting for the worker")
    supervisor.report_stalled([cat, dog], clock.now)
    assert not supervisor.all_stalled()
    clock.now += STALL_SECONDS
    supervisor.report_stalled([cat, dog], clock.now)
    assert supervisor.all_stalled()
    supervisor.report_stalled([dog], clock.now)
    assert not supervisor.all_stalled()


def test_a_job_whose_maths_is_over_leaves_its_slot_to_another_and_keeps_a_place() -> None:
    clock, places = Clock(), Places(2)
    jobs = [active(clock, "cat", "reading its files"), active(clock, "dog", "reading its files")]
    assert places.free(jobs) == 0
    jobs[0].heartbeat.beat("making its results", computed=True)
    jobs[0].heartbeat.beat("writing cat.tiff")
    assert places.free(jobs) == 1
    for stem in ("owl", "fox"):
        jobs.append(active(clock, stem))
        jobs[-1].heartbeat.beat("making its results", computed=True)
    assert places.free(jobs) == 0, "what is being written takes memory, and is bounded too"


def test_jobs_that_stand_still_while_their_results_are_written_keep_others_from_working_only_where_they_have_all_places() -> None:
    clock = Clock()
    supervisor = Supervisor(Places(1))
    cat, dog = active(clock, "cat"), active(clock, "dog")
    for writing in (cat, dog):
        writing.heartbeat.beat("writing its picture", computed=True)
    clock.now += STALL_SECONDS
    supervisor.report_stalled([cat], clock.now)
    assert not supervisor.all_stalled()
    supervisor.report_stalled([cat, dog], clock.now)
    assert supervisor.all_stalled()


def test_what_is_decided_is_not_discounted() -> None:
    job = active(Clock(), "cat")
    assert not job.may_be_discounted()
    job.heartbeat.beat("reading its files")
    assert job.may_be_discounted()
    job.heartbeat.beat("publishing its results", decided=True)
    assert not job.may_be_discounted()


def test_each_part_of_an_end_has_until_its_moment_and_no_longer() -> None:
    clock = Clock()
    end = Shutdown(clock)
    assert not end.past(0.0)
    end.ask()
    clock.now += 5
    end.ask()  # a second Ctrl-C
    assert end.left_until(20.0) == 15.0
    assert end.past(5.0)
    assert not end.past(5.1)
    clock.now += 100
    assert end.left_until(20.0) == shutdown.LEAST_SECONDS


def test_a_part_that_hangs_is_left_and_one_that_fails_is_said(caplog: pytest.LogCaptureFixture) -> None:
    clock = Clock()
    end = Shutdown(clock)
    end.ask()
    clock.now += 100
    goes_on = threading.Event()
    done: list[str] = []

    def fail() -> None:
        raise OSError("no disk")

    end.do({"one": lambda: bool(goes_on.wait(60)) and None, "two": fail, "three": lambda: done.append("three")}, until=1.0)
    wait_until(lambda: done, what="the others are done")
    assert "one" in end.hanging
    assert "two: no disk" in caplog.messages
    goes_on.set()


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """Jobs hang in reading until this is set."""
    goes_on = threading.Event()
    read_request = job.read_request

    def hang(*arguments: Any) -> Any:
        goes_on.wait(60)
        return read_request(*arguments)

    monkeypatch.setattr(job, "read_request", hang)
    yield goes_on
    goes_on.set()


def drop_and_hang(service: Service, *names: str) -> None:
    """Drop prompts, and let the service go on until their jobs hang too."""
    wanted = len(service._jobs) + len(names)
    for name in names:
        (service.spool.root / "inbox/1-text" / f"{name}.txt").write_text(f"a {name}")

    def hanging() -> int:
        service.tick(time.monotonic())
        places = [job.heartbeat.last for job in service._jobs.active]
        return sum(beat is not None and beat.doing.startswith("reading") for beat in places)

    wait_until(lambda: hanging() == wanted, what="the jobs hang")


def heard(monkeypatch: pytest.MonkeyPatch, service: Service, now: float) -> list[str]:
    """What systemd hears at a tick."""
    told: list[str] = []
    monkeypatch.setattr("daemon.service.service.notify", told.append)
    service.tick(now)
    return told


@pytest.mark.parametrize(("names", "silent"), [(["cat"], False), (["cat", "dog"], True)])
def test_the_status_names_jobs_that_hang_and_the_watchdog_is_silent_where_all_do(
    names: list[str], silent: bool, tmp_path: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = service_in(tmp_path, compute={"ahead": 1})
    service.start()
    drop_and_hang(service, *names)
    assert "WATCHDOG=1" in heard(monkeypatch, service, time.monotonic())
    told = heard(monkeypatch, service, time.monotonic() + STALL_SECONDS + 1)
    assert ("WATCHDOG=1" not in told) is silent
    complaints = json.loads((tmp_path / "spool/status.json").read_text())["complaints"]
    assert [complaint.partition(": stalled since")[0] for complaint in complaints] == [f"text {name}.txt" for name in names]
    held.set()
    service.request_stop()
    wait_until(lambda: "WATCHDOG=1" in heard(monkeypatch, service, time.monotonic()), what="it is well again")
    service.stop()


@pytest.fixture
def quick_end(monkeypatch: pytest.MonkeyPatch) -> None:
    """An end whose jobs have a tenth of a second."""
    for name, seconds in (("DRAINED", 0.1), ("DISCOUNTED", 5.0), ("CLOSED", 10.0), ("GIVEN_BACK", 0.1), ("STATUS_WRITTEN", 20.0)):
        monkeypatch.setattr(shutdown, name, seconds)


def attempts(spool: Path) -> list[int]:
    return [json.loads(path.read_text())["attempts"] for path in spool.glob(".work/*/attempt.json")]


@pytest.mark.usefixtures("quick_end")
def test_a_stop_leaves_a_job_that_hangs_and_its_attempt_does_not_count(tmp_path: Path, held: threading.Event) -> None:
    service = service_in(tmp_path, compute={"ahead": 0})
    service.start()
    drop_and_hang(service, "cat")
    threads = list(service._jobs._threads._threads)
    service.stop()
    assert service._shutdown.hanging == ["text cat.txt, reading its files and those that it names"]
    assert attempts(tmp_path / "spool") == [1]
    again = service_in(tmp_path, compute={"ahead": 0})
    again.spool.create()
    (claim,) = again.spool.recover().claims
    assert claim.attempts == 0
    held.set()
    for thread in threads:
        thread.join(60)


@pytest.mark.usefixtures("quick_end", "held")
@pytest.mark.parametrize("names", [["cat"], ["cat", "dog", "eel"]])
def test_once_ends_where_what_is_left_stands_still(names: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("daemon.service.supervisor.STALL_SECONDS", 0.5)
    service = service_in(tmp_path, compute={"ahead": 1}, watch={"rescan_seconds": 0.2})
    for name in names:
        (tmp_path / "spool/inbox/1-text").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"spool/inbox/1-text/{name}.txt").write_text(f"a {name}")
    service.run_once()
    assert len(service._shutdown.hanging) == min(len(names), service._jobs._places.slots)


@pytest.mark.usefixtures("quick_end")
def test_a_job_that_wakes_after_its_attempt_was_discounted_goes_back_to_its_inbox(tmp_path: Path, held: threading.Event) -> None:
    service = service_in(tmp_path, compute={"ahead": 0})
    service.start()
    drop_and_hang(service, "cat")
    service.stop()
    held.set()
    wait_until(lambda: not list((tmp_path / "spool/.work").iterdir()), what="the job is put back")
    assert (tmp_path / "spool/inbox/1-text/cat.txt").read_text() == "a cat"


@pytest.mark.usefixtures("quick_end")
def test_the_process_is_left_where_something_hangs_and_ends_by_itself_elsewhere(
    tmp_path: Path, held: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    left: list[str] = []

    def lived(folder: Path, *names: str) -> list[str]:
        left.clear()
        service = Service(config_of(folder), leave=lambda: left.append("left"))
        start = service.start

        def start_and_stop(*, patient: bool) -> bool:
            started = start(patient=patient)
            drop_and_hang(service, *names)
            service.request_stop()
            return started

        monkeypatch.setattr(service, "start", start_and_stop)
        service.run()
        return left

    assert lived(tmp_path / "well") == []
    assert lived(tmp_path / "hanging", "cat") == ["left"]
    held.set()
