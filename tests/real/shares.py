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
        self._client.wait(timeout=60)

    @contextmanager
    def gone(self, *, for_process: int) -> Iterator[None]:
        """Answer nobody inside of the block. What the process asks for at this moment is still answered: otherwise it would wait
        in state D, which nothing can end."""
        with stopped(for_process):
            halt(self._client.pid)
        try:
            yield
        finally:
            os.kill(self._client.pid, signal.SIGCONT)


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


@contextmanager
def mounted(source: Path, target: Path) -> Iterator[None]:
    """One file in the place of another."""
    needed("mount", "umount", root=True)
    subprocess.run(["mount", "--bind", str(source), str(target)], env=outside(), check=True)
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(target)], env=outside(), check=True)
