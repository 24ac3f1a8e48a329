"""Two machines and the cable between them: network namespaces, a real sshd in the far one, with keys and accounts of its own.

The cable can be cut, mended and slow, and the far machine can lose its power and come back. Nothing has a name outside: a namespace
lasts as long as its first process, and that as long as the test, so nothing is left, whatever happens. Needs root.
"""

import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType

import yaml

from tests.conftest import wait_until
from tests.house import REPOSITORY
from tests.outside import outside
from tests.real.programs import needed, needs_mounting, skip_where_forbidden

SSHD = "/usr/sbin/sshd"
NEAR, FAR, BITS = "10.213.7.1", "10.213.7.2", "30"
CABLE = "cable"
# A name that is no account of this machine; root's number, so that it may read the checkout and its Python wherever they lie.
USER, NAME = "box", "gpu-box"
ADDRESS = f"ssh://{USER}@{NAME}"
PASSWD = f"""{USER}:x:0:0::{{home}}:/bin/sh
root:x:0:0::{{home}}:/bin/sh
sshd:*:101:65534::/run/sshd:/usr/sbin/nologin
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
"""
SERVER = f"""ListenAddress {FAR}
HostKey {{folder}}/host_key
AuthorizedKeysFile {{folder}}/authorized
StrictModes no
UsePAM no
PidFile none
PermitRootLogin prohibit-password
PasswordAuthentication no
"""
CLIENT = f"""Host {NAME}
    HostName {FAR}
    IdentityFile {{folder}}/key
    IdentitiesOnly yes
    UserKnownHostsFile {{folder}}/known_hosts
    GlobalKnownHostsFile none
"""
# The first process of a namespace of processes: when it dies, the kernel ends all others there.
APART = ("--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "private")
BOOT = """mount --bind "$1/passwd" /etc/passwd
mount -t tmpfs none /run
mkdir /run/sshd
ip link set lo up
exec sleep infinity
"""
BOUND = ("setpriv", "--pdeathsig", "KILL")


class Hosts:
    """This machine, which is near, and one that is far; a context manager. What the far one logs lies in `said()`.

    `config` is the far machine's config.yaml, `ssh_config` a file for `ssh -F` that knows it.
    """

    def __init__(self, **config: object) -> None:
        needs_mounting()
        needed("ip", "tc", "ps", "setpriv", "unshare", "nsenter", SSHD, "ssh", "ssh-keygen", root=True)
        skip_where_forbidden("unshare", "--net", *APART, "ip", "link", "add", CABLE, "type", "veth", "peer", "name", "other")
        self._changes = config
        self._near: subprocess.Popen[bytes] | None = None
        self._far: subprocess.Popen[bytes] | None = None
        self._programs: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> "Hosts":
        self.folder = Path(tempfile.mkdtemp(prefix="tiffsd-hosts-", dir="/tmp"))
        try:
            self.home, self.config = self.folder / "home", self.folder / "home/config.yaml"
            self.home.mkdir()
            self.ssh_config = self.folder / "ssh_config"
            self.configure(**self._changes)
            self._make_keys()
            (self.folder / "passwd").write_text(PASSWD.format(home=self.home))
            self._near = subprocess.Popen([*BOUND, "unshare", "--net", "sleep", "infinity"], env=outside())
            wait_until(lambda: _is_apart(self._near, "net"), what="the near machine has a network of its own")
            self.boot()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._end()

    def configure(self, **changes: object) -> None:
        """Write the config.yaml of the far machine."""
        settings: dict[str, object] = {"spool": str(self.home / "spool"), **changes}
        self.config.write_text(yaml.safe_dump(settings), encoding="utf-8")

    @property
    def compute(self) -> Mapping[str, object]:
        """What stands under `compute` of the near machine's configuration so that it finds the far one and the program there."""
        program = ["env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "daemon", "worker", "--config", str(self.config)]
        return {"ssh_config": str(self.ssh_config), "ssh_command": program}

    def boot(self) -> None:
        """Give the far machine power, with the cable plugged in."""
        command = [*BOUND, "unshare", "--net", *APART, "sh", "-euc", BOOT, "sh", str(self.folder)]
        self._far = subprocess.Popen(command, env=outside())
        wait_until(lambda: self._ready(), what="the far machine is up")
        init = self._init()
        self._on_near("ip", "link", "add", CABLE, "type", "veth", "peer", "name", CABLE, "netns", init)
        self._on_near("ip", "address", "add", f"{NEAR}/{BITS}", "dev", CABLE)
        self._on_far("ip", "address", "add", f"{FAR}/{BITS}", "dev", CABLE)
        self._on_near("ip", "link", "set", CABLE, "up")
        self.mend()
        self._begin_on_far(SSHD, "-D", "-e", "-f", str(self.folder / "sshd_config"), env=outside())
        wait_until(lambda: self.reach("true"), what=f"ssh reaches the far machine: {self.said()}")

    def cut(self) -> None:
        """Unplug the cable: nothing comes through any more, and nobody is told."""
        self._on_far("ip", "link", "set", CABLE, "down")

    def mend(self) -> None:
        """Plug the cable in again."""
        self._on_far("ip", "link", "set", CABLE, "up")

    def slow(self, rate: str) -> None:
        """Let no more go to the far machine than so many bits each second: `rate` is as `tc` has it."""
        bucket = ("burst", "128k", "latency", "400ms")
        self._on_near("tc", "qdisc", "replace", "dev", CABLE, "root", "tbf", "rate", rate, *bucket)

    def hurry(self) -> None:
        """Let as much go there as the cable can carry."""
        self._on_near("tc", "qdisc", "delete", "dev", CABLE, "root")

    def carried(self) -> int:
        """How many bytes have come to the far machine through the cable since it has power."""
        (line,) = [line for line in self._on_far("cat", "/proc/net/dev").splitlines() if line.strip().startswith(f"{CABLE}:")]
        return int(line.partition(":")[2].split()[0])

    def kill(self) -> None:
        """Take the far machine's power away: it says nothing any more, and all of its programs end."""
        assert self._far is not None
        self.cut()
        self._far.kill()
        self._far.wait(timeout=60)
        self._far = None
        self._on_near("ip", "link", "delete", CABLE, check=False)  # goes with the other end, but later

    def programs(self) -> list[str]:
        """The command lines of what runs on the far machine."""
        found = self._on_far("ps", "-e", "-ww", "-o", "args=", check=False) if self._far else ""
        return [line.strip() for line in found.splitlines()]

    def kill_program(self, name: str) -> None:
        """End the programs of the far machine by force whose command line has this in it; at least one has."""
        lines = [line.split(maxsplit=1) for line in self._on_far("ps", "-e", "-ww", "-o", "pid=,args=").splitlines()]
        found = [number for number, arguments in lines if name in arguments]
        assert found, f"nothing on the far machine is called {name}: {lines}"
        self._on_far("kill", "-KILL", *found)

    def reach(self, *words: str) -> str:
        """What a command says that is run on the far machine by ssh; nothing where it does not get there."""
        options = ["-F", str(self.ssh_config), "-o", "BatchMode=yes", "-o", "ConnectTimeout=5"]
        return self._on_near("ssh", *options, f"{USER}@{NAME}", *words, "&&", "echo", "reached", check=False)

    def said(self) -> str:
        """What the programs said that are started with the far machine, sshd above all."""
        log = self.folder / "far.log"
        return log.read_text(errors="replace") if log.exists() else ""

    @property
    def before(self) -> list[str]:
        """The words before a command that make it one of the near machine, which ends with this process and keeps its own id."""
        assert self._near is not None
        return [*BOUND, "nsenter", f"--net=/proc/{self._near.pid}/ns/net"]

    def _ready(self) -> bool:
        assert self._far is not None
        assert self._far.poll() is None, "the far machine did not come up"
        children = Path(f"/proc/{self._far.pid}/task/{self._far.pid}/children").read_text().split()
        return bool(children) and Path(f"/proc/{children[0]}/comm").read_text() == "sleep\n"

    def _init(self) -> str:
        """The first process of the far machine, by its number here."""
        assert self._far is not None
        return Path(f"/proc/{self._far.pid}/task/{self._far.pid}/children").read_text().split()[0]

    def _on_near(self, *command: str, check: bool = True) -> str:
        return _run([*self.before, *command], check=check)

    def _on_far(self, *command: str, check: bool = True) -> str:
        return _run([*_inside(self._init()), *command], check=check)

    def _begin_on_far(self, *command: str, env: Mapping[str, str]) -> None:
        """Start a program there that ends with the machine, or with this process; what it says is in `said()`."""
        with (self.folder / "far.log").open("ab") as log:
            begun = [*BOUND, *_inside(self._init()), *command]
            self._programs.append(subprocess.Popen(begun, env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log))

    def _make_keys(self) -> None:
        for key in ("host_key", "key"):
            _run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", str(self.folder / key)])
        shutil.copy(self.folder / "key.pub", self.folder / "authorized")
        (self.folder / "known_hosts").write_text(f"{FAR} {(self.folder / 'host_key.pub').read_text()}")
        (self.folder / "sshd_config").write_text(SERVER.format(folder=self.folder))
        self.ssh_config.write_text(CLIENT.format(folder=self.folder))

    def _end(self) -> None:
        for process in (*self._programs, self._far, self._near):
            if process is not None:
                process.kill()
                process.wait(timeout=60)
        shutil.rmtree(self.folder, ignore_errors=True)


def _inside(init: str) -> list[str]:
    """The words before a command that make it one of the machine whose first process this is."""
    return ["nsenter", "--target", init, "--net", "--mount", "--pid"]


def _is_apart(process: "subprocess.Popen[bytes] | None", kind: str) -> bool:
    """Whether a process has left this machine's namespace of a kind."""
    assert process is not None
    assert process.poll() is None, "it ended"
    return Path(f"/proc/{process.pid}/ns/{kind}").readlink() != Path(f"/proc/self/ns/{kind}").readlink()


def _run(command: list[str], *, check: bool = True) -> str:
    """Run a command to its end; what it says. Fails with its words."""
    ended = subprocess.run(command, env=outside(LC_ALL="C"), stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=100)
    assert not check or ended.returncode == 0, f"{' '.join(command)}: {ended.stdout}{ended.stderr}"
    return ended.stdout
