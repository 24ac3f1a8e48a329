"""The sandbox of the unit with the drop-in for other machines: ssh gets out of it, by its own key; without the drop-in it does not.

The other machine is a second sshd of the box, with the accounts of the box.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.real.programs import needed
from tests.system.box import CHECKOUT
from tests.system.installed import Installed
from tests.system.test_sandbox import probe

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

UNITS = CHECKOUT / "systemd"
DROP_IN = (UNITS / "tiffsd-ssh.conf").read_text()
PORT = 2222
SERVER = f"""Port {PORT}
ListenAddress 127.0.0.1
HostKey /etc/tiffsd/host_key
AuthorizedKeysFile /etc/tiffsd/authorized
StrictModes no
UsePAM no
PidFile /run/far.pid
"""
HOST = f"""Host gpu-box
    HostName 127.0.0.1
    Port {PORT}

"""
# As the head of the drop-in says. Alice has no password, for which sshd without PAM would keep her out.
SET_UP = """
usermod --password '*' alice
mkdir -p /run/sshd
cd /etc/tiffsd
ssh-keygen -q -t ed25519 -N '' -C tiffsd -f ssh_key
ssh-keygen -q -t ed25519 -N '' -C box -f host_key
cp ssh_key.pub authorized
chmod 644 authorized
echo "[127.0.0.1]:2222 $(cat host_key.pub)" > ssh_known_hosts
"""
REACH = """
import subprocess, sys
options = ["-F", "/etc/tiffsd/ssh_config", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
done = subprocess.run(["ssh", *options, "alice@gpu-box", "echo", "I am", "$USER"], capture_output=True, text=True)
print(done.stdout + done.stderr)
sys.exit(done.returncode)
"""


@pytest.fixture(scope="module")
def far(installed: Installed) -> Iterator[None]:
    """An sshd that knows the key of the service."""
    needed("/usr/sbin/sshd", "ssh", "ssh-keygen")
    box = installed.box
    box.sh(SET_UP)
    box.path("/etc/tiffsd/sshd_config").write_text(SERVER)
    box.path("/etc/tiffsd/ssh_config").write_text(HOST + (UNITS / "tiffsd.ssh_config").read_text())
    box.run("/usr/sbin/sshd", "-E", "/run/far.log", "-f", "/etc/tiffsd/sshd_config")
    wait_until(lambda: f":{PORT:04X} " in Path(f"/proc/{box.leader}/net/tcp").read_text(), what="sshd listens")
    yield
    box.sh("kill $(cat /run/far.pid)")
    box.sh("cd /etc/tiffsd; rm -f ssh_key ssh_key.pub host_key host_key.pub authorized ssh_known_hosts ssh_config sshd_config")


def of_probe(service: Installed, *, drop_in: bool) -> tuple[bool, str]:
    """Whether ssh gets out of the sandbox with or without the drop-in, and what it said."""
    config = service.box.path("/etc/tiffsd/ssh_config")
    before = config.read_text()
    # The probe is a unit of another name, and what systemd hands a unit lies under its name.
    config.write_text(before.replace("tiffsd.service", "probe.service"))
    try:
        return probe(service, REACH, changes=DROP_IN.partition("[Service]\n")[2] if drop_in else "")
    finally:
        config.write_text(before)


@pytest.mark.usefixtures("far")
def test_with_the_drop_in_ssh_reaches_another_machine_by_the_key_of_the_service(service: Installed) -> None:
    succeeded, said = of_probe(service, drop_in=True)

    assert succeeded, said
    assert "I am alice" in said
    refused = service.box.run("cat", "/etc/tiffsd/ssh_key", user="alice", check=False)
    assert refused.returncode != 0, "nobody but root reads the key itself"


@pytest.mark.usefixtures("far")
def test_without_the_drop_in_it_reaches_nobody(service: Installed) -> None:
    succeeded, said = of_probe(service, drop_in=False)

    assert not succeeded
    assert "I am" not in said
