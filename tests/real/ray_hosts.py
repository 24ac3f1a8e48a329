"""Two machines in a Ray cluster: the near one is its head, and the far one a node that joins anew whenever it has power."""

import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from tests.conftest import THREADS, wait_until
from tests.house import REPOSITORY
from tests.outside import outside
from tests.real.hosts import FAR, NEAR, Hosts
from tests.real.programs import needed

PORT = 6379
WORDS = ("--object-store-memory=100000000", "--disable-usage-stats")
HEAD = ("--head", "--block", "--include-dashboard=false", f"--port={PORT}", f"--node-ip-address={NEAR}")
# What the head starts ends with it.
ALONE = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
STARTED = "Ray runtime started"
# A folder of its own for the sockets, as on a machine of its own, and a node that is started again as by systemd.
NODE = """mount -t tmpfs none "$1"
shift
while :; do
    "$@" || sleep 1
done
"""


class RayHosts(Hosts):
    """The cluster has room for one worker on the far machine, and for so many on the near one."""

    def __init__(self, near_workers: int = 0, **config: object) -> None:
        super().__init__(**config)
        needed(_ray())
        self._near_workers = near_workers

    @property
    def compute(self) -> Mapping[str, object]:
        """Override: the cluster, and as many workers as it has room for."""
        workers = 1 + self._near_workers
        return {"engine": "ray", "workers": workers, "ray_address": f"{NEAR}:{PORT}", "ray_config": str(self.config)}

    def boot(self) -> None:
        """Override: the head, where there is none yet, and the node on the far machine."""
        super().boot()
        if not self._place.exists():
            self._start_head()
        ray = [_ray(), "start", f"--address={NEAR}:{PORT}", f"--node-ip-address={FAR}", f"--num-cpus={THREADS}", "--block", *WORDS]
        self._begin_on_far("sh", "-euc", NODE, "sh", str(self._place), *ray, env=self._environment)

    def _start_head(self) -> None:
        self._place.mkdir()
        # The head's address stays, whatever becomes of the cable.
        self._on_near("ip", "link", "set", "lo", "up")
        self._on_near("ip", "address", "add", f"{NEAR}/32", "dev", "lo")
        cpus = THREADS * self._near_workers
        log = self.folder / "head.log"
        command = [*self.before, *ALONE, _ray(), "start", *HEAD, f"--temp-dir={self._place}", f"--num-cpus={cpus}", *WORDS]
        with log.open("wb") as file:
            self._programs.append(
                subprocess.Popen(command, env=self._environment, stdin=subprocess.DEVNULL, stdout=file, stderr=subprocess.STDOUT)
            )
        wait_until(lambda: STARTED in log.read_text(), seconds=200, what=f"the head is up, which says in {log}: {STARTED}")

    @property
    def _place(self) -> Path:
        return self.folder / "ray"

    @property
    def _environment(self) -> dict[str, str]:
        return outside(PYTHONPATH=str(REPOSITORY), HOME=str(self.home))


def _ray() -> str:
    return str(Path(sys.executable).with_name("ray"))
