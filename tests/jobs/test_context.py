"""How a job waits for its files."""

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from daemon import lease
from daemon.errors import Cancelled, InputError
from daemon.jobs.context import JobContext
from daemon.jobs.running import RunningFile
from daemon.settings.config import Config
from daemon.spool.spool import Claim, Spool
from daemon.stages import STAGES
from tests.spool.real import claim_one, drop, inbox_of

UNLEASED = 0.6


@pytest.fixture(autouse=True)
def _ignored_sigio() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    yield
    signal.signal(signal.SIGIO, before)


@pytest.fixture
def context(tmp_path: Path) -> JobContext:
    config = Config.model_validate({"folder": tmp_path, "watch": {"settle_unleased_seconds": UNLEASED}})
    spool = Spool(config.spool_folder, {stage.name: stage.folder for stage in STAGES.values()})
    spool.create()
    nobody = cast(Any, None)  # nothing is computed here, and nobody is told
    return JobContext(config, spool, nobody, nobody, lambda _: False, lambda: False)


def running_file(context: JobContext, claim: Claim) -> RunningFile:
    running = RunningFile(context.spool.root, claim.stage, name=f"cat.{claim.id}.txt")
    running.start()
    return running


def waited(context: JobContext, claim: Claim) -> float:
    running = running_file(context, claim)
    started = time.monotonic()
    context.await_stable(claim, running)
    return time.monotonic() - started


def test_a_job_is_cancelled_also_while_a_program_still_writes_its_file(context: JobContext) -> None:
    path = drop(context.spool.root, "cat.tiff")
    found = inbox_of(context.spool.root, "diffuse").scan(0.0).ready[0]
    with path.open("ab"):
        claim = context.spool.claim("diffuse", found)
        assert claim
        running = running_file(context, claim)
        running.path.unlink()
        with pytest.raises(Cancelled, match="was deleted from running/"):
            context.await_stable(claim, running)


def test_a_change_after_the_claim_is_waited_out_where_the_system_cannot_tell_writers(
    context: JobContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "is_being_written", lambda *_, **__: None)
    drop(context.spool.root, "cat.tiff")
    claim = claim_one(context.spool)
    claim.members["principal"].write_bytes(b"another content")
    assert waited(context, claim) >= UNLEASED
    drop(context.spool.root, "dog.tiff")
    assert waited(context, claim_one(context.spool)) < UNLEASED, "one that stood still before the claim has stood still long enough"


@pytest.mark.parametrize("make", [lambda path: path.symlink_to("/etc/passwd"), os.mkfifo], ids=["link", "FIFO"])
def test_what_took_the_place_of_a_file_before_the_claim_is_neither_followed_nor_opened(
    context: JobContext, make: Callable[[Path], None]
) -> None:
    path = drop(context.spool.root, "cat.tiff")
    found = inbox_of(context.spool.root, "diffuse").scan(0.0).ready[0]
    path.unlink()
    make(path)
    claim = context.spool.claim("diffuse", found)
    assert claim
    with pytest.raises(InputError, match=r"cat\.tiff is a .*only files can be used"):
        context.await_stable(claim, running_file(context, claim))
