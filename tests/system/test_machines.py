"""The service with the drop-in for other machines, set up as docs/machines.md says: ssh gets out of its sandbox, a worker answers.

The other machine is an sshd of the box itself, with alice as the account that computes. Its key does what the page says, no more.
"""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.conftest import wait_until
from tests.docs.pages import blocks
from tests.real.programs import needed
from tests.system.box import CHECKOUT
from tests.system.installed import CONFIG, Installed
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
mkdir -p /home/alice/.config/tiffsd
echo 'compute: {threads: 1}' > /home/alice/.config/tiffsd/config.yaml
echo "[127.0.0.1]:2222 $(cat host_key.pub)" > ssh_known_hosts
"""
TAKE_BACK = """
rm -r /home/alice/.config
cd /etc/tiffsd
rm -f ssh_key ssh_key.pub host_key host_key.pub authorized ssh_known_hosts ssh_config sshd_config
"""
REACH = """
import subprocess, sys
options = ["-F", "/etc/tiffsd/ssh_config", "-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes"]
done = subprocess.run(["ssh", *options, "alice@gpu-box", *{words}], capture_output=True, text=True)
print(done.stdout + done.stderr)
sys.exit(done.returncode)
"""
VERSION = ["tiffsd", "--version"]


def authorized(key: str) -> str:
    """The line of the page for authorized_keys, with a key in the place of its own."""
    (line,) = [block for block in blocks(CHECKOUT / "docs/machines.md") if block.startswith("restrict,")]
    assert line.count("ssh-ed25519 AAAA tiffsd") == 1
    return line.replace("ssh-ed25519 AAAA tiffsd\n", key)


@pytest.fixture(scope="module")
def far(installed: Installed) -> Iterator[None]:
    """An sshd that knows the key of the service."""
    needed("/usr/sbin/sshd", "ssh", "ssh-keygen")
    box = installed.box
    box.sh(SET_UP)
    box.path("/etc/tiffsd/authorized").write_text(authorized(box.path("/etc/tiffsd/ssh_key.pub").read_text()))
    box.path("/etc/tiffsd/sshd_config").write_text(SERVER)
    box.path("/etc/tiffsd/ssh_config").write_text(HOST + (UNITS / "tiffsd.ssh_config").read_text())
    box.run("/usr/sbin/sshd", "-E", "/run/far.log", "-f", "/etc/tiffsd/sshd_config")
    wait_until(lambda: f":{PORT:04X} " in Path(f"/proc/{box.leader}/net/tcp").read_text(), what="sshd listens")
    yield
    box.sh("kill $(cat /run/far.pid)")
    box.sh(TAKE_BACK)


def of_probe(service: Installed, words: list[str], *, drop_in: bool) -> tuple[bool, str]:
    """Whether a command of the far machine runs out of the sandbox, with or without the drop-in, and what it said."""
    config = service.box.path("/etc/tiffsd/ssh_config")
    before = config.read_text()
    # The probe is a unit of another name, and what systemd hands a unit lies under its name.
    config.write_text(before.replace("tiffsd.service", "probe.service"))
    try:
        changes = DROP_IN.partition("[Service]\n")[2] if drop_in else ""
        return probe(service, REACH.format(words=words), changes=changes)
    finally:
        config.write_text(before)


@pytest.mark.usefixtures("far")
def test_with_the_drop_in_ssh_reaches_another_machine_by_the_key_of_the_service(service: Installed) -> None:
    succeeded, said = of_probe(service, VERSION, drop_in=True)

    assert succeeded, said
    assert said.startswith("tiffsd ")
    refused = service.box.run("cat", "/etc/tiffsd/ssh_key", user="alice", check=False)
    assert refused.returncode != 0, "nobody but root reads the key itself"


@pytest.mark.usefixtures("far")
@pytest.mark.parametrize("words", [["id"], ["tiffsd", "--version;", "id"], ["tiffsd", "worker", "--config", "/etc/passwd"]])
def test_the_key_does_nothing_there_but_what_the_page_says(service: Installed, words: list[str]) -> None:
    _, said = of_probe(service, words, drop_in=True)

    assert said.strip() == ""


@pytest.mark.usefixtures("far")
def test_without_the_drop_in_it_reaches_nobody(service: Installed) -> None:
    succeeded, said = of_probe(service, VERSION, drop_in=False)

    assert not succeeded
    assert not said.startswith("tiffsd ")


@pytest.mark.usefixtures("far")
def test_the_service_makes_a_picture_on_another_machine(service: Installed) -> None:
    service.configure(compute={"threads": 1, "workers": ["ssh://alice@gpu-box"]})
    with service.drop_in(DROP_IN):
        service.drop("inbox/1-text", "far.txt", "---\nseed: 1\n---\na red house")
        service.found("pictures/far.*.png")
        workers = service.box.run("pgrep", "--list-full", "--uid", "alice").stdout
        told = service.box.run("/opt/tiffsd/bin/tiffsd", "status", "--config", CONFIG, user="alice").stdout
    assert "daemon.compute.worker" in workers, "it was computed by another user"
    (row,) = [line.replace("│", " ").split() for line in told.splitlines() if line.startswith("│ gpu-box")]
    assert row[1] in ("ready", "idle")
