"""A throw-away machine: this one's own system under an overlay, booted by a real systemd in a container.

It has no network. The Python that runs the tests is `python3` inside, its packages lie in /opt/packages, a writable view of the
checkout in /opt/source. Needs root, and a kernel that lets root mount and make control groups.
"""

import os
import signal
import socket
import subprocess
import sys
import sysconfig
from pathlib import Path
from typing import Self

from tests.outside import is_here, outside

BOOT = Path(__file__).with_name("boot.sh")
CHECKOUT = Path(__file__).parents[2]
PROGRAMS = {"systemd-nspawn": "systemd-container", "systemd-analyze": "systemd", "unshare": "util-linux", "nsenter": "util-linux"}
PYTHON = Path("/usr") if sys.base_prefix == "/usr" else Path("/opt/python")
ENVIRONMENT = {"PATH": f"{PYTHON}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
VARIABLES = {"SOURCE": str(CHECKOUT), "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"}
QUIET = (
    "--quiet",
    "--register=no",
    "--keep-unit",
    "--private-network",
    "--link-journal=no",
    "--console=pipe",
    "--machine=box",
    "--system-call-filter=bpf",
)


class Box:
    """`with Box(FOLDER) as box`: booted inside, gone after. FOLDER is an empty folder to mount things on."""

    def __init__(self, folder: Path) -> None:
        self.console = folder / "console.txt"
        self._mounts = folder / "mounts"
        self._mounts.mkdir()
        self._notes = folder / "notify"
        self._process: subprocess.Popen[bytes] | None = None
        self.leader = 0

    def __enter__(self) -> Self:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notes, self.console.open("wb") as console:
            notes.bind(str(self._notes))
            notes.settimeout(60)
            self._process = subprocess.Popen(
                command(self._mounts, *binds(), "--notify-ready=yes", "--boot", "systemd.unit=basic.target"),
                env=outside(**VARIABLES, NOTIFY_SOCKET=str(self._notes)),
                stdin=subprocess.DEVNULL,
                stdout=console,
                stderr=console,
            )
            self._wait_until_ready(notes)
        self._place_python()
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process is not None
        self._process.terminate()
        try:
            self._process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            os.kill(self.leader, signal.SIGKILL)
            self._process.wait(timeout=30)

    def run(self, *words: object, user: str = "root", check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run a command inside as `user`; raises AssertionError with all it said where it fails."""
        with self.start(*words, user=user) as process:
            said, complained = process.communicate(timeout=250)
        if check:
            assert process.returncode == 0, f"{words}: {process.returncode}\n{said}{complained}"
        return subprocess.CompletedProcess(process.args, process.returncode, said, complained)

    def start(self, *words: object, user: str = "root") -> subprocess.Popen[str]:
        """Start a command inside as `user`."""
        become = () if user == "root" else ("setpriv", "--reuid", user, "--regid", user, "--init-groups")
        return subprocess.Popen(
            ["nsenter", "--target", str(self.leader), "--all", "--wd", *become, *map(str, words)],
            env={**ENVIRONMENT, "HOME": "/root" if user == "root" else f"/home/{user}"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def sh(self, script: str, *, user: str = "root") -> str:
        """What a shell script prints inside; raises AssertionError where it fails."""
        return self.run("sh", "-euc", script, user=user).stdout

    def path(self, inside: str) -> Path:
        """A file of the box, as root sees it from outside."""
        return Path(f"/proc/{self.leader}/root{inside}")

    def _wait_until_ready(self, notes: socket.socket) -> None:
        facts: dict[str, str] = {}
        while facts.get("READY") != "1":
            try:
                facts |= dict(line.split("=", 1) for line in notes.recv(4096).decode().splitlines())
            except TimeoutError:
                raise AssertionError(f"the box did not come up:\n{self.console.read_text()}") from None
        self.leader = int(facts["X_NSPAWN_LEADER_PID"])

    def _place_python(self) -> None:
        # A shared libpython is looked for where it was built, which the service must not see where that is a home directory.
        self.path("/etc/ld.so.conf.d/python.conf").write_text(f"{PYTHON}/lib\n")
        self.run("ldconfig")


def command(folder: Path, *arguments: str) -> list[str]:
    """The command that starts a container; it ends when the thread ends that started it."""
    alone = ("setpriv", "--pdeathsig", "TERM", "unshare", "--mount", "--propagation=private")
    return [*alone, str(BOOT), str(folder), *QUIET, *arguments]


def binds() -> list[str]:
    places = {sysconfig.get_path("purelib"): "/opt/packages"}
    if str(PYTHON) != sys.base_prefix:
        places[sys.base_prefix] = str(PYTHON)
    return [f"--bind-ro={there}:{here}" for there, here in places.items()]


def why_impossible(folder: Path) -> str | None:
    """Why this machine cannot boot a box, in words; None where it can. What is missing and can be installed is no reason."""
    if os.geteuid() != 0:
        return "it needs root"
    tried = subprocess.run(
        command(folder, "--as-pid2", "true"),
        env=outside(**VARIABLES),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=60,
    )
    return None if tried.returncode == 0 else f"root may not start a container here: {tried.stderr.strip() or tried.returncode}"


def missing() -> list[str]:
    """Debian's packages of the programs that are not here."""
    return sorted({package for program, package in PROGRAMS.items() if not is_here(program)})
