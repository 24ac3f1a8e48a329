"""What computes here. The last bits of a result hang on it, as they do on the versions of the packages."""

import os
from functools import cache
from types import MappingProxyType

import torch

from daemon.models.cpu_name import cpu_name

# Variables that give the libraries' CPU code other instructions than they would choose, each with the value that is ours.
CHOOSING = {"MKL_CBWR": "AUTO", "ONEDNN_MAX_CPU_ISA": "", "ATEN_CPU_CAPABILITY": ""}


def computed_on(device: str) -> dict[str, str]:
    """Processor, instruction set and, of a CPU, number of threads of a device such as "cpu" or "cuda:1", in words."""
    if device.startswith("cuda"):
        major, minor = torch.cuda.get_device_capability(device)
        return {"processor": torch.cuda.get_device_name(device), "instruction_set": f"compute capability {major}.{minor}"}
    return {**_cpu(), "threads": str(torch.get_num_threads())}


@cache
def _cpu() -> MappingProxyType[str, str]:
    forced = ", ".join(f"{name}={value}" for name, ours in CHOOSING.items() if (value := os.environ.get(name, ours)) != ours)
    instructions = torch.backends.cpu.get_cpu_capability()
    return MappingProxyType({"processor": cpu_name(), "instruction_set": f"{instructions} ({forced})" if forced else instructions})
