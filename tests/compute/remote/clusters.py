"""A Ray cluster of one node on this machine, for the tests: started and killed by them, with far ends that are as they say."""

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from tests.compute.remote.boxes import CONFIG
from tests.conftest import wait_until
from tests.house import REPOSITORY

# Every Python of the node reads it at its start. What it does hangs on which files lie beside it.
AT_THE_START = """
import sys
from pathlib import Path

here = Path(__file__).parent
if "daemon" in sys.orig_argv:
    if (here / "other_versions").exists():
        sys.path.insert(0, str(here / "versions"))
    if (here / "acting").exists():
        from daemon.compute.remote import serving

        serving.WORKER = "tests.compute.remote.acting_worker"
"""
METADATA = "Metadata-Version: 2.1\nName: tifffile\nVersion: 0.0.1\n"
ON_LOOPBACK = ("--node-ip-address=127.0.0.1", "--object-store-memory=100000000", "--disable-usage-stats")
HEAD = ("--head", "--include-dashboard=false")
TOKEN = 8 * "test"  # who comes must show it


class RayCluster:
    """The cluster; `node` is the folder with the configuration that its far ends read."""

    def __init__(self, cpus: int = 2) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray"))  # names of sockets must be short
        self.node = self.folder / "node"
        self.node.mkdir()
        (self.node / "config.yaml").write_text(CONFIG)
        (self.node / "sitecustomize.py").write_text(AT_THE_START)
        other = self.node / "versions/tifffile-0.0.1.dist-info"
        other.mkdir(parents=True)
        (other / "METADATA").write_text(METADATA)
        self._cpus = cpus
        self._ports = _free_ports(2)

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self._ports[0]}"

    def let(self, name: str, *, be: bool) -> None:
        """Let far ends that start from now on be "acting", or have "other_versions"."""
        if be:
            (self.node / name).touch()
        else:
            (self.node / name).unlink(missing_ok=True)

    def start(self) -> None:
        port, agent = self._ports
        words = [*HEAD, f"--port={port}", f"--dashboard-agent-listen-port={agent}", f"--temp-dir={self.folder / 'ray'}"]
        self._start_ray(*words, f"--num-cpus={self._cpus}")

    def add_node(self, cpus: int) -> None:
        """Start one more node on this machine."""
        self._start_ray(f"--address={self.address}", f"--num-cpus={cpus}")

    def _start_ray(self, *words: str) -> None:
        paths = os.pathsep.join(map(str, [self.node, REPOSITORY]))
        asks = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": TOKEN}
        own = {**os.environ, **asks, "PYTHONPATH": paths, "XDG_CACHE_HOME": str(self.folder / "cache")}
        command = [Path(sys.executable).with_name("ray"), "start", *ON_LOOPBACK, *words]
        started = subprocess.run(command, env=own, check=False, capture_output=True, text=True, timeout=200)
        assert started.returncode == 0, started.stderr

    def kill(self) -> None:
        """Kill the head and the node, as a loss of power does; what they have started ends by that."""
        for pid in processes(str(self.folder / "ray")):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        wait_until(lambda: not self.far_ends(), seconds=100, what="the actors have ended with their node")

    def close(self) -> None:
        self.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def far_ends(self) -> list[int]:
        """The processes that actors have started."""
        return processes(f"daemon\0worker\0-c\0{self.node}\0")


def processes(words: str) -> list[int]:
    """The processes with these words in their command line."""
    found = []
    for place in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if words in (place / "cmdline").read_text(errors="replace"):
                found.append(int(place.name))
    return [pid for pid in found if pid != os.getpid()]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def _free_ports(count: int) -> list[int]:
    listening = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in listening]
    for one in listening:
        one.close()
    return ports
