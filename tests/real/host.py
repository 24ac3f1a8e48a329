"""A machine that serves a spool to people: accounts of its own, a spool laid out for a group, a daemon without rights of root.

The accounts are files that are mounted over those of the machine, where only the programs of the test see them. All of it lies in
one folder, and all programs end, whatever happens.
"""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType

from daemon import layout
from daemon.stages import STAGES
from tests.conftest import wait_until
from tests.house import REPOSITORY
from tests.outside import outside
from tests.real.fast_daemon import FastDaemon
from tests.real.programs import needed, needs_mounting

# The numbers are of nobody on a usual machine; a test looks at owners only by them.
GROUP, ALICE, BOB = 73000, 73001, 73002
PASSWD = f"""root:x:0:0::/root:/bin/sh
nobody:x:65534:65534::/nonexistent:/usr/sbin/nologin
sshd:*:101:65534::/run/sshd:/usr/sbin/nologin
alice:*:{ALICE}:{ALICE}::{{home}}:/bin/sh
bob:*:{BOB}:{BOB}::{{home}}:/bin/sh
"""
GROUPS = f"root:x:0:\nnogroup:x:65534:\ntiffsd:x:{GROUP}:alice,bob\nalice:x:{ALICE}:\nbob:x:{BOB}:\n"
WATCH = {"rescan_seconds": 0.5, "settle_seconds": 0.1, "settle_unleased_seconds": 0.4, "empty_grace_seconds": 2.0}


class Host:
    """`folder` holds all of it, `spool` is what is served; a context manager."""

    def __init__(self) -> None:
        needs_mounting()
        needed("systemd-tmpfiles", "setpriv")
        self._ends = ExitStack()

    def __enter__(self) -> "Host":
        self.folder = Path(tempfile.mkdtemp(prefix="tiffsd-host-", dir="/tmp"))
        self._ends.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)
        self.spool, self.home = self.folder / "spool", self.folder / "home"
        self.home.mkdir()
        os.chown(self.home, ALICE, ALICE)
        (self.folder / "passwd").write_text(PASSWD.format(home=self.home))
        (self.folder / "group").write_text(GROUPS)
        lines = layout.tmpfiles(str(self.spool), [stage.folder for stage in STAGES.values()], user="root", group="tiffsd")
        (self.folder / "tiffsd.tmpfiles").write_text("\n".join(lines) + "\n")
        self.run("systemd-tmpfiles", "--create", str(self.folder / "tiffsd.tmpfiles"))
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._ends.close()

    def inside(self, *command: str) -> list[str]:
        """A command as one that sees the accounts of this machine."""
        mounts = " && ".join(f"mount --bind {self.folder / name} /etc/{name}" for name in ("passwd", "group"))
        return ["unshare", "--mount", "--propagation", "private", "sh", "-c", f'{mounts} && exec "$@"', "sh", *command]

    def run(self, *command: str, words: str | None = None) -> str:
        """Run a command inside to its end; what it says. Fails with its words."""
        ended = subprocess.run(self.inside(*command), input=words, capture_output=True, text=True, env=outside(), timeout=100)
        assert ended.returncode == 0, f"{' '.join(command)}: {ended.stdout}{ended.stderr}"
        return ended.stdout

    def as_user(self, user: int, *command: str) -> list[str]:
        """A command of a person of the group."""
        return self.inside("setpriv", f"--reuid={user}", f"--regid={user}", f"--groups={GROUP}", "--no-new-privs", *command)

    def start(self, *command: str, name: str, user: int = 0) -> "subprocess.Popen[bytes]":
        """Start a server inside, whose words go to NAME.log, until the end of all."""
        command_line = self.as_user(user, *command) if user else self.inside(*command)
        with (self.folder / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                command_line, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=outside(), start_new_session=True
            )
        self._ends.callback(_end, process)
        return process

    def far(self, near: int, *, seconds: float) -> int:
        """A port from which all goes to another one of this machine, and comes back, later by so many seconds each way."""
        far = free_port()
        command = ["env", f"PYTHONPATH={REPOSITORY}", sys.executable, "-m", "tests.real.slow_link"]
        self.start(*command, str(far), str(near), str(seconds), name="slow_link")
        wait_until(lambda: is_listening(far), what="the long way is open")
        return far

    def said(self, name: str) -> str:
        """What a server said."""
        return (self.folder / f"{name}.log").read_text(errors="replace")

    def daemon(self, *, leases: bool, name: str = "daemon", **changes: object) -> FastDaemon:
        """A daemon that is started: without any right of root, but perhaps that to ask for leases on files of others."""
        capabilities = "-all,+lease" if leases else "-all"
        rights = (f"--bounding-set={capabilities}", "--inh-caps=-all", f"--regid={GROUP}", "--clear-groups")
        # The umask is that of systemd/tiffsd.service.
        before: Sequence[str] = [*self.inside("setpriv", *rights), "sh", "-c", 'umask 0007 && exec "$@"', "sh"]
        running = FastDaemon(self.folder / name, spool=self.spool, before=before, **{"watch": WATCH, **changes})
        self._ends.callback(running.close)
        running.start()
        return running


def free_port() -> int:
    """A port of this machine's alone that nobody uses."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def is_listening(port: int) -> bool:
    """Whether a server listens, by the kernel's list (0A is LISTEN): a test itself reaches for no network."""
    lines = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return any(local.endswith(f":{port:04X}") and state == "0A" for _, local, _, state, *_ in lines)


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a server with all that it has started: it leads a session of its own."""
    try:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(timeout=10)
    except ProcessLookupError:
        process.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait(timeout=10)
