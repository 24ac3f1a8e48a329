"""Folders in diffusers layout: of a whole model, or of one component. They are read each time anew, because people change them."""

from collections.abc import Hashable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from daemon.models.checkpoints.reading import check_folder
from daemon.models.folders import INDEX, check_not_quantized, is_tokenizer, left_out, read_json, variant_of, weights_bytes
from daemon.models.sources.source import SCHEDULER, Config, Source, StoredComponent
from daemon.models.unreadable import UnreadableModel


@dataclass(frozen=True)
class FolderPart(StoredComponent):
    """A folder of one component; `model` says of what class it is."""

    folder: Path
    name: str
    model: Source

    def config(self) -> Config:
        return read_json(self.folder / ("scheduler_config.json" if self.name == SCHEDULER else "config.json"))

    def load(self, dtype: torch.dtype) -> Any:
        if not self.folder.is_dir():
            raise UnreadableModel(f"there is no folder {self.folder}")
        cls = self.model.component_class(self.name)
        if is_tokenizer(self.name):
            return cls.from_pretrained(self.folder, local_files_only=True)
        check_not_quantized(self.folder, self.config())
        kind = {"dtype" if cls.__module__.startswith("transformers") else "torch_dtype": dtype}
        return cls.from_pretrained(self.folder, local_files_only=True, variant=variant_of(self.folder), **kind).eval()

    def check(self) -> None:
        check_folder(self.folder, self.name, self.model.component_class(self.name), self.config())

    @property
    def identity(self) -> Hashable:
        return str(self.folder)

    @property
    def location(self) -> str:
        return str(self.folder)

    @property
    def weights_bytes(self) -> int:
        return weights_bytes(self.folder)


@dataclass(frozen=True)
class Folder(Source):
    """A folder with a subfolder for each component."""

    path: Path

    @property
    def location(self) -> str:
        return str(self.path)

    def index(self) -> Config:
        return read_json(self.path / INDEX)

    def has(self, name: str) -> bool:
        return not left_out(self.path, name, self.index(), self.family())

    def part(self, name: str) -> StoredComponent:
        return FolderPart(self.path / name, name, self)


def part_within(path: Path, name: str, model: Source) -> FolderPart:
    """The part in a folder that is of a whole model, with a subfolder of that name, or of the part alone."""
    within = path / name
    return FolderPart(within if within.is_dir() else path, name, model)
