"""Jobs and the daemon itself in calls that a network share does not answer: it ends in time all the same, and no attempt counts."""

import json
import os
import shutil
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.real.fast_daemon import FastDaemon, came_of
from tests.real.shares import Share, halt, mounted

PROMISED_SECONDS = 30
SAVED = "---\nsave_embedding: e\n---\na red house"
NAMES_IT = "---\nembedding: e\n---\na blue house"
FUSE_WAITS = "request_wait_answer"


@pytest.fixture
def share(tmp_path: Path) -> Iterator[Share]:
    with Share(tmp_path) as share:
        yield share


def records(spool: Path, name: str) -> list[dict[str, object]]:
    """A record of all jobs, by their age."""
    return [json.loads(path.read_text()) for path in sorted(spool.glob(f".work/*/{name}"))]


def hang_in(daemon: FastDaemon, what: str, *, main: bool) -> bool:
    """Whether the main thread, or another one, is in such a function of the kernel."""
    tasks = [task for task in Path(f"/proc/{daemon.pid()}/task").iterdir() if (int(task.name) == daemon.pid()) is main]
    return any(what in (task / "wchan").read_text() for task in tasks)


def stop_worker(daemon: FastDaemon) -> int:
    """Let the worker stand still in whatever comes next; its process id."""
    worker: int = wait_until(lambda: json.loads((daemon.spool / "status.json").read_text())["worker"]["pid"], what="a worker")
    halt(worker)
    return worker


def stop(daemon: FastDaemon) -> None:
    """Stop it as systemd does, and check that it keeps the promise."""
    started = time.monotonic()
    os.kill(daemon.pid(), signal.SIGTERM)
    assert daemon.process is not None
    code = daemon.process.wait(timeout=60)
    assert code == 0
    assert time.monotonic() - started < PROMISED_SECONDS, daemon.log()[-2000:]


@pytest.mark.thorough
@pytest.mark.slow
def test_a_stop_while_a_job_hangs_in_a_share_is_in_time_and_no_attempt_counts(share: Share, tmp_path: Path) -> None:
    daemon = FastDaemon(tmp_path / "daemon")
    daemon.start()
    try:
        daemon.drop("inbox/1-text", "first.txt", SAVED)
        (saved,) = daemon.found("embeddings/e.tiff")
        daemon.found("hold/2-diffuse/first.*.tiff")
        shutil.copy(saved, share.there / "e.tiff")
        with mounted(share.here / "e.tiff", saved):
            with share.gone(for_process=daemon.pid()):
                daemon.drop("inbox/1-text", "hangs.txt", NAMES_IT)
                wait_until(lambda: hang_in(daemon, FUSE_WAITS, main=False), what="the job hangs")
                stop_worker(daemon)
                daemon.drop("inbox/1-text", "waits.txt", "a green house")
                wait_until(lambda: len(records(daemon.spool, "attempt.json")) == 2, what="both are counted")
                stop(daemon)
                assert "text hangs.txt, reading its files" in daemon.log()
                assert list(daemon.spool.glob("inbox/1-text/waits.txt")), "it went back"
                assert [note["attempt"] for note in records(daemon.spool, "entrusted.json")] == [1]
                daemon.start()
                wait_until(lambda: hang_in(daemon, FUSE_WAITS, main=False), what="the job hangs again")
                assert [count["attempts"] for count in records(daemon.spool, "attempt.json")] == [1]
            came_of(daemon, "waits", "a green house")
            daemon.found("hold/2-diffuse/hangs.*.tiff")
            assert not list(daemon.spool.glob("failed/*/*"))
    finally:
        daemon.close()


@pytest.mark.slow
def test_a_stop_while_the_spool_itself_is_gone_is_in_time_and_no_attempt_counts(share: Share, tmp_path: Path) -> None:
    watch = {"settle_seconds": 0.05, "settle_unleased_seconds": 0.5}
    daemon = FastDaemon(tmp_path / "daemon", spool=share.here / "spool", watch=watch)
    daemon.start()
    try:
        daemon.drop("inbox/1-text", "first.txt", "a red house")
        came_of(daemon, "first", "a red house")
        stop_worker(daemon)
        daemon.drop("inbox/1-text", "waits.txt", "a green house")
        wait_until(lambda: records(share.there / "spool", "entrusted.json"), what="the worker has it")
        with share.gone(for_process=daemon.pid()):
            wait_until(lambda: hang_in(daemon, FUSE_WAITS, main=True), what="the main thread hangs")
            stop(daemon)
        daemon.start()
        came_of(daemon, "waits", "a green house")
    finally:
        daemon.close()
