"""The process that says what torch is here and what it finds, as JSON: torch takes seconds to load, and may not load at all."""

import json
import sys
from typing import Any

import torch

from daemon.models.processor import computed_on


def facts() -> dict[str, Any]:
    """The version and the build of torch, its devices with their memory in bytes, and what the CPU is."""
    return {
        "version": torch.__version__,
        "cuda": torch.version.cuda,
        "hip": torch.version.hip,
        "made_for": torch.cuda.get_arch_list() if torch.cuda.is_available() else [],
        "devices": [_device(number) for number in range(torch.cuda.device_count())] if torch.cuda.is_available() else [],
        "mps": torch.backends.mps.is_available(),
        "cpu": computed_on("cpu"),
    }


def _device(number: int) -> dict[str, Any]:
    name = f"cuda:{number}"
    major, minor = torch.cuda.get_device_capability(name)
    free, total = torch.cuda.mem_get_info(name)
    return {
        "name": torch.cuda.get_device_name(name),
        "capability": f"sm_{major}{minor}",
        "free_bytes": free,
        "total_bytes": total,
    }


if __name__ == "__main__":
    sys.stdout.write(json.dumps(facts()))
