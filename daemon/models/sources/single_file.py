"""Single files under the names of an original release: of a whole model, or of one component.

What such a file does not say, the configurations and the vocabulary of CLIP, is shipped with this package."""

from collections.abc import Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Self

import torch

from daemon.models import lacking
from daemon.models.checkpoints.kinds import CONFIGS, FileKind, config_from_weights, kind_of
from daemon.models.checkpoints.layouts import bytes_of
from daemon.models.checkpoints.reading import check_component, read_component
from daemon.models.checkpoints.tensors import index_of
from daemon.models.checkpoints.vocabulary import clip_tokenizer
from daemon.models.families import FAMILIES
from daemon.models.families.family import T5, T5_TOKENIZER
from daemon.models.folders import INDEX, describes, encoder_of_tokenizer, is_tokenizer, read_json
from daemon.models.sources.folder import Folder, FolderPart
from daemon.models.sources.source import SCHEDULER, Config, Source, StoredComponent
from daemon.models.unreadable import UnreadableModel


@dataclass(frozen=True)
class SingleFile(Source):
    """A file of a whole model, or of its denoiser at least; the configurations in the folder `configs` count before the shipped."""

    path: Path
    configs: Path | None = None

    @property
    def kind(self) -> FileKind:
        """What model the file is."""
        return kind_of(self.path)

    @property
    def location(self) -> str:
        return str(self.path)

    @property
    def config_folder(self) -> Path | None:
        """The folder of configurations, unless it is of another pipeline of the family, as the base model's is for a refiner.

        Raises UnreadableModel where it is of another family."""
        if self.configs is None or not (self.configs / INDEX).is_file():
            return self.configs
        shipped, theirs = self.kind.read(INDEX)["_class_name"], Folder(self.configs)
        if FAMILIES[shipped] != theirs.family():
            own = FAMILIES[shipped].name
            raise UnreadableModel(f"{self.path} is of {own}, and {self.configs}, which `parts` names, of {theirs.family().name}")
        return self.configs if theirs.index()["_class_name"] == shipped else None

    def index(self) -> Config:
        folder = self.config_folder
        return self.kind.read(INDEX) if folder is None or not (folder / INDEX).is_file() else read_json(folder / INDEX)

    def has(self, name: str) -> bool:
        if self.index().get(name, [None])[0] is None:
            return False
        # Stable Diffusion 3 can do without a T5; any other text encoder that is missing is missed.
        spared = name in self.family().optional and self.family().components[name] in (T5, T5_TOKENIZER)
        return not spared or encoder_of_tokenizer(name) in self.kind.components

    def part(self, name: str) -> StoredComponent:
        return PartOfFile(self, name)

    def holds(self, name: str) -> bool:
        """Whether the component is in the file, or in this package."""
        if is_tokenizer(name):
            return self.family().components[name] != T5_TOKENIZER
        return name in self.kind.components


@dataclass(frozen=True)
class PartOfFile(StoredComponent):
    """A component in the file of a whole model."""

    model: SingleFile
    name: str
    version: str | None = None

    def as_of(self, version: str | None) -> Self:
        return replace(self, version=version)

    def config(self) -> Config:
        """What the weights say of their configuration counts before all."""
        kind, folder = self.model.kind, self.model.config_folder
        said = kind.marks if self.name == SCHEDULER else kind.sizes.get(self.name, {})
        if folder is not None and describes(folder, self.name):
            return {**FolderPart(folder / self.name, self.name, self.model).config(), **said}
        return {**kind.read(self._shipped()), **said}

    def _shipped(self) -> str:
        """The name of the configuration in this package: that of an earlier version, where it shipped another."""
        stem = f"{self.name}/{'scheduler_config' if self.name == SCHEDULER else 'config'}"
        earlier = f"{stem}-{self.version}.json"
        return earlier if self.version and (CONFIGS / self.model.kind.configs / earlier).is_file() else f"{stem}.json"

    def load(self, dtype: torch.dtype) -> Any:
        if is_tokenizer(self.name):
            return self._tokenizer(dtype)
        if not self.model.holds(self.name):
            raise UnreadableModel(lacking.component(self.model.path, self.name, self.model.family()))
        return read_component(self.model.path, self.name, self.model.component_class(self.name), self.config(), dtype)

    def check(self) -> None:
        if self.model.holds(self.name):
            check_component(self.model.path, self.name, self.model.component_class(self.name), self.config())

    @property
    def identity(self) -> Hashable:
        return self.name, str(self.model.path), None if self.model.configs is None else str(self.model.configs)

    @property
    def location(self) -> str:
        return self.model.location

    @property
    def weights_bytes(self) -> int:
        return 0 if is_tokenizer(self.name) else bytes_of(self.name, index_of(self.model.path))

    def _tokenizer(self, dtype: torch.dtype) -> Any:
        folder = self.model.config_folder
        if folder is not None and describes(folder, self.name):
            return FolderPart(folder / self.name, self.name, self.model).load(dtype)
        if not self.model.holds(self.name):
            raise UnreadableModel(lacking.vocabulary(self.model.path, self.name, self.model.family()))
        return clip_tokenizer(self.model.kind.read(f"{self.name}/tokenizer_config.json"))


@dataclass(frozen=True)
class FilePart(StoredComponent):
    """A file of one component, configured as `model` says."""

    path: Path
    name: str
    model: Source

    def config(self) -> Config:
        return {**self.model.part(self.name).config(), **config_from_weights(self.name, index_of(self.path))}

    def load(self, dtype: torch.dtype) -> Any:
        if is_tokenizer(self.name):
            raise UnreadableModel(
                f"{self.path} is a file, and the {self.name} is to be a folder, with a tokenizer.json or spiece.model"
            )
        return read_component(self.path, self.name, self.model.component_class(self.name), self.config(), dtype)

    def check(self) -> None:
        check_component(self.path, self.name, self.model.component_class(self.name), self.config())

    @property
    def identity(self) -> Hashable:
        return self.name, str(self.path)

    @property
    def location(self) -> str:
        return str(self.path)

    @property
    def weights_bytes(self) -> int:
        return bytes_of(self.name, index_of(self.path))
