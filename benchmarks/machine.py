"""What was measured on: processor, cores, memory, versions, and what else the machine was doing."""

import os
import platform
from importlib.metadata import version
from pathlib import Path

LIBRARIES = ("torch", "diffusers", "transformers", "numpy", "tifffile")


def machine() -> str:
    """One line."""
    info = Path("/proc/cpuinfo").read_text(encoding="utf-8")
    names = [line.partition(":")[2].strip() for line in info.splitlines() if line.startswith("model name")]
    gigabytes = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    where = f"{names[0] if names else platform.machine()}, {len(os.sched_getaffinity(0))} cores, {gigabytes:.0f} GB"
    libraries = ", ".join(f"{name} {version(name)}" for name in LIBRARIES)
    return f"{where}; Python {platform.python_version()}, {libraries}; load {os.getloadavg()[0]:.1f}"
