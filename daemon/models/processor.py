"""What computes here. The last bits of a result hang on it, as they do on the versions of the packages."""

import os
from functools import cache
from pathlib import Path
from types import MappingProxyType

import torch

CPUINFO = Path("/proc/cpuinfo")
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


def cpu_name(cpuinfo: Path = CPUINFO) -> str:
    """The name of the CPU, with family and model, since virtual machines leave them out of the name."""
    try:
        lines = cpuinfo.read_text(encoding="utf-8", errors="replace").partition("\n\n")[0].splitlines()
    except OSError:
        lines = []
    said = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in lines)}
    if "model name" in said:
        return f"{said['model name']} (family {said.get('cpu family', '?')}, model {said.get('model', '?')})"
    if "CPU part" in said:  # ARM's, which have numbers for a name
        return f"{os.uname().machine} (implementer {said.get('CPU implementer', '?')}, part {said['CPU part']})"
    return os.uname().machine
