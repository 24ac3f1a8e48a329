"""A spool on a network share: sshfs, spoken to a real sftp server over a pipe. No events come, and no lease can be believed."""

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.outside import outside, the_file
from tests.real.fast_daemon import FastDaemon, came_of
from tests.real.programs import SFTP_SERVER, needed, skip_if_forbidden

WRITER = """
import sys, time
with open(sys.argv[1], "w") as file:
    file.write("a red "); file.flush()
    time.sleep(3)
    file.write("house")
"""


@contextmanager
def share(folder: Path) -> Iterator[tuple[Path, Path]]:
    """A folder as the server has it, and as the client sees it."""
    there, here = folder / "there", folder / "here"
    there.mkdir()
    here.mkdir()
    ssh = folder / "ssh"
    ssh.write_text(f"#!/bin/sh\nexec {the_file(SFTP_SERVER)}\n")
    ssh.chmod(0o755)
    command = ["sshfs", "-o", f"ssh_command={ssh}", f"server:{there}", str(here)]
    said = folder / "sshfs.txt"  # no pipe: what it starts has the other end for as long as the share is there
    with said.open("w") as file:
        mounted = subprocess.run(command, env=outside(LC_ALL="C"), stdin=subprocess.DEVNULL, stderr=file)
    skip_if_forbidden(said.read_text())
    assert mounted.returncode == 0, said.read_text()
    try:
        yield there, here
    finally:
        subprocess.run(["umount", "--lazy", str(here)], env=outside(), check=True)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FastDaemon]:
    needed("sshfs", SFTP_SERVER, "umount", root=True)
    if not Path("/dev/fuse").exists():
        pytest.skip("this kernel has no FUSE")
    with share(tmp_path) as (_there, here):
        watch = {"settle_seconds": 0.05, "settle_unleased_seconds": 5.0}
        running = FastDaemon(tmp_path / "daemon", spool=here / "spool", watch=watch)
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
