"""Whether torch and the devices of the machine fit each other, and how to get the torch that does."""

import csv
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from daemon.extras import installing
from daemon.settings.advice import NVIDIA
from daemon.setup.findings import Finding, fault, note, ok
from daemon.setup.torch_here import Torch

DRIVER_VERSION = Path("/proc/driver/nvidia/version")
PCI = Path("/sys/bus/pci/devices")
NVIDIA_VENDOR, AMD_VENDOR, DISPLAY = "0x10de", "0x1002", "0x03"
AMD_DRIVER = Path("/dev/kfd")
SMI = ("nvidia-smi", "--query-gpu=name,driver_version", "--format=csv,noheader")
SMI_SECONDS = 20.0  # a driver that nobody else uses begins with waking the GPUs
# The oldest driver of NVIDIA, by the first number of its version, for each build of torch that pytorch.org has.
BUILDS = ((580, "cu130"), (570, "cu128"), (525, "cu126"))
GB = 1e9
SMALL_GPU_GB = 4.0


@dataclass(frozen=True)
class Cards:
    """The graphics cards that the machine has: `names` of NVIDIA's, the version of their driver, and whether there are AMD's."""

    names: tuple[str, ...] = ()
    driver: str | None = None
    amd: bool = False

    @property
    def nvidia(self) -> bool:
        return bool(self.names)


def cards_here() -> Cards:
    """Ask the driver of NVIDIA, and what the kernel lists on its bus."""
    listed = _listed()
    names = tuple(name for name, _ in listed) or ("an NVIDIA card",) * (_on_bus(NVIDIA_VENDOR) or any(map(_there, NVIDIA)))
    driver = listed[0][1] if listed else _driver_by_kernel()
    return Cards(names, driver, _on_bus(AMD_VENDOR) or AMD_DRIVER.exists())


def look_at_devices(
    torch: Torch, cards: Cards, wanted: Mapping[str, str], environ: Mapping[str, str] = os.environ
) -> Iterator[Finding]:
    """What there is of torch and GPUs; `wanted` are the devices of the configuration by their keys."""
    if torch.error is not None:
        yield fault(
            "torch", f"it cannot be loaded: {torch.error}", f"install it anew: `{installing('--force-reinstall', 'torch')}`"
        )
        return
    yield ok("torch", f"{torch.version}, {_build(torch)}")
    yield from _of_nvidia(torch, cards, environ)
    if cards.amd and not cards.nvidia and torch.hip is None:
        yield note(
            "GPU",
            "an AMD card, and torch is not made for one",
            f"install torch for ROCm: `{installing()}` with the words of pytorch.org/get-started",
        )
    if not cards.nvidia and not cards.amd and not torch.devices:
        yield ok("GPU", "Apple's (mps)" if torch.mps else "none")
    for number in range(len(torch.devices)):
        yield from _of_device(torch, number)
    yield from _of_configuration(torch, wanted)


def torch_for(driver: str | None) -> str:
    """The command that installs the torch for a driver of NVIDIA."""
    version = _first_number(driver)
    build = next((build for oldest, build in BUILDS if version is not None and version >= oldest), BUILDS[-1][1])
    return installing("--force-reinstall", "torch", "--index-url", f"https://download.pytorch.org/whl/{build}")


def _of_nvidia(torch: Torch, cards: Cards, environ: Mapping[str, str]) -> Iterator[Finding]:
    """What is wrong where a card of NVIDIA is there, and torch finds none."""
    if not cards.nvidia or torch.devices:
        return
    what = ", ".join(cards.names)
    version = _first_number(cards.driver)
    if cards.driver is None and not any(map(_there, NVIDIA)):
        yield note(
            "GPU",
            f"{what}, and no driver for it",
            "install the driver (Debian: `apt install nvidia-driver`), then start the machine anew",
        )
    elif version is not None and version < BUILDS[-1][0]:
        yield note(
            "GPU",
            f"{what}, driver {cards.driver}",
            f"the driver is older than any torch of today takes: install {BUILDS[-1][0]} or later",
        )
    elif torch.cuda is None:
        yield note(
            "GPU",
            f"{what}, driver {cards.driver or 'unknown'}, and this torch is made {_build(torch)}",
            f"`{torch_for(cards.driver)}`, or the line of pytorch.org/get-started",
        )
    elif environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in ("", "-1"):
        yield note("GPU", f"{what}, hidden by CUDA_VISIBLE_DEVICES", "unset CUDA_VISIBLE_DEVICES to use it")
    else:
        yield note(
            "GPU",
            f"{what}, driver {cards.driver or 'unknown'}, and torch for CUDA {torch.cuda} finds none",
            f"renew the driver, or take the torch for this one: `{torch_for(cards.driver)}`",
        )


def _of_device(torch: Torch, number: int) -> Iterator[Finding]:
    device = torch.devices[number]
    memory = f"{device.total_bytes / GB:.1f} GB, {device.free_bytes / GB:.1f} free"
    about, said = f"cuda:{number}", f"{device.name}, {device.capability}, {memory}"
    if torch.cuda is not None and torch.made_for and not _runs_on(device.capability, torch.made_for):
        yield fault(
            about,
            f"{said}; this torch is made for {', '.join(torch.made_for)}",
            f"take another build of torch: `{torch_for(None)}`, or the line of pytorch.org/get-started",
        )
    elif device.total_bytes < SMALL_GPU_GB * GB:
        yield note(about, said, "set `dtype: float16` for the models in config.yaml, or leave what does not fit to the CPU")
    else:
        yield ok(about, said)


def _of_configuration(torch: Torch, wanted: Mapping[str, str]) -> Iterator[Finding]:
    for key, device in wanted.items():
        kind, _, number = device.partition(":")
        there = {"cuda": int(number or 0) < len(torch.devices), "mps": torch.mps}.get(kind, True)
        if not there:
            yield fault(
                key, f"it is {device}, and torch finds no such device", "set it to cpu, or see what is said of torch and GPU here"
            )
    if torch.devices and wanted and not any(device.startswith("cuda") for device in wanted.values()):
        yield note(
            "compute.device",
            "there is a GPU, and config.yaml does not use it",
            "set `device: cuda` under `compute` in config.yaml, and `dtype: float16` or bfloat16 for the models",
        )


def _runs_on(capability: str, made_for: Iterable[str]) -> bool:
    """Whether code for one of these runs on a device: the same first number, and no later second one; or code made there (PTX)."""
    major, minor = _parts(capability)
    for one in made_for:
        first, second = _parts(one)
        if (first == major and second <= minor) or (one.startswith("compute_") and (first, second) <= (major, minor)):
            return True
    return False


def _parts(capability: str) -> tuple[int, int]:
    digits = re.sub(r"\D", "", capability) or "0"
    return int(digits[:-1] or 0), int(digits[-1])


def _build(torch: Torch) -> str:
    if torch.hip:
        return f"for ROCm {torch.hip}"
    return f"for CUDA {torch.cuda}" if torch.cuda else "for the CPU alone"


def _listed() -> list[tuple[str, str]]:
    try:
        done = subprocess.run(SMI, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=SMI_SECONDS, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return []
    rows = [[word.strip() for word in row] for row in csv.reader(done.stdout.splitlines())] if done.returncode == 0 else []
    return [(row[0], row[1]) for row in rows if len(row) == 2]


def _driver_by_kernel() -> str | None:
    try:
        said = DRIVER_VERSION.read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r"\b(\d{3,}\.\d+(?:\.\d+)?)\b", said)
    return found[1] if found else None


def _on_bus(vendor: str) -> bool:
    """Whether a graphics card of this vendor is on the PCI bus."""
    return any(_word(folder / "vendor") == vendor and _word(folder / "class").startswith(DISPLAY) for folder in PCI.glob("*"))


def _word(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def _first_number(driver: str | None) -> int | None:
    head = (driver or "").partition(".")[0]
    return int(head) if head.isdecimal() else None


def _there(place: str) -> bool:
    return Path(place).exists()
