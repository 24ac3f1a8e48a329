"""Files that somebody goes on writing: while their job runs, after it was done, after it has failed."""

import logging
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

import tiffsd
from daemon.compute.protocol import Arrays, EngineOptions, Result
from daemon.service.late_writers import LateWriters
from daemon.service.service import Service
from daemon.spool.spool import Spool
from tests.conftest import wait_until
from tests.real import fast_worker
from tests.service.test_service import config_of
from tests.service.toy_engines import Here
from tests.spool.real import claim_one, complete, drop
from tests.spool.stories import FOLDERS

SETTLE = 5.0


class Meanwhile(Here):
    """Computes at once, and lets something happen while it does so for the first time."""

    def __init__(self, options: EngineOptions, act: Callable[[], object]) -> None:
        super().__init__(options)
        self._act: Callable[[], object] | None = act

    def _computed(self, stage: str, arrays: Arrays, settings: Mapping[str, Any], progress: Any) -> Result:
        del progress
        act, self._act = self._act, None
        if act:
            act()
        return fast_worker.STAGES[stage](arrays, settings), {"notes": []}


@pytest.fixture(params=[True, False], ids=["leases", "no_leases"])
def _leases(request: pytest.FixtureRequest) -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN if request.param else signal.SIG_DFL)
    yield
    signal.signal(signal.SIGIO, before)


def worked_off(folder: Path, act: Callable[[], object]) -> Spool:
    """Let a daemon work off a prompt, with something that happens while it computes; the spool."""
    changes: dict[str, Any] = {"stages": {"diffuse": {"hold": True}}, "previews": False}
    service = Service(config_of(folder, **changes), engine=lambda options: Meanwhile(options, act))
    service.start()

    def is_done() -> bool:
        service.tick(time.monotonic())
        return bool(list(service.spool.root.glob("done/*/*")))

    wait_until(is_done, what="the prompt is used")
    service.stop()
    return service.spool


def prompts_of(spool: Spool) -> list[str]:
    return [tiffsd.read(path).header.recipe["prompt"] for path in spool.root.glob("hold/2-diffuse/*.tiff")]


def by_another_name(spool: Path, folder: Path) -> Path:
    """A prompt in the inbox that has another name elsewhere: no lease keeps anybody from writing it."""
    (spool / "inbox/1-text").mkdir(parents=True)
    other = folder / "elsewhere.txt"
    other.write_text("a red")
    os.link(other, spool / "inbox/1-text/cat.txt")
    return other


@pytest.mark.usefixtures("_leases")
def test_what_is_written_while_its_job_runs_runs_again_and_nothing_comes_of_the_first(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = by_another_name(tmp_path / "spool", tmp_path)
    spool = worked_off(tmp_path, lambda: other.write_text("a red house"))
    assert prompts_of(spool) == ["a red house"]
    assert [path.read_text() for path in spool.root.glob("done/*/*")] == ["a red house"]
    assert "text cat.txt: was written to while its job ran; runs again on what it holds now" in caplog.messages


def test_what_hides_behind_the_same_size_and_time_is_found_where_no_lease_is_had(tmp_path: Path) -> None:
    other = by_another_name(tmp_path / "spool", tmp_path)
    before = other.stat()

    def write() -> None:
        other.write_text("a big")
        os.utime(other, ns=(before.st_atime_ns, before.st_mtime_ns))

    spool = worked_off(tmp_path, write)
    assert prompts_of(spool) == ["a big"]


@pytest.mark.usefixtures("_leases")
def test_a_file_whose_time_is_set_while_its_job_runs_runs_once(tmp_path: Path) -> None:
    times: list[int] = []
    other = by_another_name(tmp_path / "spool", tmp_path)
    spool = worked_off(tmp_path, lambda: (times.append(1), os.utime(other, (1e9, 1e9))))
    assert times == [1]
    assert prompts_of(spool) == ["a red"]


# -- when the job is over ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    spool = Spool(tmp_path / "spool", FOLDERS)
    (tmp_path / "spool").mkdir()
    spool.create()
    return spool


@pytest.fixture
def late(spool: Spool) -> LateWriters:
    return LateWriters(spool, lambda _: SETTLE)


def used(spool: Spool, **files: str) -> dict[str, Path]:
    """Let a job use the files, of which nobody can say whether they are being written; where they lie then, by extension."""
    for extension, content in files.items():
        drop(spool.root, f"cat.{extension}", content.encode(), stage="text")
    claim = claim_one(spool, "text")
    spool.is_stable(claim)
    spool.note_contents(claim)
    complete(spool, claim)
    return {path.suffix[1:]: path for path in spool.root.glob("done/*/cat.*")}


def inbox_of(spool: Spool) -> dict[str, str]:
    return {path.name: path.read_text() for path in spool.inbox("text").iterdir()}


def test_a_file_written_late_goes_back_with_all_that_belongs_to_it_once_it_stands_still(spool: Spool, late: LateWriters) -> None:
    done = used(spool, txt="a red", yaml="steps: 3")
    late.look(100.0)
    done["yaml"].write_text("steps: 30")
    late.look(101.0)
    late.look(100.9 + SETTLE)
    assert inbox_of(spool) == {}
    done["yaml"].write_text("steps: 300")
    late.look(101.0 + SETTLE)
    late.look(100.9 + 2 * SETTLE)
    assert inbox_of(spool) == {}
    late.look(101.0 + 2 * SETTLE)
    assert inbox_of(spool) == {"cat.txt": "a red", "cat.yaml": "steps: 300"}
    assert not list(spool.root.glob("done/*/*"))


def test_a_file_whose_time_alone_is_set_late_stays(spool: Spool, late: LateWriters) -> None:
    done = used(spool, txt="a red")
    os.utime(done["txt"], (1e9, 1e9))
    for now in (100.0, 101.0 + SETTLE, 101.0 + 2 * SETTLE):
        late.look(now)
    assert inbox_of(spool) == {}
    done["txt"].write_text("a red house")  # it is looked at again all the same
    for now in (200.0, 201.0 + SETTLE):
        late.look(now)
    assert inbox_of(spool) == {"cat.txt": "a red house"}


def test_many_files_have_their_turns_where_one_look_has_no_time_for_all(
    spool: Spool, late: LateWriters, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.service.late_writers.BUDGET_SECONDS", 0.0)
    for number in range(3):
        drop(spool.root, f"cat{number}.txt", b"a red", stage="text")
        claim = claim_one(spool, "text")
        spool.is_stable(claim)
        spool.note_contents(claim)
        complete(spool, claim)
    for path in spool.root.glob("done/*/*"):
        path.write_text("a red house")
    for look in range(6):
        late.look(100.0 + look * SETTLE)
    assert inbox_of(spool) == {f"cat{number}.txt": "a red house" for number in range(3)}


@pytest.mark.parametrize("meddle", [Path.unlink, lambda path: path.rename(path.with_name("mine.txt"))])
def test_what_a_person_has_taken_out_of_done_is_hers(spool: Spool, late: LateWriters, meddle: Callable[[Path], object]) -> None:
    done = used(spool, txt="a red", yaml="steps: 3")
    meddle(done["txt"])
    done["yaml"].write_text("steps: 30")
    for now in (100.0, 101.0 + SETTLE):
        late.look(now)
    assert inbox_of(spool) == {}
    assert done["yaml"].read_text() == "steps: 30"


def test_what_cannot_go_back_is_said_and_stays(spool: Spool, late: LateWriters, caplog: pytest.LogCaptureFixture) -> None:
    done = used(spool, txt="a red")
    done["txt"].write_text("a red house")
    late.look(100.0)
    (spool.root / ".work").rename(spool.root / "away")
    late.look(101.0 + SETTLE)
    assert done["txt"].read_text() == "a red house"
    assert [
        record.levelno for record in caplog.records if "text cat.txt: was written to late, and stays in done/" in record.message
    ]


def test_an_empty_failure_is_withdrawn_when_a_file_of_that_name_comes(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """New > Text Document, a name, and many words typed into an editor that opens the file only to save it."""
    caplog.set_level(logging.INFO)
    service = Service(config_of(tmp_path), engine=lambda options: Meanwhile(options, lambda: None))
    service.start()
    inbox = service.spool.inbox("text")
    (inbox / "New Text Document.txt").touch()
    (inbox / "New Text Document.txt").rename(inbox / "cat.txt")

    def ticked(pattern: str) -> Callable[[], list[Path]]:
        def look() -> list[Path]:
            service.tick(time.monotonic())
            return list(service.spool.root.glob(pattern))

        return look

    wait_until(ticked("failed/1-text/cat.*/error.txt"), what="the empty file has failed")
    (inbox / "cat.txt").write_text("---\nstepz: 3\n---\na house")
    wait_until(
        lambda: "has come, so its failure while it was empty is withdrawn" in caplog.text or ticked("x")(), what="it is withdrawn"
    )
    (error,) = wait_until(ticked("failed/1-text/cat.*/error.txt"), what="it fails for what is in it")
    assert "stepz" in error.read_text()
    service.stop()


def test_a_file_that_is_begun_in_the_moment_of_its_refusal_goes_back(tmp_path: Path) -> None:
    service = Service(config_of(tmp_path))
    service.spool.create()
    (service.spool.inbox("text") / "cat.txt").touch()
    scan = service.inboxes["text"].scan(0.0)
    scan = service.inboxes["text"].scan(1e6)
    (refusal,) = scan.refused
    (service.spool.inbox("text") / "cat.txt").write_text("a house")
    service._refusals.refuse("text", refusal.drop, refusal.sentence, 0.0)
    assert inbox_of(service.spool) == {"cat.txt": "a house"}
    assert not list(service.spool.root.glob("failed/1-text/*"))
