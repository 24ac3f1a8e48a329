"""Where the components of a model come from: a folder in diffusers layout, a single file, the hub, or several of these put together.

Each answers the same few questions, so that nobody else has to ask in which form a model lies there."""

import importlib
import json
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import diffusers
import torch

from daemon.models.checkpoints.kinds import Kind, kind_of
from daemon.models.checkpoints.layouts import Incomplete, bytes_of
from daemon.models.checkpoints.reading import read_component
from daemon.models.checkpoints.tensors import index_of
from daemon.models.checkpoints.vocabulary import clip_tokenizer
from daemon.models.families import FAMILIES, Family
from daemon.models.on_disk import INDEX, left_out, variant_of, weights_bytes

Config = Mapping[str, Any]
SCHEDULER = "scheduler"


class Unreadable(ValueError):
    """A model, or a component of it, that cannot be used as it lies there; the text is the end of a sentence."""


class Source(ABC):
    """What a model is made of."""

    @abstractmethod
    def index(self) -> Config:
        """The `model_index.json`: the class of the pipeline, and options of it."""

    @abstractmethod
    def config(self, name: str) -> Config:
        """The configuration of a component or of the scheduler."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether there is such a component."""

    @abstractmethod
    def load(self, name: str, dtype: torch.dtype) -> Any:
        """A component with its weights in `dtype` on the CPU, ready to run. Raises OSError, ValueError, KeyError, ..."""

    @abstractmethod
    def identity(self, name: str) -> Hashable:
        """What two components have in common that are the same one."""

    def weights_bytes(self, name: str) -> int:
        """How many bytes of weights a component has on the disk; 0 where that is not known."""
        del name
        return 0

    def family(self) -> Family:
        """The family that the index names. Raises Unreadable where it is none of FAMILIES."""
        name = self.index()["_class_name"]
        if name not in FAMILIES:
            raise Unreadable(f"it is a {name}, which is not supported; supported are {', '.join(FAMILIES)}")
        return FAMILIES[name]

    def component_class(self, name: str) -> Any:
        library, class_name = self.family().components[name]
        return getattr(importlib.import_module(library), class_name)


def is_tokenizer(name: str) -> bool:
    return name.startswith("tokenizer")


@dataclass(frozen=True)
class Folder(Source):
    """A folder in diffusers layout, read again each time because people change it."""

    path: Path

    def index(self) -> Config:
        return self._read(INDEX)

    def config(self, name: str) -> Config:
        return self._read(f"{name}/scheduler_config.json" if name == SCHEDULER else f"{name}/config.json")

    def has(self, name: str) -> bool:
        return not left_out(self.path, name, self.index(), self.family())

    def load(self, name: str, dtype: torch.dtype) -> Any:
        return from_folder(self.path / name, self.component_class(name), dtype)

    def identity(self, name: str) -> Hashable:
        return str(self.path), name

    def weights_bytes(self, name: str) -> int:
        return weights_bytes(self.path / name)

    def _read(self, name: str) -> Config:
        return read_json(self.path / name)
