"""What lies on disk of a model: its family, size and precision, and what is wrong with it.

It is told from the folders and the headers of the files: nothing is loaded, and torch is not needed."""

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.models.checkpoints.tensors import index_of
from daemon.models.families import FAMILIES, Family
from daemon.models.unreadable import Unreadable

WEIGHTS = ("*.safetensors", "*.bin")
INDEX = "model_index.json"
_PART = re.compile(r"-\d{5}-of-\d{5}")


@dataclass(frozen=True)
class OnDisk:
    """A model as it lies there; `size_bytes` is that of the weights, `dtypes` their precisions, `faults` are sentences."""

    family: str | None
    size_bytes: int
    dtypes: tuple[str, ...]
    faults: tuple[str, ...]


def examined(path: Path) -> OnDisk:
    """Look at a model, a folder in diffusers layout."""
    try:
        index, family = _index(path)
    except Unreadable as fault:
        return OnDisk(None, 0, (), (str(fault),))
    present = [name for name in family.components if not left_out(path, name, index, family)]
    parts = {name: _component(path / name, weights=not name.startswith("tokenizer")) for name in present}
    return OnDisk(
        family.name,
        sum(part.size_bytes for part in parts.values()),
        tuple(sorted({dtype for part in parts.values() for dtype in part.dtypes})),
        tuple(f"{name}: {fault}" for name, part in parts.items() for fault in part.faults),
    )


def examined_vae(path: Path) -> OnDisk:
    """Look at a separate VAE: its folder, or a model's with a folder `vae`."""
    return _component(path if (path / "config.json").is_file() else path / "vae", weights=True)


def left_out(path: Path, name: str, index: Mapping[str, Any], family: Family) -> bool:
    """Whether a model comes without an optional component: its index says so, or its folder was deleted."""
    if name not in family.optional:
        return False
    return index.get(name, [None])[0] is None or (path.is_dir() and not (path / name).is_dir())


def variant_of(folder: Path) -> str | None:
    """Many folders hold half-precision weights only, under names that must be asked for: "fp16"."""
    names = [path.name for pattern in WEIGHTS for path in folder.glob(pattern)]
    return "fp16" if names and all(".fp16" in name for name in names) else None


def weights_bytes(folder: Path) -> int:
    """The size of the weights: parts of one file count together, and of several files the largest is loaded."""
    sizes: Counter[str] = Counter()
    for file in (file for pattern in WEIGHTS for file in folder.glob(pattern)):
        sizes[_PART.sub("", file.name)] += file.stat().st_size
    return max(sizes.values(), default=0)


def _index(path: Path) -> tuple[Mapping[str, Any], Family]:
    """The model's index and family. Raises ValueError with the fault as a sentence."""
    if not path.exists():
        raise Unreadable(f"there is no folder {path}")
    index = read_json(path / INDEX)
    name = str(index.get("_class_name"))
    if name not in FAMILIES:
        raise Unreadable(f"it is a {name}, which is not supported; supported are {', '.join(FAMILIES)}")
    return index, FAMILIES[name]


def _component(folder: Path, *, weights: bool) -> OnDisk:
    if not folder.is_dir():
        return OnDisk(None, 0, (), (f"there is no folder {folder}",))
    if not weights:
        return OnDisk(None, 0, (), () if any(folder.glob("*.json")) else (f"there is no tokenizer in {folder}",))
    faults = list(_faults_of(folder))
    files = sorted(file for pattern in WEIGHTS for file in folder.glob(pattern))
    dtypes: set[str] = set()
    for file in files:
        try:
            dtypes |= {tensor.dtype for tensor in index_of(file).values()}
        except Unreadable as fault:
            faults.append(str(fault))
    if not files:
        faults.append(f"there are no weights in {folder}")
    return OnDisk(None, weights_bytes(folder), tuple(sorted(dtypes)), tuple(faults))


def _faults_of(folder: Path) -> Iterator[str]:
    """What is wrong with the configuration of a component, and which parts of its weights are missing."""
    try:
        read_json(folder / "config.json")
        parts = {part for index in folder.glob("*.safetensors.index.json") for part in read_json(index)["weight_map"].values()}
    except (ValueError, KeyError, AttributeError) as error:
        yield str(error)
        return
    yield from (f"{part} is missing in {folder}" for part in sorted(parts) if not (folder / part).is_file())


def read_json(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise Unreadable(f"there is no {path.name} in {path.parent}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise Unreadable(f"{path} cannot be read ({error})") from error
    if not isinstance(values, dict):
        raise Unreadable(f"{path} holds no settings")
    return values
