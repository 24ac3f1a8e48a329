"""The configurations of a model as they lie on disk, for who asks what it takes without loading it; torch is not needed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.errors import in_words
from daemon.models.checkpoints.kinds import kind_of
from daemon.models.families import FAMILIES, Family
from daemon.models.folders import INDEX, read_json
from daemon.models.stage_settings import ModelSettings
from daemon.models.there import is_file
from daemon.models.unreadable import UnreadableModel


class Described:
    """A model by its settings: a folder in diffusers layout, or a single file. Raises UnreadableModel where nothing tells."""

    def __init__(self, model: ModelSettings) -> None:
        self._path, self._parts, self._vae = Path(model["path"]), model.get("parts"), model.get("vae")
        self.index = self._read(INDEX)
        name = str(self.index.get("_class_name"))
        if name not in FAMILIES:
            raise UnreadableModel(f"{name} is no family that is known")
        self.family: Family = FAMILIES[name]

    def config(self, component: str) -> Mapping[str, Any]:
        """The configuration of a component; that of another place than the model's own is not looked for."""
        if self._parts or (component == "vae" and self._vae):
            raise UnreadableModel(f"{component} may come from elsewhere")
        return self._read(f"{component}/config.json")

    def _read(self, name: str) -> Mapping[str, Any]:
        if is_file(self._path):
            try:
                return kind_of(self._path).read(name)
            except OSError as error:
                raise UnreadableModel(f"{name} of {self._path} cannot be read ({in_words(error)})") from error
        return read_json(self._path / name)
