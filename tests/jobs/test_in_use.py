"""Files that another program holds by a lease, or goes on writing: the job goes back and waits, and nobody is at fault."""

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from daemon.beneath import Beneath
from daemon.jobs.context import JobContext
from daemon.jobs.job import run
from daemon.jobs.outcome import JobResult, Outcome
from daemon.jobs.probe import Probe, Stated, read_ids
from daemon.settings.config import Config
from daemon.spool.spool import Spool
from daemon.stages import STAGES
from tests.leases import leased
from tests.spool.real import drop, inbox_of

NEVER = 0.0


@pytest.fixture
def context(tmp_path: Path) -> JobContext:
    config = Config.model_validate({"folder": tmp_path, "watch": {"settle_unleased_seconds": 0.1}})
    spool = Spool(config.spool_folder, {stage.name: stage.folder for stage in STAGES.values()})
    spool.create()
    nobody = cast(Any, None)  # nothing is computed here, and nobody is told
    return JobContext(config, spool, nobody, nobody, lambda _: False, lambda: False)


def ended(context: JobContext, text: bytes, *, before: Callable[[Path], object] = lambda _: None) -> JobResult:
    """How the job of a prompt ends; `before` it runs something may happen to the file."""
    drop(context.spool.root, "cat.txt", text, stage="text")
    found = inbox_of(context.spool.root, "text").scan(0.0).ready[0]
    claim = context.spool.claim("text", found)
    assert claim
    before(claim.members["principal"])
    return run(claim, context)


def is_back_as_if_nothing_had_been(context: JobContext) -> bool:
    root = context.spool.root
    return (root / "inbox/1-text/cat.txt").exists() and not os.listdir(root / ".work") and not os.listdir(root / "failed/1-text")


def test_a_job_whose_saved_embedding_is_held_goes_back_and_names_it(context: JobContext) -> None:
    embedding = context.spool.root / "embeddings/mine.tiff"
    embedding.write_bytes(b"an embedding")
    with leased(embedding):
        assert ended(context, b"---\nembedding: mine\n---\n") == JobResult(Outcome.IN_USE, "mine.tiff is still being written")
    assert is_back_as_if_nothing_had_been(context)


def test_a_job_whose_own_file_is_held_between_two_looks_goes_back(context: JobContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "is_stable", lambda *_: True)
    with ExitStack() as held:
        result = ended(context, b"a cat", before=lambda path: held.enter_context(leased(path)))
    assert result == JobResult(Outcome.IN_USE, "cat.txt is still being written")
    assert is_back_as_if_nothing_had_been(context)


def test_a_job_waits_a_while_for_who_writes_its_file_and_then_goes_back(
    context: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("daemon.jobs.context.LONGEST_WRITING_SECONDS", NEVER)
    with (context.spool.root / "cat.txt").open("wb") as writer:
        result = ended(context, b"a cat", before=lambda path: (context.spool.root / "cat.txt").replace(path))
        writer.flush()
    assert result == JobResult(Outcome.IN_USE, "cat.txt is still being written")
    assert is_back_as_if_nothing_had_been(context)


def test_a_process_that_cannot_be_started_is_a_fault_of_the_machine(context: JobContext, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_process(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("daemon.jobs.job.read_request", no_process)
    assert ended(context, b"a cat").outcome is Outcome.KEPT


def test_what_is_held_says_nothing_yet_and_nothing_is_remembered(tmp_path: Path) -> None:
    settings, artifact = tmp_path / "cat.yaml", tmp_path / "cat.0a1b2c3d.tiff"
    settings.write_text("priority: 5")
    artifact.write_bytes(b"")
    probe = Probe(Beneath(tmp_path), lambda: 100)
    with leased(settings), leased(artifact):
        with pytest.raises(BlockingIOError):
            probe.read(settings)
        with pytest.raises(BlockingIOError):
            read_ids(Beneath(tmp_path), artifact)
    assert probe.read(settings) == Stated(5)
    assert read_ids(Beneath(tmp_path), artifact) == {"0a1b2c3d"}
