"""The questions that every source of components answers."""

import importlib
from abc import ABC, abstractmethod
from collections.abc import Hashable, Mapping
from typing import Any, Self

import torch

from daemon.models.families import FAMILIES, Family
from daemon.models.unreadable import UnreadableModel

Config = Mapping[str, Any]
SCHEDULER = "scheduler"


class StoredComponent(ABC):
    """A component of a model, or its scheduler, where it is stored.

    What cannot be read raises UnreadableModel, or what the libraries raise."""

    @abstractmethod
    def config(self) -> Config:
        """Its configuration, read without its weights."""

    @abstractmethod
    def load(self, dtype: torch.dtype) -> Any:
        """It with its weights in `dtype` on the CPU, ready to run."""

    def as_of(self, version: str | None) -> Self:
        """It with the configuration that an earlier version of tiffsd had for it, where that was another; None is this version."""
        del version
        return self

    @abstractmethod
    def check(self) -> None:
        """Raise UnreadableModel where its weights do not fit its configuration, without reading one of them."""

    @property
    @abstractmethod
    def identity(self) -> Hashable:
        """What two parts have in common that are the same one."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Where it lies, for a sentence."""

    @property
    def weights_bytes(self) -> int:
        """How many bytes of weights it has on the disk; 0 where that is not known."""
        return 0


class Source(ABC):
    """What a model is made of."""

    @property
    @abstractmethod
    def location(self) -> str:
        """Where the model lies, for a sentence."""

    @abstractmethod
    def index(self) -> Config:
        """The `model_index.json`: the class of the pipeline, and options of it."""

    @abstractmethod
    def has(self, name: str) -> bool:
        """Whether the model has such a component; one that is missing by mistake counts, for `StoredComponent.load` says so."""

    @abstractmethod
    def part(self, name: str) -> StoredComponent:
        """The component of this name, or the scheduler."""

    def family(self) -> Family:
        """The family that the index names. Raises UnreadableModel where it is none of FAMILIES."""
        name = self.index()["_class_name"]
        if name not in FAMILIES:
            raise UnreadableModel(f"it is a {name}, which is not supported; supported are {', '.join(FAMILIES)}")
        return FAMILIES[name]

    def component_class(self, name: str) -> Any:
        """The class of diffusers or transformers that a component is."""
        library, class_name = self.family().components[name]
        return getattr(importlib.import_module(library), class_name)
