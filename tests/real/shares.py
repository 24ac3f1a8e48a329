"""A network share: sshfs, spoken to a real sftp server over a pipe, that can be made to answer nobody any more."""

import os
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.outside import outside, the_file
from tests.real.programs import SFTP_SERVER, needed, skip_if_forbidden


class Share:
    """A folder as the server has it (`there`), and as the client sees it (`here`), inside of a `with` block."""

    def __init__(self, folder: Path) -> None:
        needed("sshfs", SFTP_SERVER, "umount", root=True)
        if not Path("/dev/fuse").exists():
            pytest.skip("this kernel has no FUSE")
        self.there, self.here = folder / "there", folder / "here"
        self._ssh, self._said = folder / "ssh", folder / "sshfs.txt"

    def __enter__(self) -> "Share":
        self.there.mkdir()
        self.here.mkdir()
        self._ssh.write_text(f"#!/bin/sh\nexec {the_file(SFTP_SERVER)}\n")
        self._ssh.chmod(0o755)
        command = ["sshfs", "-f", "-o", f"ssh_command={self._ssh}", f"server:{self.there}", str(self.here)]
        with self._said.open("w") as said:
            self._client = subprocess.Popen(command, env=outside(LC_ALL="C"), stdin=subprocess.DEVNULL, stderr=said)
        wait_until(lambda: self.here.is_mount() or self._client.poll() is not None, what="the share is mounted")
        skip_if_forbidden(self._said.read_text())
        assert self._client.poll() is None, self._said.read_text()
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.here)], env=outside(), check=True)
        # By itself it would go on as long as a container that was started meanwhile has the mount too.
        self._client.terminate()
        self._client.wait(timeout=60)

    @contextmanager
    def gone(self, *, for_process: int) -> Iterator[None]:
        """Answer nobody inside of the block, from a moment on when the process has asked for nothing and no file open here.

        Else it would end in state D, which nothing can end: waiting for an answer that is on its way, or to flush the file.
        """
        wait_until(lambda: self._goes_at_a_good_moment(for_process), what="no file is open on the share")
        try:
            yield
        finally:
            os.kill(self._client.pid, signal.SIGCONT)

    def _goes_at_a_good_moment(self, process: int) -> bool:
        with stopped(process):
            links = [link for link in Path(f"/proc/{process}/fd").iterdir() if link.readlink().is_relative_to(self.here)]
            if any(is_open(process, int(link.name)) for link in links):
                return False
            halt(self._client.pid)
        return True


@contextmanager
def stopped(process: int) -> Iterator[None]:
    """A process that stands still inside of the block."""
    halt(process)
    try:
        yield
    finally:
        os.kill(process, signal.SIGCONT)


def halt(process: int) -> None:
    """Let a process stand still, all threads of it."""
    os.kill(process, signal.SIGSTOP)
    tasks = Path(f"/proc/{process}/task")
    wait_until(
        lambda: all("State:\tT" in (task / "status").read_text() for task in tasks.iterdir()), what="all threads stand still"
    )


def is_open(process: int, descriptor: int) -> bool:
    """Whether a descriptor is of an open file, and no mere handle (O_PATH)."""
    flags = Path(f"/proc/{process}/fdinfo/{descriptor}").read_text().split("flags:")[1].split()[0]
    return not int(flags, 8) & os.O_PATH


@contextmanager
def mounted(source: Path, target: Path) -> Iterator[None]:
    """One file in the place of another."""
    needed("mount", "umount", root=True)
    subprocess.run(["mount", "--bind", str(source), str(target)], env=outside(), check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(target)], env=outside(), check=True)
