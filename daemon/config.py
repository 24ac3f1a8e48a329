"""config.yaml -> validated, frozen settings; the only place that reads YAML, here and in the files people drop.

The defaults below and the file `config.yaml` of this repository say the same; a test holds them together.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

import yaml
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from daemon.errors import ConfigError, InputError
from daemon.resources import resource
from daemon.settings import PlainName, StageName, checked, sentence_of
from daemon.stages import STAGES

BUILTIN = "builtin"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Model(_Section):
    path: str
    dtype: Literal["float32", "float16", "bfloat16"] = "float32"


class StageOptions(_Section):
    hold: bool = False


class Limits(_Section):
    pixels: int = Field(default=4_194_304, gt=0)
    steps: int = Field(default=1000, gt=0)
    count: int = Field(default=100, gt=0)
    characters: int = Field(default=20_000, gt=0)
    file_bytes: int = Field(default=2_147_483_648, gt=0)


class Watch(_Section):
    rescan_seconds: float = Field(default=5.0, gt=0, le=3600)
    settle_seconds: float = Field(default=0.3, ge=0, le=3600)
    settle_unleased_seconds: float = Field(default=5.0, ge=0, le=3600)
    empty_grace_seconds: float = Field(default=30.0, ge=0)


class Compute(_Section):
    device: str = Field(default="cpu", pattern=r"^(cpu|mps|cuda(:\d+)?)$")
    threads: int | None = Field(default=None, ge=1, le=1024)
    idle_seconds: float = Field(default=600.0, gt=0)
    memory_gb: float = Field(default=16.0, gt=0)
    ahead: int = Field(default=2, ge=0, le=64)
    network: bool = False


class Pictures(_Section):
    png: bool = True
    tiff: bool = True

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not (self.png or self.tiff):
            raise ValueError("has neither png nor tiff, so that finished pictures would be lost: turn one of them on")
        return self


def _default_settings() -> dict[str, Any]:
    return {
        "model": "demo",
        "count": 1,
        "width": 128,
        "height": 128,
        "steps": 20,
        "guidance_scale": 4.0,
        "scheduler": "dpmpp_2m_karras",
    }


def _checked_defaults(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    try:
        return {**_default_settings(), **checked(value, "defaults").given()}
    except InputError as error:
        raise ValueError(str(error)) from error


Defaults = Annotated[dict[str, Any], BeforeValidator(_checked_defaults)]


class Config(_Section):
    """The whole of config.yaml; `folder` is where the file lies, and relative paths in it start there."""

    folder: Path = Field(default_factory=Path.cwd)
    spool: Path = Path("spool")
    models: dict[PlainName, Model] = Field(default_factory=lambda: {"demo": Model(path=BUILTIN)})
    vaes: dict[PlainName, str] = Field(default_factory=dict)
    defaults: Defaults = Field(default_factory=_default_settings)
    stages: dict[StageName, StageOptions] = Field(default_factory=lambda: {name: StageOptions() for name in STAGES})
    limits: Limits = Limits()
    watch: Watch = Watch()
    compute: Compute = Compute()
    pictures: Pictures = Pictures()
    previews: bool = True

    @property
    def spool_folder(self) -> Path:
        return (self.folder / self.spool.expanduser()).resolve()

    def holds(self, stage: str) -> bool:
        """Whether the configuration turns the review gate of a stage on."""
        return self.stages.get(stage, StageOptions()).hold

    def model(self, name: str) -> Model:
        """The model of that name. Raises InputError where the configuration has none."""
        return self.models[_chosen(name, self.models, "model")]

    def vae(self, name: str) -> str:
        """The path of the VAE of that name. Raises InputError where the configuration has none."""
        return self._located(self.vaes[_chosen(name, self.vaes, "vae")])

    def model_path(self, name: str) -> str:
        """Where a model lies: a folder that exists, or the hub id as it stands."""
        return self._located(self.model(name).path)

    def _located(self, path: str) -> str:
        if path == BUILTIN:
            return str(resource("models/demo"))
        found = self.folder / Path(path).expanduser()
        return str(found) if found.exists() or not self.compute.network else path


def _chosen(name: str, known: Mapping[str, Any], what: str) -> str:
    if name in known:
        return name
    names = ", ".join(sorted(known)) or "none"
    raise InputError(f"there is no {what} named {name!r} in config.yaml; it has: {names}")


def read_config(path: Path) -> Config:
    """Read and validate a configuration. Raises ConfigError with one sentence that names the file, the key and the way out."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigError(f"{path}: there is no such file; write one with `tiffsd init`") from None
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"{path}: cannot be read as text: {error}") from error
    try:
        values = parse_yaml(text, str(path))
        return Config.model_validate({"folder": path.absolute().parent, **values})
    except InputError as error:
        raise ConfigError(str(error)) from error
    except ValidationError as error:
        raise ConfigError(f"{path}: {sentence_of(error)}") from error


def parse_yaml(text: str, where: str) -> dict[str, Any]:
    """A YAML mapping with text keys, as plain values. Raises InputError; tags and aliases (bombs) are refused."""
    try:
        values = yaml.load(text, Loader=_PlainLoader)
    except (yaml.YAMLError, RecursionError, ValueError) as error:
        problem = " ".join(str(error).split())
        raise InputError(f"{where}: this is not valid YAML: {problem:.300} (text with a colon needs quotes)") from error
    if values is None:
        return {}
    if not isinstance(values, dict) or not all(isinstance(key, str) for key in values):
        raise InputError(f"{where}: expected lines of the form 'key: value', found {type(values).__name__}")
    return values


class _PlainLoader(yaml.SafeLoader):
    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        if self.check_event(yaml.events.AliasEvent):
            raise yaml.YAMLError("aliases (*name) are not allowed here")
        return super().compose_node(parent, index)
