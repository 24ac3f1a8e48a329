"""A spool on a network share: sshfs, spoken to a real sftp server over a pipe. No events come, and no lease can be believed."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.fast_daemon import FastDaemon, came_of
from tests.real.shares import Share

WRITER = """
import sys, time
with open(sys.argv[1], "w") as file:
    file.write("a red "); file.flush()
    time.sleep(3)
    file.write("house")
"""


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FastDaemon]:
    with Share(tmp_path) as share:
        watch = {"settle_seconds": 0.05, "settle_unleased_seconds": 5.0}
        running = FastDaemon(tmp_path / "daemon", spool=share.here / "spool", watch=watch)
        running.start()
        yield running
        running.close()


def test_files_that_others_put_on_the_share_are_found_by_looking(daemon: FastDaemon, tmp_path: Path) -> None:
    inbox = tmp_path / "there/spool/inbox/1-text"
    (inbox / "remote.part").write_text("from afar")
    (inbox / "remote.part").rename(inbox / "remote.txt")
    daemon.drop("inbox/1-text", "local.txt", "from here")
    came_of(daemon, "remote", "from afar")
    came_of(daemon, "local", "from here")


def test_a_remote_writer_that_pauses_is_waited_for_although_a_lease_is_granted(daemon: FastDaemon, tmp_path: Path) -> None:
    target = tmp_path / "there/spool/inbox/1-text/paused.txt"
    subprocess.run([sys.executable, "-c", WRITER, str(target)], check=True)
    came_of(daemon, "paused", "a red house")
