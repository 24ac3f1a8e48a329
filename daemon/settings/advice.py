"""What a valid configuration names that is not there: a daemon starts all the same, and the jobs that need it fail.

Only what can be seen from the folders: nothing is loaded.
"""

import os
import shutil
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from daemon.errors import InputError
from daemon.models.hub_ids import is_hub_id
from daemon.models.there import is_folder, is_there, why_not_seen
from daemon.settings.config import BUILTIN, Config
from daemon.settings.faults import Fault, Place, dotted
from daemon.settings.plain_yaml import folder_beside, read_with_lines

NVIDIA = ("/dev/nvidiactl", "/proc/driver/nvidia/version", "/dev/dxg")
"""One of them is there where the kernel has a driver for CUDA; the last under Windows."""


def told(path: Path, config: Config) -> list[str]:
    """The advice on the configuration in a file, one sentence each, with its lines. Raises ConfigError where it cannot be read."""
    lines = read_with_lines(path).lines
    return [fault.in_line(lines) for fault in advice(config)]


def advice(config: Config) -> Iterator[Fault]:
    """What is named and not there, by the place in the file."""
    for name, model in config.models.items():
        yield from _missing(config, ("models", name, "path"), model.path)
        parts = model.parts if isinstance(model.parts, Mapping) else {"": model.parts}
        for component, place in parts.items():
            if place is not None:
                yield from _missing(config, ("models", name, "parts", *filter(None, [component])), place)
        yield from _names(config, ("models", name, "defaults"), model.defaults)
    for name, vae in config.vaes.items():
        yield from _missing(config, ("vaes", name), vae)
    yield from _names(config, ("defaults",), config.defaults)
    yield from _adapters(config)
    yield from _hooks(config)
    yield from _devices(config)
    scratch = folder_beside(config.folder, Path(config.compute.scratch))
    if not os.access(scratch, os.W_OK | os.X_OK):
        yield Fault(("compute", "scratch"), f"'compute.scratch' is {scratch}, where nothing can be written; name another folder")


def _missing(config: Config, place: Place, path: str) -> Iterator[Fault]:
    if path == BUILTIN:
        return
    found = folder_beside(config.folder, Path(path))
    if is_there(found):
        return
    if why := why_not_seen(found):
        yield Fault(place, f"'{dotted(place)}' is {found}, and {why}")
        return
    if not is_hub_id(path):
        yield Fault(place, f"'{dotted(place)}' is {found}, and nothing is there; name the folder or the file, from this file on")
    elif not config.compute.network:
        fetched = "with 'compute.network: true' it is fetched from the hub"
        yield Fault(place, f"'{dotted(place)}' is {path}, and there is no {found}; {fetched}, otherwise name a folder or a file")


def _names(config: Config, place: Place, settings: Mapping[str, object]) -> Iterator[Fault]:
    """Models, VAEs and LoRAs that settings name."""
    models, vaes = settings.get("model"), settings.get("vae")
    for key, name, known in (("model", models, config.models), ("vae", vaes, config.vaes)):
        if name is not None and name not in known:
            there = ", ".join(sorted(known)) or "none"
            yield Fault((*place, key), f"'{dotted((*place, key))}' is {name!r}, and '{key}s' has: {there}")
    loras = settings.get("loras")
    for name in loras if isinstance(loras, Mapping) else ():
        try:
            config.lora(name)
        except InputError as error:
            yield Fault((*place, "loras"), f"'{dotted((*place, 'loras'))}': {error}")


def _adapters(config: Config) -> Iterator[Fault]:
    for key in ("loras", "textual_inversions"):
        folder = getattr(config.adapters, key)
        found = None if folder is None else folder_beside(config.folder, folder)
        if found is not None and not is_folder(found):
            why = why_not_seen(found) or "there is no such folder; name the one that has them"
            yield Fault(("adapters", key), f"'adapters.{key}' is {found}, and {why}")


def _hooks(config: Config) -> Iterator[Fault]:
    for event in ("done", "failed", "review"):
        command = config.hooks.command(event)
        if command and shutil.which(command[0]) is None:
            what = f"'hooks.{event}' runs {command[0]}, and there is no such program, or it may not be run"
            yield Fault(("hooks", event), f"{what}; write its whole path, and `chmod +x` it")


def _devices(config: Config) -> Iterator[Fault]:
    said: list[tuple[Place, str | None]] = [(("compute", "device"), config.compute.device)]
    said += [(("stages", name, "device"), stage.device) for name, stage in config.stages.items()]
    for place, device in said:
        if device is not None and not _is_there(device):
            yield Fault(place, f"'{dotted(place)}' is {device}, and this machine has none, or no driver for it; use cpu")


def _is_there(device: str) -> bool:
    if device.startswith("cuda"):
        return any(Path(place).exists() for place in NVIDIA)
    return device != "mps" or sys.platform == "darwin"
