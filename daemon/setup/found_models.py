"""What models lie in a folder, told from the headers of their files as they are told when they are used: nothing is loaded."""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from daemon.errors import InputError
from daemon.models.adapters.loras import matrices_of
from daemon.models.adapters.shelf import SUFFIXES as OF_ADAPTERS
from daemon.models.checkpoints.other_files import is_textual_inversion
from daemon.models.checkpoints.tensors import index_of
from daemon.models.described import Described
from daemon.models.families import FAMILIES, Family
from daemon.models.folders import INDEX
from daemon.models.on_disk import OnDisk, examined, examined_vae
from daemon.models.unreadable import UnreadableModel
from daemon.setup.model_places import HUB, folders_below

Kind = Literal["model", "vae", "lora", "textual inversion"]
SUFFIXES = (".safetensors", ".ckpt", ".gguf", ".pt", ".pth", ".bin")
SHELVES = {"lora", "loras", "lycoris", "embedding", "embeddings", "textual_inversion", "textual_inversions"}
"""What folders of adapters are called."""
FEW_STEPS, MANY_STEPS = 4, 28  # of Flux: schnell, and dev


@dataclass(frozen=True)
class Found:
    """A model, VAE or adapter; `options` are what config.yaml is to say of a model besides its path, `words` what it is."""

    kind: Kind
    name: str
    path: Path
    words: str
    options: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Passed:
    """A file or folder that is none of them, or cannot be used as it lies there, with the reason as words."""

    path: Path
    why: str


def found_below(tops: Iterable[Path]) -> Iterator[Found | Passed]:
    """What lies in these folders, each file once."""
    seen: set[Path] = set()
    for top in tops:
        for folder, names, whole in folders_below(top, _is_one):
            paths = [folder] if whole else [folder / name for name in names if name.lower().endswith(SUFFIXES)]
            for path in paths:
                if (whole or path.is_file()) and (real := path.resolve()) not in seen:
                    seen.add(real)
                    yield _told(path, whole=whole)


def shelf_of(path: Path, top: Path) -> Path:
    """The folder of adapters that a file lies in: the highest that is called like one, else its own."""
    above = [folder for folder in path.parents if folder.is_relative_to(top) and folder.name.lower() in SHELVES]
    return above[-1] if above else path.parent


def _told(path: Path, *, whole: bool) -> Found | Passed:
    try:
        str(path).encode()
        return _of_folder(path) if whole else _of_file(path)
    except UnicodeEncodeError:
        return Passed(path, "its path is no UTF-8, and so cannot stand in config.yaml; rename it")
    except (UnreadableModel, OSError, KeyError, TypeError, ValueError) as fault:
        return Passed(path, _short(path, str(fault)))


def _of_folder(path: Path) -> Found | Passed:
    name = _name_of(path)
    if not (path / INDEX).is_file():
        return _judged(examined_vae(path), path, Found("vae", name, path, "VAE"))
    found = examined(path)
    return Passed(path, _short(path, found.faults[0])) if found.faults else _model(path, name, found)


def _of_file(path: Path) -> Found | Passed:
    model = examined(path)
    if model.family is not None:
        return Passed(path, _short(path, model.faults[0])) if model.faults else _model(path, path.stem, model)
    vae = examined_vae(path)
    if not vae.faults:
        return Found("vae", path.stem, path, f"VAE, {_size(vae)}")
    if path.suffix.lower() in OF_ADAPTERS:
        if is_textual_inversion(index_of(path)):
            return Found("textual inversion", path.stem, path, "textual inversion")
        try:
            matrices_of(path.stem, path)
            return Found("lora", path.stem, path, "LoRA")
        except InputError:
            pass
    return Passed(path, _short(path, model.faults[0]))


def _judged(on_disk: OnDisk, path: Path, found: Found) -> Found | Passed:
    return Passed(path, _short(path, on_disk.faults[0])) if on_disk.faults else found


def _model(path: Path, name: str, on_disk: OnDisk) -> Found:
    described = Described({"name": name, "path": str(path), "dtype": "float32"})
    family = described.family
    denoiser = described.config(family.denoiser)
    return Found("model", name, path, f"{family.name}, {_size(on_disk)}", _options(described, family, denoiser))


def _options(described: Described, family: Family, denoiser: Mapping[str, Any]) -> dict[str, Any]:
    """The size that it was trained for, and what a model of flow matching needs: config.yaml has what suits the embedded one."""
    side = denoiser.get("sample_size") or family.native
    height, width = side if isinstance(side, list) else (side, side)
    factor = 2 ** (len(described.config("vae").get("block_out_channels", [0] * 4)) - 1)
    defaults = {"width": width * factor, "height": height * factor}
    if family is not FAMILIES["FluxPipeline"]:
        return {**({"dtype": "bfloat16"} if family.flow else {}), "defaults": defaults}
    steps = MANY_STEPS if denoiser.get("guidance_embeds") else FEW_STEPS
    return {"dtype": "bfloat16", "defaults": {**defaults, "steps": steps}}


def _is_one(folder: Path, names: list[str]) -> bool:
    """Whether a folder is a model in diffusers layout, or a VAE of one."""
    if INDEX in names:
        return True
    if "config.json" not in names:
        return False
    try:
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return isinstance(said, dict) and said.get("_class_name") == "AutoencoderKL"


def _name_of(folder: Path) -> str:
    """What a folder is called: in the hub's cache by its repository."""
    repository = next((above.name for above in folder.parents if above.name.startswith(HUB)), None)
    return repository.rpartition("--")[2] if repository else folder.name


def _size(found: OnDisk) -> str:
    return f"{found.size_bytes / 1e9:.2f} GB {', '.join(found.dtypes)}"


def _short(path: Path, fault: str) -> str:
    """A sentence on a file without its path, which stands before it, nor the list of all that would do."""
    return fault.removeprefix(f"{path} is ").removeprefix(f"{path} ").partition("; supported are")[0]
