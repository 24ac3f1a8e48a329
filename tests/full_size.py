"""Models of the real size without memory for their weights, and files of them with holes in the place of those."""

import functools
import importlib
import json
import struct
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

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


HEADER_TYPES = {
    **{torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16", torch.int64: "I64"},
    **{torch.float8_e4m3fn: "F8_E4M3", torch.int8: "I8", torch.uint8: "U8"},
}


def write_sparse(weights: Mapping[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file of tensors as they are typed: those on the meta device are holes, the others are written out."""
    header: dict[str, Any] = {}
    end = 0
    for name, weight in weights.items():
        size = weight.numel() * weight.element_size()
        header[name] = {
            "dtype": HEADER_TYPES[weight.dtype],
            "shape": list(weight.shape),
            "data_offsets": [end, end + size],
        }
        end += size
    text = json.dumps(header).encode()
    start = 8 + len(text)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(start + end)
        for name, weight in weights.items():
            if not weight.is_meta:
                file.seek(start + header[name]["data_offsets"][0])
                file.write(weight.contiguous().view(-1).view(torch.uint8).numpy().tobytes())


def write_sparse_gguf(weights: Mapping[str, torch.Tensor], path: Path, form: str) -> None:
    """Write a GGUF file with holes in the place of all numbers: matrices whose rows fill blocks in a form, all else in float32."""
    header = b"GGUF" + struct.pack("<IQQ", 3, len(weights), 0)
    end = 0
    for name, weight in weights.items():
        kind = GGMLQuantizationType[form if weight.ndim == 2 and weight.shape[1] % 256 == 0 else "F32"]
        numbers, size = GGML_QUANT_SIZES[kind]
        sides = (*reversed(weight.shape),)
        header += struct.pack("<Q", len(name)) + name.encode() + struct.pack(f"<I{len(sides)}Q", len(sides), *sides)
        header += struct.pack("<IQ", kind, end)
        end += -(-weight.numel() // numbers * size // 32) * 32
    with path.open("wb") as file:
        file.write(header)
        file.truncate(-(-len(header) // 32) * 32 + end)
