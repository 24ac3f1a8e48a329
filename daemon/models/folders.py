"""Folders in diffusers layout: what is where in them, without loading anything; torch is not needed."""

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.errors import in_words
from daemon.models.checkpoints.scales import WAY_OUT
from daemon.models.families import Family
from daemon.models.unreadable import UnreadableModel

WEIGHTS = ("*.safetensors", "*.bin")
INDEX = "model_index.json"
_PART = re.compile(r"-\d{5}-of-\d{5}")


def is_tokenizer(name: str) -> bool:
    """Whether a component is a tokenizer, which has no weights."""
    return name.startswith("tokenizer")


def encoder_of_tokenizer(name: str) -> str:
    """The text encoder that belongs to a tokenizer; any other component belongs to itself."""
    return name.replace("tokenizer", "text_encoder")


def describes(path: Path, name: str) -> bool:
    """Whether a folder in diffusers layout has the configuration of such a component, or its tokenizer."""
    return any((path / name).glob("*.json" if is_tokenizer(name) else "*config.json"))


def holds(path: Path, name: str) -> bool:
    """Whether a folder in diffusers layout has such a component, with its weights."""
    return describes(path, name) and (is_tokenizer(name) or weights_bytes(path / name) > 0)


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


def check_not_quantized(folder: Path, config: Mapping[str, Any]) -> None:
    """Raise UnreadableModel where the weights of a folder with this configuration are quantized: both libraries would need another
    library to read them, a GPU, and layers of its own."""
    said = config.get("quantization_config")
    if said:
        method = said.get("quant_method", "an unknown form") if isinstance(said, Mapping) else "an unknown form"
        raise UnreadableModel(f"{folder} is quantized as {method}, which cannot be run; {WAY_OUT}")


def read_json(path: Path) -> Mapping[str, Any]:
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise UnreadableModel(f"there is no {path.name} in {path.parent}") from None
    except (OSError, UnicodeDecodeError, json.JSONDecodeError) as error:
        raise UnreadableModel(f"{path} cannot be read ({in_words(error)})") from error
    if not isinstance(values, dict):
        raise UnreadableModel(f"{path} holds no settings")
    return values
