"""What the log says of a job: its own time and what it waited, and how what is held goes on."""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from daemon.jobs.job_log import JobLog
from daemon.jobs.request import StageCall

ROOT = Path("/spool")
SETTINGS: Mapping[str, Any] = {"model": {"name": "sd15"}, "seeds": [1], "width": 640, "height": 512, "steps": 30}


class Clock:
    """Seconds that pass when somebody says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def told(caplog: pytest.LogCaptureFixture, *published: str, own: float = 2.0, waited: float = 0.0) -> str:
    """The last line of a job that took so long."""
    clock = Clock()
    job_log = JobLog("text cat.txt", clock=clock)

    since = job_log.seconds()
    clock.now += own - 0.5 + waited
    job_log.called(since, {"seconds": own - 0.5 + waited / 2, "loading_seconds": waited / 2})
    clock.now += 0.5
    assert job_log.own_seconds() == pytest.approx(own)
    job_log.finished(ROOT, [ROOT / path for path in published], job_log.own_seconds())
    return caplog.messages[-1]


@pytest.fixture(autouse=True)
def _all_of_it(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


@pytest.mark.parametrize(
    ("own", "waited", "words"),
    [(2.0, 3.4, "2.0 s, waited 3.4 s"), (2.0, 0.4, "2.0 s"), (600.0, 20.0, "600.0 s"), (600.0, 40.0, "600.0 s, waited 40.0 s")],
)
def test_waiting_is_told_apart_where_it_is_worth_a_word(
    caplog: pytest.LogCaptureFixture, own: float, waited: float, words: str
) -> None:
    published = ".keep/cat.3f9a1c2e.tiff", "inbox/2-diffuse/cat.3f9a1c2e.tiff"
    assert told(caplog, *published, own=own, waited=waited) == f"text cat.txt -> inbox/2-diffuse/cat.3f9a1c2e.tiff {words}"


def test_a_worker_that_does_not_tell_its_time_has_waited_for_nothing() -> None:
    clock = Clock()
    job_log = JobLog("text cat.txt", clock=clock)
    clock.now += 7.0
    job_log.called(0.0, {})
    assert job_log.own_seconds() == 7.0


def test_what_is_held_is_told_with_the_ways_on(caplog: pytest.LogCaptureFixture) -> None:
    held = "hold/3-decode/my cat\n.3f9a1c2e.tiff"
    assert told(caplog, held) == (
        "text cat.txt -> hold/3-decode/my cat\\n.3f9a1c2e.tiff 2.0 s; "
        "held: move it to inbox/3-decode, or run tiffsd release 'my cat\\n.3f9a1c2e.tiff'"
    )
    assert told(caplog, "embeddings/cat.tiff", "hold/2-diffuse/a.tiff", "hold/2-diffuse/b.tiff") == (
        "text cat.txt -> embeddings/cat.tiff, hold/2-diffuse/a.tiff, hold/2-diffuse/b.tiff 2.0 s; "
        "held: move them to inbox/2-diffuse, or run tiffsd release with their names"
    )


@pytest.mark.parametrize(
    ("stage", "tensors", "more", "words"),
    [
        ("text", {}, {"seeds": [1, 2, 3]}, "sd15, 640x512, 3 pictures"),
        ("diffuse", {}, {}, "sd15, 640x512, 30 steps"),
        ("decode", {}, {"width": None}, "sd15"),
        ("apply", {}, {}, "sd15, 640x512"),
        ("encode", {"picture": np.zeros((64, 128, 3), np.float32)}, {}, "sd15, 128x64"),
    ],
)
def test_a_job_begins_with_its_model_and_its_size_once(
    caplog: pytest.LogCaptureFixture, stage: str, tensors: dict[str, Any], more: dict[str, Any], words: str
) -> None:
    job_log = JobLog(f"{stage} cat.txt")
    for _ in range(2):
        job_log.started(StageCall(stage, tensors, {**SETTINGS, **more}))
    assert caplog.messages == [f"{stage} cat.txt: started, {words}"]
