"""Files that another program holds by a lease, or goes on writing: the job goes back and waits, and nobody is at fault."""

import errno
import os
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any, cast

import pytest

from daemon.beneath import Beneath
from daemon.jobs import context
from daemon.jobs.context import Rooms
from daemon.jobs.job import run
from daemon.jobs.outcome import Ended, Outcome
from daemon.jobs.probe import Heads, Stated, stated_ids
from daemon.settings.config import Config
from daemon.spool.spool import Spool
from daemon.stages import STAGES
from tests.leases import leased
from tests.spool.real import drop, inbox_of

NEVER = 0.0


@pytest.fixture
def rooms(tmp_path: Path) -> Rooms:
    config = Config.model_validate({"folder": tmp_path, "watch": {"settle_unleased_seconds": 0.1}})
    spool = Spool(config.spool_folder, {stage.name: stage.folder for stage in STAGES.values()})
    spool.create()
    nobody = cast(Any, None)  # nothing is computed here, and nobody is told
    return Rooms(config, spool, nobody, nobody, lambda _: False, lambda: False)


def ended(rooms: Rooms, text: bytes, *, before: Callable[[Path], object] = lambda _: None) -> Ended:
    """How the job of a prompt ends; `before` it runs something may happen to the file."""
    drop(rooms.spool.root, "cat.txt", text, stage="text")
    found = inbox_of(rooms.spool.root, "text").scan(0.0).ready[0]
    claim = rooms.spool.claim("text", found)
    assert claim
    before(claim.members["principal"])
    return run(claim, rooms)


def is_back_as_if_nothing_had_been(rooms: Rooms) -> bool:
    root = rooms.spool.root
    return (root / "inbox/1-text/cat.txt").exists() and not os.listdir(root / ".work") and not os.listdir(root / "failed/1-text")


def test_a_job_whose_saved_embedding_is_held_goes_back_and_names_it(rooms: Rooms) -> None:
    embedding = rooms.spool.root / "embeddings/mine.tiff"
    embedding.write_bytes(b"an embedding")
    with leased(embedding):
        assert ended(rooms, b"---\nembedding: mine\n---\n") == Ended(Outcome.IN_USE, "mine.tiff is still being written")
    assert is_back_as_if_nothing_had_been(rooms)


def test_a_job_whose_own_file_is_held_between_two_looks_goes_back(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Spool, "settled", lambda *_: True)
    with ExitStack() as held:
        result = ended(rooms, b"a cat", before=lambda path: held.enter_context(leased(path)))
    assert result == Ended(Outcome.IN_USE, "cat.txt is still being written")
    assert is_back_as_if_nothing_had_been(rooms)


def test_a_job_waits_a_while_for_who_writes_its_file_and_then_goes_back(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(context, "LONGEST_WRITING_SECONDS", NEVER)
    with (rooms.spool.root / "cat.txt").open("wb") as writer:
        result = ended(rooms, b"a cat", before=lambda path: (rooms.spool.root / "cat.txt").replace(path))
        writer.flush()
    assert result == Ended(Outcome.IN_USE, "cat.txt is still being written")
    assert is_back_as_if_nothing_had_been(rooms)


def test_a_process_that_cannot_be_started_is_a_fault_of_the_machine(rooms: Rooms, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_process(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr("daemon.jobs.job.read_request", no_process)
    assert ended(rooms, b"a cat").outcome is Outcome.KEPT


def test_what_is_held_says_nothing_yet_and_nothing_is_remembered(tmp_path: Path) -> None:
    settings, artifact = tmp_path / "cat.yaml", tmp_path / "cat.0a1b2c3d.tiff"
    settings.write_text("priority: 5")
    artifact.write_bytes(b"")
    heads = Heads(Beneath(tmp_path), lambda: 100)
    with leased(settings), leased(artifact):
        with pytest.raises(BlockingIOError):
            heads.read(settings)
        with pytest.raises(BlockingIOError):
            stated_ids(Beneath(tmp_path), artifact)
    assert heads.read(settings) == Stated(5)
    assert stated_ids(Beneath(tmp_path), artifact) == {"0a1b2c3d"}
