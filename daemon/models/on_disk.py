"""What lies on disk of a model: its family, size and precision, and what is wrong with it.

It is told from the folders and the headers of the files: nothing is loaded, and torch is not needed."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from daemon.models import lacking
from daemon.models.checkpoints.kinds import kind_of
from daemon.models.checkpoints.layouts import bytes_of
from daemon.models.checkpoints.other_files import vae_of_another_kind
from daemon.models.checkpoints.scales import scales_of
from daemon.models.checkpoints.tensors import index_of
from daemon.models.families import FAMILIES, Family
from daemon.models.families.family import T5, T5_TOKENIZER
from daemon.models.folders import (
    INDEX,
    WEIGHTS,
    check_not_quantized,
    encoder_of_tokenizer,
    holds,
    is_tokenizer,
    left_out,
    read_json,
    weights_bytes,
)
from daemon.models.hub_ids import is_hub_id
from daemon.models.there import is_file, is_folder, is_there, why_not_seen
from daemon.models.unreadable import UnreadableModel

Parts = str | Mapping[str, str | None] | None


@dataclass(frozen=True)
class OnDisk:
    """A model as it lies there; `size_bytes` is that of the weights, `dtypes` their precisions, `faults` are sentences."""

    family: str | None
    size_bytes: int
    dtypes: tuple[str, ...]
    faults: tuple[str, ...]


def examined(path: Path, parts: Parts = None, *, has_vae: bool = False) -> OnDisk:
    """Look at a model, a folder in diffusers layout or a single file.

    `parts` is what the configuration gives it besides, and `has_vae` whether its defaults name a separate VAE."""
    if is_file(path):
        return _examined_file(path, parts, has_vae=has_vae)
    try:
        index, family = _index(path)
    except UnreadableModel as fault:
        return OnDisk(None, 0, (), (str(fault),))
    given = _given(parts, family) if isinstance(parts, Mapping) else set()
    present = [name for name in family.components if name not in given and not left_out(path, name, index, family)]
    looked = {name: _component(path / name, weights=not name.startswith("tokenizer")) for name in present}
    return OnDisk(
        family.name,
        sum(part.size_bytes for part in looked.values()),
        tuple(sorted({dtype for part in looked.values() for dtype in part.dtypes})),
        (*(f"{name}: {fault}" for name, part in looked.items() for fault in part.faults), *_faults_of_parts(parts)),
    )


def examined_vae(path: Path) -> OnDisk:
    """Look at a separate VAE: its folder, a model's with a folder `vae`, or a file with one in it."""
    if is_file(path):
        return _examined_vae_file(path)
    return _component(path if is_file(path / "config.json") else path / "vae", weights=True)


def _examined_file(path: Path, parts: Parts, *, has_vae: bool) -> OnDisk:
    try:
        kind, index = kind_of(path), index_of(path)
    except UnreadableModel as fault:
        return OnDisk(None, path.stat().st_size, (), (str(fault),))
    pipeline = kind.read(INDEX)
    family = FAMILIES[pipeline["_class_name"]]
    given = _given(parts, family) | {"vae"} if has_vae else _given(parts, family)
    spared = isinstance(parts, Mapping) and None in parts.values()
    faults = []
    for name in (name for name in family.components if pipeline.get(name, [None])[0] is not None):
        has_encoder = encoder_of_tokenizer(name) in kind.components | given and not spared
        if is_tokenizer(name):
            lacks = family.components[name] == T5_TOKENIZER and name not in given and has_encoder
            faults += [lacking.vocabulary(path, name, family)] if lacks else []
        elif name not in kind.components | given and not (family.components[name] == T5 and name in family.optional):
            faults.append(lacking.component(path, name, family))
    return OnDisk(
        family.name, sum(tensor.size_bytes for tensor in index.values()), _dtypes(path), (*faults, *_faults_of_parts(parts))
    )


def _given(parts: Parts, family: Family) -> set[str]:
    """The components that come from elsewhere."""
    if isinstance(parts, str):
        return {name for name in family.components if holds(Path(parts), name)}
    return {name for name, place in (parts or {}).items() if place is not None}


def _faults_of_parts(parts: Parts) -> Iterator[str]:
    places = {"parts": parts} if isinstance(parts, str) else parts or {}
    for name, place in places.items():
        if place is None or is_hub_id(place):
            continue
        if not is_there(place):
            yield f"{name}: {_nothing_at(place)}"
        elif is_file(place):
            try:
                scales_of(Path(place))
            except UnreadableModel as fault:
                yield f"{name}: {fault}"


def _examined_vae_file(path: Path) -> OnDisk:
    try:
        index = index_of(path)
        scales_of(path)
    except UnreadableModel as fault:
        return OnDisk(None, path.stat().st_size, (), (str(fault),))
    faults: tuple[str, ...] = ()
    if what := vae_of_another_kind(index):
        faults = (f"{path} is {what}, which no supported model can have",)
    elif not any(name.endswith("decoder.conv_in.weight") for name in index):
        faults = (f"{path} holds no vae",)
    return OnDisk(None, bytes_of("vae", index), _dtypes(path), faults)


def _dtypes(path: Path) -> tuple[str, ...]:
    """The precisions of the numbers in a file of weights."""
    return tuple(sorted({tensor.dtype for tensor in index_of(path).values() if tensor.shape}))


def _index(path: Path) -> tuple[Mapping[str, Any], Family]:
    """The model's index and family. Raises ValueError with the fault as a sentence."""
    if not is_there(path):
        raise UnreadableModel(_nothing_at(path))
    index = read_json(path / INDEX)
    name = str(index.get("_class_name"))
    if name not in FAMILIES:
        raise UnreadableModel(f"it is a {name}, which is not supported; supported are {', '.join(FAMILIES)}")
    return index, FAMILIES[name]


def _nothing_at(path: str | Path) -> str:
    return why_not_seen(path) or f"there is no folder or file {path}"


def _component(folder: Path, *, weights: bool) -> OnDisk:
    if not is_folder(folder):
        return OnDisk(None, 0, (), (_nothing_at(folder),))
    if not weights:
        return OnDisk(None, 0, (), () if any(folder.glob("*.json")) else (f"there is no tokenizer in {folder}",))
    faults = list(_faults_of(folder))
    files = sorted(file for pattern in WEIGHTS for file in folder.glob(pattern))
    dtypes: set[str] = set()
    for file in files:
        try:
            dtypes |= set(_dtypes(file))
        except UnreadableModel as fault:
            faults.append(str(fault))
    if not files:
        faults.append(f"there are no weights in {folder}")
    return OnDisk(None, weights_bytes(folder), tuple(sorted(dtypes)), tuple(faults))


def _faults_of(folder: Path) -> Iterator[str]:
    """What is wrong with the configuration of a component, and which parts of its weights are missing."""
    try:
        check_not_quantized(folder, read_json(folder / "config.json"))
        parts = {part for index in folder.glob("*.safetensors.index.json") for part in read_json(index)["weight_map"].values()}
    except (ValueError, KeyError, AttributeError) as error:
        yield str(error)
        return
    yield from (f"{part} is missing in {folder}" for part in sorted(parts) if not (folder / part).is_file())
