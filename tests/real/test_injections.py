"""SIGKILL at every rename and EIO at every fsync of one job, in the real daemon by strace: each prompt is made exactly once."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.fast_daemon import FastDaemon, Ledger
from tests.real.injections import dies, injected
from tests.real.kills import retry_what_died_twice
from tests.real.programs import needed

CALLS_OF_A_JOB = 60  # more than one job makes of any kind


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    needed("strace", root=True)
    daemon = FastDaemon(tmp_path / "daemon")
    warm(daemon)
    yield Ledger(daemon)
    daemon.close()


def warm(daemon: FastDaemon) -> None:
    """Start it, and let a refused job make the thread that jobs run in."""
    daemon.start()
    daemon.drop("inbox/3-decode", "warm.tiff", "no TIFF")
    (error,) = daemon.found("failed/3-decode/*/error.json")
    for path in error.parent.iterdir():
        path.unlink()
    error.parent.rmdir()


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("main", [True, False], ids=["claim", "job"])
@pytest.mark.parametrize("call", ["renameat", "renameat2"])
def test_a_kill_at_every_rename_of_a_job_loses_and_doubles_nothing(call: str, main: bool, ledger: Ledger) -> None:
    daemon = ledger.daemon
    for number in range(1, CALLS_OF_A_JOB):
        with injected(daemon, f"{call}:signal=SIGKILL:when={number}", main=main):
            ledger.drop(f"cat{number}", f"cat number {number}")
            died = dies(daemon, unless=daemon.spool, pattern=f"done/*/cat{number}.txt")
        if died:
            daemon.kill()
            warm(daemon)
            retry_what_died_twice(daemon)
        ledger.settle()
        if not died:
            assert number > 1 or (main and call == "renameat2")  # claims rename; jobs do both
            return
    raise AssertionError("there was no end of renames")


@pytest.mark.thorough
@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.parametrize("main", [True, False], ids=["claim", "job"])
def test_an_error_at_every_fsync_of_a_job_loses_and_doubles_nothing(main: bool, ledger: Ledger) -> None:
    daemon = ledger.daemon
    for number in range(1, CALLS_OF_A_JOB):
        with injected(daemon, f"fsync:error=EIO:when={number}", main=main) as trace:
            ledger.drop(f"cat{number}", f"cat number {number}")
            ledger.settle()
            hit = "(INJECTED)" in trace.read_text()
        if not hit:
            assert number > 2
            return
    raise AssertionError("there was no end of fsyncs")
