"""The lock of a running daemon is taken away: by a person who takes it for a leftover, by a program that cleans up."""

from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.real.fast_daemon import FastDaemon, came_of


@pytest.mark.parametrize("again", [True, False], ids=["put_back", "started_again"])
def test_a_daemon_without_its_lock_claims_nothing_and_says_so_and_a_second_one_is_refused(tmp_path: Path, again: bool) -> None:
    daemon = FastDaemon(tmp_path / "one")
    daemon.start()
    try:
        daemon.drop("inbox/1-text", "before.txt", "a house")
        came_of(daemon, "before", "a house")
        aside = (daemon.spool / ".lock").rename(tmp_path / "aside")
        daemon.drop("inbox/1-text", "after.txt", "a meadow")
        wait_until(lambda: "was removed or replaced" in daemon.log(), what="it has noticed")
        wait_until(lambda: "claims nothing more" in (daemon.spool / "status.txt").read_text(), what="the status says so")
        second = FastDaemon(tmp_path / "two", spool=daemon.spool)
        second.launch()
        assert second.process is not None
        assert second.process.wait(timeout=60) == 75
        assert f"already runs on {daemon.spool} (process {daemon.pid()})" in second.log()
        assert (daemon.spool / "inbox/1-text/after.txt").exists()
        if again:
            aside.rename(daemon.spool / ".lock")
        else:
            assert daemon.stop() == 0
            daemon.start()
        came_of(daemon, "after", "a meadow")
        wait_until(lambda: "claims nothing more" not in (daemon.spool / "status.txt").read_text(), what="the status is well")
        assert daemon.log().count("was removed or replaced") == 1
    finally:
        daemon.close()
