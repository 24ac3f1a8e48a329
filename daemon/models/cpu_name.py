"""What this processor is called; without torch, so that the front can say it too."""

import os
from pathlib import Path

CPUINFO = Path("/proc/cpuinfo")


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
