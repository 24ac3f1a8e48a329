"""A real sshd on the host of a spool, and what its people need to reach it: by sftp, sshfs, rsync and rclone, near or far."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.outside import outside
from tests.real.documented import printed
from tests.real.host import Host, free_port, is_listening
from tests.real.programs import needed, skip_if_forbidden

SSHD = "/usr/sbin/sshd"
SERVER = """Port {port}
ListenAddress 127.0.0.1
HostKey {folder}/host_key
AuthorizedKeysFile {folder}/authorized
StrictModes no
UsePAM no
PidFile none
"""
CLIENT = """Host box
    HostName 127.0.0.1
    Port {port}
    User alice
    IdentityFile {folder}/key
    StrictHostKeyChecking no
    UserKnownHostsFile /dev/null
    LogLevel ERROR
"""


class Ssh:
    """sshd with the lines of docs/shares.md; `seconds` is how long each byte is on its way. A context manager."""

    def __init__(self, host: Host, *, seconds: float = 0.0) -> None:
        needed(SSHD, "ssh", "ssh-keygen")
        self._host, self._seconds, self.folder = host, seconds, host.folder / "ssh"

    def __enter__(self) -> "Ssh":
        self.folder.mkdir()
        Path("/run/sshd").mkdir(exist_ok=True)  # where it locks itself in; Debian makes it when it boots
        for key in ("host_key", "key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.folder / key)], env=outside(), check=True)
        (self.folder / "authorized").write_text((self.folder / "key.pub").read_text())
        port = free_port()
        (self.folder / "sshd_config").write_text(SERVER.format(port=port, folder=self.folder) + printed("sshd_config"))
        self._host.start(SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config"), name="sshd")
        wait_until(lambda: is_listening(port), what=f"sshd listens: {self._host.said('sshd')}")
        self.port = self._host.far(port, seconds=self._seconds) if self._seconds else port
        (self.folder / "config").write_text(CLIENT.format(port=self.port, folder=self.folder))
        return self

    def __exit__(self, *_: object) -> None:
        """The host ends what it has started."""

    def person(self, name: str, mine: Path, *, check: bool = True) -> str:
        """Run the block NAME of docs/shares.md as Alice would at her own machine, her files in `mine`; what it says."""
        script = printed(name, spool=str(self._host.spool), mine=str(mine))
        config = self.folder / "rclone.conf"
        reached = f"host = 127.0.0.1\nport = {self.port}"
        config.write_text(printed("rclone.conf", mine=str(mine)).replace("host = box", reached))
        (mine / ".ssh").mkdir(exist_ok=True)
        key = mine / ".ssh/id_ed25519"
        key.write_text((self.folder / "key").read_text())
        key.chmod(0o600)
        environment = outside(RSYNC_RSH=f"ssh -F {self.folder}/config", RCLONE_CONFIG=str(config), HOME=str(mine))
        ended = subprocess.run(
            ["sh", "-eu", "-c", script], env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100
        )
        assert not check or ended.returncode == 0, f"{script}: {ended.stdout}{ended.stderr}"
        return ended.stdout + ended.stderr

    @contextmanager
    def mounted(self, here: Path) -> Iterator[Path]:
        """The spool as Alice has it by sshfs, with the options of docs/shares.md."""
        needed("sshfs", "umount", root=True)
        if not Path("/dev/fuse").exists():
            pytest.skip("this kernel has no FUSE")
        here.mkdir()
        words = printed("sshfs", spool=str(self._host.spool), mine=str(here.parent)).split()
        command = [*words, "-f", "-F", str(self.folder / "config")]
        said = here.with_name("sshfs.log")
        with said.open("w") as log:
            client = subprocess.Popen(command, env=outside(LC_ALL="C"), stdin=subprocess.DEVNULL, stderr=log)
        try:
            wait_until(lambda: here.is_mount() or client.poll() is not None, what="it is mounted")
            skip_if_forbidden(said.read_text())
            assert client.poll() is None, said.read_text()
            yield here
        finally:
            subprocess.run(["umount", "--lazy", str(here)], env=outside(), check=False)
            client.terminate()
            client.wait(timeout=60)
