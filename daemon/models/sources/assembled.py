"""A model put together from several sources: a folder, a file or the hub, a separate VAE, and what else the configuration names."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from daemon.models.checkpoints.kinds import CONFIGS, configs_of_vae
from daemon.models.folders import encoder_of_tokenizer, holds
from daemon.models.hub_ids import is_hub_id
from daemon.models.sources.folder import Folder, FolderPart, part_within
from daemon.models.sources.hub import Hub, HubPart, nothing_at, repository
from daemon.models.sources.single_file import FilePart, SingleFile
from daemon.models.sources.source import Config, Source, StoredComponent
from daemon.models.there import is_file, is_folder
from daemon.models.unreadable import UnreadableModel

Parts = str | Mapping[str, str | None]


def source_of(path: str, *, parts: Parts | None = None, vae: str | None = None, network: bool = False) -> Source:
    """Return the source of a model at `path`: a folder, a file, or a hub id, which is asked for only if `network` is true.

    `parts` is a folder in diffusers layout for what the model lacks, or the places of single components (None: the model is to do
    without it); `vae` replaces the model's own. Raises UnreadableModel where there is nothing at a path."""
    behind = Path(parts) if isinstance(parts, str) else None
    if behind is not None and not is_folder(behind):
        raise UnreadableModel(f"there is no folder {behind}, which config.yaml names under `parts`")
    main = _model_at(path, behind, network)
    named = {} if parts is None or isinstance(parts, str) else dict(parts)
    if vae is not None:
        named["vae"] = vae
    instead = {name: None if place is None else _part_at(place, name, main, network) for name, place in named.items()}
    return Assembled(main, instead, behind) if instead or behind else main


def separate_vae(path: str) -> StoredComponent:
    """A VAE that belongs to no one model: a folder, a file or what was fetched of a hub id.

    A file is configured as the shipped VAEs with as many channels are."""
    # A folder says itself how it is configured, and of the kind counts no more than the class.
    kind = configs_of_vae(Path(path)) if is_file(path) else "stable-diffusion-1"
    return _part_at(path, "vae", Folder(CONFIGS / kind), network=False)


def _model_at(path: str, behind: Path | None, network: bool) -> Source:
    if is_folder(path):
        return Folder(Path(path))
    if is_file(path):
        return SingleFile(Path(path), behind)
    if is_hub_id(path):
        return Hub(repository(path, network=network))
    raise UnreadableModel(nothing_at(path))


def _part_at(path: str, name: str, model: Source, network: bool) -> StoredComponent:
    if is_folder(path):
        return part_within(Path(path), name, model)
    if is_file(path):
        return FilePart(Path(path), name, model)
    if is_hub_id(path):
        return HubPart(repository(path, network=network), name, model)
    raise UnreadableModel(f"its {name} is missing, for {nothing_at(path)}")


@dataclass(frozen=True)
class Assembled(Source):
    """`main`, but the components of `instead` come from elsewhere (None: left out), and what it lacks from the folder `behind`."""

    main: Source
    instead: Mapping[str, StoredComponent | None] = field(default_factory=dict)
    behind: Path | None = None

    @property
    def location(self) -> str:
        return self.main.location

    def index(self) -> Config:
        return self.main.index()

    def has(self, name: str) -> bool:
        encoder = encoder_of_tokenizer(name)
        if encoder in self.instead:
            return self.instead[encoder] is not None
        return self.main.has(name) or self._part_behind(encoder) is not None

    def part(self, name: str) -> StoredComponent:
        return self.instead.get(name) or self._part_behind(name) or self.main.part(name)

    def _part_behind(self, name: str) -> StoredComponent | None:
        """The part in the folder behind the model, where that has what the model lacks."""
        if self.behind is None or not self._lacks(name) or not holds(self.behind, name):
            return None
        return FolderPart(self.behind / name, name, self.main)

    def _lacks(self, name: str) -> bool:
        if isinstance(self.main, SingleFile):
            return self.main.index().get(name, [None])[0] is not None and not self.main.holds(name)
        return isinstance(self.main, Folder) and not holds(self.main.path, name)
