"""What torch there is and what it finds, asked of a process of its own."""

import json
import subprocess
import sys
from dataclasses import dataclass, field
from typing import Any

from daemon.models.comparison import surroundings

SECONDS = 120.0  # the first start after an installation compiles much


@dataclass(frozen=True)
class Device:
    """A GPU as torch sees it; sizes in bytes, `capability` as in "sm_86"."""

    name: str
    capability: str
    free_bytes: int
    total_bytes: int


@dataclass(frozen=True)
class Torch:
    """`cuda` and `hip` are the versions that it is made for, `made_for` the capabilities; `error` why it cannot be loaded."""

    version: str = ""
    cuda: str | None = None
    hip: str | None = None
    made_for: tuple[str, ...] = ()
    devices: tuple[Device, ...] = ()
    mps: bool = False
    cpu: dict[str, str] = field(default_factory=dict)
    error: str | None = None


def torch_here() -> Torch:
    """Ask. What keeps torch from being loaded is its `error`, in the last words of Python."""
    command = [sys.executable, "-P", "-m", "daemon.models.torch_facts"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, env=surroundings(), timeout=SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return Torch(error=f"it took more than {SECONDS:.0f} s to load")
    if done.returncode:
        said = done.stderr.strip().splitlines()
        return Torch(error=said[-1] if said else f"its process ended with {done.returncode}")
    return told(json.loads(done.stdout))


def told(facts: dict[str, Any]) -> Torch:
    """What the process says, as a value."""
    devices = tuple(Device(**device) for device in facts["devices"])
    return Torch(**{**facts, "devices": devices, "made_for": tuple(facts["made_for"])})
