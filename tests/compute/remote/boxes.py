"""Machines that `ssh` reaches, for the tests: a program that stands for ssh, and for each host a script of what is there."""

import os
import sys
from pathlib import Path
from typing import Any

from daemon.compute.local import LocalWorkers
from daemon.settings.resources import resource
from tests.conftest import wait_until
from tests.house import REPOSITORY

SSH = """#!/bin/sh
while [ "$1" != "--" ]; do shift; done
if [ ! -f '{folder}/'"$2.sh" ]; then
    echo "ssh: connect to host $2 port 22: No route to host" >&2
    exit 255
fi
. '{folder}/'"$2.sh"
"""
CONFIG = "models:\n  demo:\n    path: builtin\ncompute:\n  device: cpu\n  threads: 1\n"
FAR_END = "cd '{repository}' && XDG_CACHE_HOME='{cache}' exec '{python}' -m {module} worker -c '{folder}'\n"
ACTING, REAL = "tests.compute.remote.acting_far_end", "daemon"


class Boxes:
    """A folder with the program `ssh` in it, and what it finds at each host: nothing, at first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.ssh = folder / "ssh"
        self.ssh.write_text(SSH.format(folder=folder))
        self.ssh.chmod(0o700)
        (folder / "config.yaml").write_text(CONFIG)

    def far_end(self, module: str = ACTING) -> str:
        """The script that starts a far end."""
        words = {"repository": REPOSITORY, "cache": self.folder / "cache", "python": sys.executable, "folder": self.folder}
        return FAR_END.format(module=module, **words)

    def put(self, host: str = "box", script: str | None = None) -> None:
        """Let a host be there: one that computes, or one that runs the script."""
        path = self.folder / f".{host}.part"
        path.write_text(self.far_end() if script is None else script)
        path.rename(self.folder / f"{host}.sh")

    def take(self, host: str = "box") -> None:
        """Let a host be away."""
        (self.folder / f"{host}.sh").unlink()


def settings(prompt: str, **more: Any) -> dict[str, Any]:
    model = {"name": "demo", "path": str(resource("models/demo")), "dtype": "float32", "vae": None, "device": "", "network": False}
    return {"prompt": prompt, "negative_prompt": "", "seeds": [1], "width": 64, "height": 64, "model": model, **more}


def worker(engine: LocalWorkers, node: str = "box") -> dict[str, Any]:
    """What is said of the first worker of a node."""
    found: dict[str, Any] = next(one for one in engine.describe()["workers"] if one["node"] == node)
    return found


def until_state(engine: LocalWorkers, state: str, node: str = "box") -> dict[str, Any]:
    wait_until(
        lambda: worker(engine, node)["state"] == state, seconds=100, what=f"{node} is {state}, and not {worker(engine, node)}"
    )
    return worker(engine, node)


def children_of(pid: int) -> list[int]:
    """The processes that a process has started."""
    found = [child for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]
    return [int(child) for child in found]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
