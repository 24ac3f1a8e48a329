"""Models of the real size without memory for their weights, and files of them with holes in the place of those."""

import functools
import importlib
import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch

from daemon.models.checkpoints.kinds import CONFIGS
from daemon.models.families import FAMILIES


@functools.cache
def parts_of(configs: str) -> SimpleNamespace:
    """All components with weights of a shipped kind of model; None where it has none of that name."""
    index = json.loads((CONFIGS / configs / "model_index.json").read_text())
    parts: dict[str, Any] = {}
    for name, (library, _) in ((name, said) for name, said in index.items() if isinstance(said, list)):
        config = CONFIGS / configs / name / "config.json"
        parts[name] = _empty(index["_class_name"], name, json.loads(config.read_text())) if library and config.is_file() else None
    return SimpleNamespace(**parts)


def _empty(pipeline: str, name: str, config: Mapping[str, Any]) -> Any:
    library, class_name = FAMILIES[pipeline].components[name]
    cls = getattr(importlib.import_module(library), class_name)
    with torch.device("meta"):
        return cls(cls.config_class.from_dict(dict(config))) if hasattr(cls, "config_class") else cls.from_config(config)


def write_holes(weights: Mapping[str, torch.Tensor], path: Path) -> dict[str, int]:
    """Write a safetensors file of float16 whose weights take no place on the disk; return where each belongs, in bytes."""
    header, end = {}, 0
    for name, weight in weights.items():
        size = weight.numel() * 2
        header[name] = {"dtype": "F16", "shape": list(weight.shape), "data_offsets": [end, end + size]}
        end += size
    text = json.dumps(header).encode()
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)
    return {name: 8 + len(text) + said["data_offsets"][0] for name, said in header.items()}
