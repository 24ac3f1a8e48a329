"""Models on the Hugging Face Hub: what is wanted of one is fetched when it is wanted, and then it is a folder like any other.

Without leave to use the network only what was fetched before is found."""

import functools
import logging
import re
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import HfApi, snapshot_download
from huggingface_hub.errors import HTTPError  # type: ignore[attr-defined]

from daemon.models.folders import is_tokenizer
from daemon.models.hub_ids import fetched_folder
from daemon.models.sources.fetching import in_words, logging_progress
from daemon.models.sources.folder import Folder, part_within
from daemon.models.sources.source import Config, Source, StoredComponent
from daemon.models.there import why_not_seen
from daemon.models.unreadable import UnreadableModel

logger = logging.getLogger(__name__)

# The client's own client says every request.
for library in ("httpx", "httpx2"):
    logging.getLogger(library).setLevel(logging.WARNING)

# Weights in whole precision and as safetensors first; other variants than half precision are never asked for.
_WEIGHTS = tuple(
    re.compile(rf"(diffusion_pytorch_model|pytorch_model|model){half}{part}{half_after}\.{form}(\.index\.json)?")
    for form in ("safetensors", "bin")
    for half, part, half_after in (("", r"(-\d{5}-of-\d{5})?", ""), (r"(\.fp16)?", r"(-\d{5}-of-\d{5})?", r"(\.fp16)?"))
)


def nothing_at(path: str) -> str:
    """The sentence for a path at which nothing lies."""
    if why := why_not_seen(path):
        return f"{path!r} cannot be read: {why}"
    return f"there is no such folder or file as {path!r}; correct the path in config.yaml, or allow the network for a hub id"


class Repository:
    """What the hub has under an id; a repository that has answered once is not asked again."""

    def __init__(self, id: str, network: bool) -> None:
        self.id, self._network = id, network
        self._sizes: dict[str, int] | None = None
        self._folders: dict[str, Path] = {}

    def folder(self, wanted: Callable[[Iterable[str]], list[str]], what: str) -> Path:
        """Fetch those files of all that `wanted` returns, and return the folder in which they lie as on the hub."""
        if what in self._folders:
            return self._folders[what]
        sizes = self._listed()
        if sizes is None:
            return self._fetched_before()
        names = wanted(sizes)
        whole, size = f"{what} of {self.id}", sum(sizes[name] for name in names)
        logger.debug("%s: %s in %d files on the hub, fetched unless here", whole, in_words(size), len(names))
        try:
            with logging_progress(whole, size, len(names)) as fetched:
                self._folders[what] = Path(snapshot_download(self.id, allow_patterns=names, tqdm_class=fetched.bar))
        except HTTPError as error:
            raise UnreadableModel(f"the hub did not send {what} of {self.id} ({error}); try again later") from error
        return self._folders[what]

    def _fetched_before(self) -> Path:
        folder = fetched_folder(self.id)
        if folder is None:
            unknown = f"the hub does not tell of {self.id!r}, and nothing of it was fetched before; correct the path in config.yaml"
            raise UnreadableModel(unknown if self._network else nothing_at(self.id))
        return folder

    def _listed(self) -> dict[str, int] | None:
        """All files with their sizes in bytes; None where the hub is not to be asked, or does not answer."""
        if self._sizes is None and self._network:
            try:
                said = HfApi().model_info(self.id, files_metadata=True)
            except (OSError, HTTPError) as error:
                logger.warning("the hub does not tell of %s (%s); looking for what was fetched before", self.id, error)
                return None
            self._sizes = {file.rfilename: file.size or 0 for file in said.siblings or ()}
        return self._sizes


@functools.lru_cache(maxsize=64)
def repository(id: str, *, network: bool) -> Repository:
    """The repository of an id, the same one each time."""
    return Repository(id, network)


@dataclass(frozen=True)
class Hub(Source):
    """A whole model on the hub, in diffusers layout."""

    repository: Repository

    @property
    def location(self) -> str:
        return self.repository.id

    def index(self) -> Config:
        return Folder(self.repository.folder(settings_among, "the configuration")).index()

    def has(self, name: str) -> bool:
        return name not in self.family().optional or self.index().get(name, [None])[0] is not None

    def part(self, name: str) -> StoredComponent:
        return HubPart(self.repository, name, self)


@dataclass(frozen=True)
class HubPart(StoredComponent):
    """One component on the hub, in a whole model or alone."""

    repository: Repository
    name: str
    model: Source

    def config(self) -> Config:
        return part_within(self.repository.folder(settings_among, "the configuration"), self.name, self.model).config()

    def load(self, dtype: torch.dtype) -> Any:
        folder = self.repository.folder(self._wanted, f"the {self.name}")
        return part_within(folder, self.name, self.model).load(dtype)

    def check(self) -> None:
        """What was fetched before is compared, and nothing is fetched to be."""
        folder = fetched_folder(self.repository.id)
        part = None if folder is None else part_within(folder, self.name, self.model)
        if part is not None and part.weights_bytes and (part.folder / "config.json").is_file():
            part.check()

    @property
    def identity(self) -> Hashable:
        return self.name, self.repository.id

    @property
    def location(self) -> str:
        return self.repository.id

    def _wanted(self, files: Iterable[str]) -> list[str]:
        weights = [] if is_tokenizer(self.name) else weights_among(files, self.name) or weights_among(files, "")
        return [*settings_among(files), *weights]


def settings_among(files: Iterable[str]) -> list[str]:
    """All configurations and tokenizers: small files, of which some are needed before anything is loaded."""
    small = (".json", ".txt", ".model")
    return [file for file in files if file.count("/") <= 1 and file.endswith(small) and not file.endswith(".index.json")]


def weights_among(files: Iterable[str], name: str) -> list[str]:
    """Those files of the weights of a component that are to be fetched, of all precisions and forms that are there."""
    names = [file.rpartition("/")[2] for file in files if file.rpartition("/")[0] == name]
    for pattern in _WEIGHTS:
        if found := [file for file in names if pattern.fullmatch(file)]:
            return [f"{name}/{file}" if name else file for file in found]
    return []
