"""Which GPUs there are, asked without torch: the front gives one to each worker, by the name that CUDA_VISIBLE_DEVICES takes.

    CUDA_VISIBLE_DEVICES     what a person or a cluster has set; numbers, UUIDs, or parts of a GPU (MIG-...). CUDA takes names up to
                             the first that it does not know, and so is it here, as far as the driver tells
    nvidia-smi -L            UUIDs, with those of the parts that a GPU is divided into
    /proc/driver/nvidia      the same without parts, where that program is not installed

Where nothing tells, there may still be some: the driver of Windows below Linux has no folder in /proc, and AMD's is another.
"""

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path

VISIBLE = "CUDA_VISIBLE_DEVICES"
NVIDIA_SMI = ("nvidia-smi", "-L")
LOOK_SECONDS = 20.0  # a driver that nobody else uses begins with waking the GPUs
DRIVER = Path("/proc/driver/nvidia/gpus")
LISTED = re.compile(r"^\s*(?:GPU \d+|MIG .*):.*\(UUID: ((?:GPU|MIG)-[^)]+)\)", re.MULTILINE)
CALLED = re.compile(r"^GPU (\d+): (.*) \(UUID: ", re.MULTILINE)
OF_DRIVER = re.compile(r"^GPU UUID:\s*(GPU-\S+)", re.MULTILINE)


def gpus(environ: Mapping[str, str]) -> list[str] | None:
    """The names of the GPUs that programs with this environment may use; None where nothing tells."""
    said = environ.get(VISIBLE)
    if said is not None and not said.strip():
        return []
    known = _of_nvidia_smi() or _of_driver()
    return known if said is None else _chosen(said, known)


def _chosen(said: str, known: Sequence[str] | None) -> list[str]:
    names: list[str] = []
    for name in map(str.strip, said.split(",")):
        if not _is_one(name, known) or name in names:
            break
        names.append(name)
    return names


def _is_one(name: str, known: Sequence[str] | None) -> bool:
    if name.isdecimal():
        # A number is that of a whole GPU, and how many those are is not told where one is divided.
        return known is None or _is_divided(known) or int(name) < len(known)
    named = name.startswith(("GPU-", "MIG-"))
    # Of a name of a part there is an older form, which no list has; of a GPU's the beginning is enough.
    return named and (known is None or name.startswith("MIG-") or any(one.startswith(name) for one in known) or _is_divided(known))


def _is_divided(known: Sequence[str]) -> bool:
    return any(one.startswith("MIG-") for one in known)


def gpu_name(number: int) -> str | None:
    """What a GPU is called, by the driver's number; None where nothing tells."""
    return {int(found): name for found, name in CALLED.findall(_listed())}.get(number)


def _of_nvidia_smi() -> list[str] | None:
    return without_divided(LISTED.findall(_listed())) or None


def _listed() -> str:
    try:
        return subprocess.run(NVIDIA_SMI, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=LOOK_SECONDS).stdout
    except (OSError, subprocess.TimeoutExpired):
        return ""


def without_divided(listed: Sequence[str]) -> list[str]:
    """The names of a list of GPUs, each followed by its parts, without those of GPUs that have parts."""
    following = [*listed, ""][1:]
    return [
        name for name, after in zip(listed, following, strict=True) if not (name.startswith("GPU-") and after.startswith("MIG-"))
    ]


def _of_driver() -> list[str] | None:
    try:
        told = [(gpu / "information").read_text(encoding="utf-8") for gpu in sorted(DRIVER.iterdir())]
    except OSError:
        return None
    return [name for text in told for name in OF_DRIVER.findall(text)] or None
