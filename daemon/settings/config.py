"""config.yaml -> validated, frozen settings.

The defaults below and the file `config.yaml` of this repository say the same; a test holds them together.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Discriminator, Field, Tag, ValidationError, model_validator

from daemon.compute.addresses import LOCAL, SCHEME, check_place
from daemon.errors import ConfigError, InputError
from daemon.models.adapters.shelf import adapter_path, shelved
from daemon.models.hub_ids import is_hub_id
from daemon.models.schedulers import AUTOMATIC
from daemon.models.there import is_there
from daemon.names import portable
from daemon.settings.checking import checked, layered
from daemon.settings.faults import SETTINGS, Fault, faults_of
from daemon.settings.plain_yaml import folder_beside, read_with_lines
from daemon.settings.resources import resource
from daemon.settings.values import MOST_URGENT, PlainName, StageName
from daemon.stages import STAGES

BUILTIN = "builtin"
FOLDER = "folder"  # of the file itself
SPARED = "text_encoder_3"
"""The one component that a model can be told to do without: the T5 of Stable Diffusion 3."""


Command = Annotated[list[Annotated[str, Field(min_length=1)]], Field(min_length=1)]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


def _known_device(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"cpu|mps|cuda(:\d+)?", value):
        return value
    raise ValueError("must be cpu, cuda, cuda:0 (or another number), or mps")


Device = Annotated[str, BeforeValidator(_known_device)]
Dtype = Literal["float32", "float16", "bfloat16"]


def _checked_settings(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    try:
        return checked(value, SETTINGS).given()
    except InputError as error:
        raise ValueError(str(error)) from error


def _known_components(value: Any) -> Any:
    if not isinstance(value, Mapping):
        return value
    # Only here, because it needs numpy, and all commands read a configuration.
    from daemon.models.families import FAMILIES

    known = sorted({name for family in FAMILIES.values() for name in family.components})
    for name, place in value.items():
        if name not in known:
            raise ValueError(f"names {name!r}, which is no component of a model: use {', '.join(known)}")
        if place is None and name != SPARED:
            raise ValueError(f"leaves {name!r} out, which no model can do without; only {SPARED} may be null")
    return value


def _form(*words: int | str, quality: bool = False) -> BeforeValidator:
    """Accept true, false, one of the words and, where `quality` says so, a whole number from 1 to 100."""

    def check(value: Any) -> Any:
        if isinstance(value, bool) or value in words or (quality and isinstance(value, int) and 1 <= value <= 100):
            return value
        known = ["true", "false", *map(str, words), *["a quality from 1 to 100"] * quality]
        raise ValueError(f"is none of {', '.join(known)}")

    return BeforeValidator(check)


PngForm = Annotated[bool | Literal[8, 16], _form(8, 16)]
TiffForm = Annotated[bool | Literal["float32", "float16"], _form("float32", "float16")]
JpegForm = Annotated[bool | int, _form(quality=True)]
WebpForm = Annotated[bool | int | Literal["lossless"], _form("lossless", quality=True)]


def _enabled(value: Any) -> Any:
    return {"enabled": value} if isinstance(value, bool) else value


class ModelOptions(_Section):
    path: str
    dtype: Dtype = "float32"
    prediction_type: Literal["epsilon", "v_prediction"] | None = None
    parts: Annotated[str | dict[str, str | None] | None, BeforeValidator(_known_components)] = None
    defaults: Annotated[dict[str, Any], BeforeValidator(_checked_settings)] = Field(default_factory=dict)


class Adapters(_Section):
    loras: Path | None = None
    textual_inversions: Path | None = None


class StageOptions(_Section):
    hold: bool = False
    device: Device | None = None
    dtype: Dtype | None = None
    settle_seconds: float | None = Field(default=None, ge=0, le=3600)


class Limits(_Section):
    pixels: int = Field(default=4_194_304, gt=0)
    steps: int = Field(default=1000, gt=0)
    count: int = Field(default=100, gt=0)
    characters: int = Field(default=20_000, gt=0)
    file_bytes: int = Field(default=2_147_483_648, gt=0)
    priority: int = Field(default=MOST_URGENT, ge=0, le=MOST_URGENT)
    job_minutes: float | None = Field(default=None, gt=0)

    @property
    def job_seconds(self) -> float | None:
        """For how long a job may compute; None is for as long as it needs."""
        return None if self.job_minutes is None else self.job_minutes * 60


class Watch(_Section):
    rescan_seconds: float = Field(default=5.0, gt=0, le=3600)
    settle_seconds: float = Field(default=0.3, ge=0, le=3600)
    settle_unleased_seconds: float = Field(default=5.0, ge=0, le=3600)
    empty_grace_seconds: float = Field(default=30.0, ge=0)
    empty_grace_unleased_seconds: float = Field(default=120.0, ge=0)
    same_drop_minutes: float = Field(default=10.0, ge=0)
    pair_patience_hours: float = Field(default=168.0, gt=0)


def _known_place(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError("must be local, or an address like ssh://user@gpu-box")
    return check_place(value)


def _not_bare(value: Any) -> Any:
    if isinstance(value, str) and (value.startswith(SCHEME) or value == LOCAL):
        raise ValueError(f"must be a list where it names places: [{value}]")
    return value


MOST_WORKERS = 64
Place = Annotated[str, BeforeValidator(_known_place)]
Number = Annotated[Annotated[int, Field(ge=1, le=MOST_WORKERS)] | Literal["auto"], BeforeValidator(_not_bare)]
Places = Annotated[list[Place], Field(min_length=1, max_length=MOST_WORKERS)]
# One kind or the other by what was said, so that what is wrong is said of that one.
Workers = Annotated[
    Annotated[Number, Tag("number")] | Annotated[Places, Tag("places")],
    Discriminator(lambda value: "places" if isinstance(value, list) else "number"),
]


RayAddress = Annotated[str, Field(pattern=r"^(auto|(ray://)?[A-Za-z0-9._:\[\]-]+:[0-9]{1,5})$")]


class Compute(_Section):
    device: Device = "cpu"
    engine: Literal["local", "ray"] = "local"
    workers: Workers = 1
    ssh_config: Path | None = None
    ssh_command: Command | None = None
    ray_address: RayAddress = "auto"
    ray_config: str | None = None
    threads: int | None = Field(default=None, ge=1, le=1024)
    batch: int = Field(default=8, ge=1, le=256)
    compile: bool = False
    idle_seconds: float = Field(default=600.0, gt=0)
    memory_gb: float | None = Field(default=None, gt=0)
    picture_memory_gb: float = Field(default=8.0, gt=0)
    scratch: str = "/var/tmp"
    ahead: int = Field(default=2, ge=0, le=64)
    network: bool = False
    fetch_gb: float = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _actors_are_counted(self) -> Self:
        if self.engine == "ray" and not isinstance(self.workers, int):
            raise ValueError("has engine: ray, and no number as workers: write how many actors the cluster is asked for")
        return self


class Pictures(_Section):
    png: PngForm = True
    tiff: TiffForm = True
    jpeg: JpegForm = False
    webp: WebpForm = False

    @model_validator(mode="after")
    def _at_least_one(self) -> Self:
        if not (self.png or self.tiff or self.jpeg or self.webp):
            raise ValueError("has none of png, tiff, jpeg and webp, so that finished pictures would be lost: turn one of them on")
        return self

    def all_on(self) -> "Pictures":
        """Each form as it is configured, and where it is not, as it is by default."""
        return Pictures(**{form: getattr(self, form) or True for form in type(self).model_fields})


class Previews(_Section):
    enabled: bool = True
    every: int | None = Field(default=None, ge=1)


class Proofs(_Section):
    when: Literal["hold", "never"] = "hold"
    start_worker: bool = True


class HookOptions(_Section):
    done: Command | None = None
    failed: Command | None = None
    review: Command | None = None
    seconds: float = Field(default=60.0, gt=0, le=3600)

    def command(self, event: str) -> list[str] | None:
        """The program and its arguments for an event, or None where nobody asked for one."""
        command: list[str] | None = getattr(self, event)
        return command


class RetentionLimit(_Section):
    days: float | None = Field(default=None, gt=0)
    gb: float | None = Field(default=None, gt=0)


class RetentionLimits(_Section):
    done: RetentionLimit = RetentionLimit(days=90, gb=20)
    failed: RetentionLimit = RetentionLimit(days=180)
    previews: RetentionLimit = RetentionLimit(days=30, gb=2)
    steps: RetentionLimit = RetentionLimit(days=30, gb=20)
    originals: RetentionLimit = RetentionLimit(days=90, gb=20)

    @model_validator(mode="before")
    @classmethod
    def _limits_that_are_left_out_stay(cls, given: Any) -> Any:
        if not isinstance(given, Mapping):
            return given
        defaults = {name: field.default.model_dump() for name, field in cls.model_fields.items()}
        return {name: {**defaults.get(name, {}), **limit} if isinstance(limit, Mapping) else limit for name, limit in given.items()}


def _default_settings() -> dict[str, Any]:
    return {
        "model": "demo",
        "count": 1,
        "width": 128,
        "height": 128,
        "steps": 20,
        "guidance_scale": 4.0,
        "scheduler": AUTOMATIC,
    }


def _checked_defaults(value: Any) -> Any:
    checked_value = _checked_settings(value)
    return {**_default_settings(), **checked_value} if isinstance(value, Mapping) else checked_value


Defaults = Annotated[dict[str, Any], BeforeValidator(_checked_defaults)]


class Config(_Section):
    """The whole of config.yaml; `folder` is where the file lies, and relative paths in it start there."""

    folder: Path = Field(default_factory=Path.cwd)
    spool: Path = Path("spool")
    durability: Literal["full", "ordered"] = "full"
    models: dict[PlainName, ModelOptions] = Field(default_factory=lambda: {"demo": ModelOptions(path=BUILTIN)})
    vaes: dict[PlainName, str] = Field(default_factory=dict)
    adapters: Adapters = Adapters()
    defaults: Defaults = Field(default_factory=_default_settings)
    stages: dict[StageName, StageOptions] = Field(default_factory=lambda: {name: StageOptions() for name in STAGES})
    limits: Limits = Limits()
    watch: Watch = Watch()
    compute: Compute = Compute()
    pictures: Pictures = Pictures()
    names: Literal["portable", "kept"] = "portable"
    proofs: Proofs = Proofs()
    hooks: HookOptions = HookOptions()
    retention: RetentionLimits = RetentionLimits()
    previews: Annotated[Previews, BeforeValidator(_enabled)] = Previews()

    def slots(self, workers: int) -> int:
        """How many jobs are computed or wait for that at most: what runs, the next batch of fast ones, and what is read ahead."""
        together = 2 * self.compute.batch if self.defaults.get("fast") else 1
        return workers * (together + self.compute.ahead)

    @property
    def ssh_config(self) -> Path | None:
        """The configuration of ssh that is said for workers on other machines."""
        return self._folder_of(self.compute.ssh_config)

    @property
    def spool_folder(self) -> Path:
        return folder_beside(self.folder, self.spool)

    def stem_for(self, stem: str) -> str:
        """The stem of what comes of a file whose stem this is."""
        return portable(stem) if self.names == "portable" else stem

    def options(self, stage: str) -> StageOptions:
        """What the configuration says of a stage."""
        return self.stages.get(stage, StageOptions())

    def holds(self, stage: str) -> bool:
        """Whether the configuration turns the review gate of a stage on."""
        return self.options(stage).hold

    def settle_seconds(self, stage: str) -> float:
        """For how long a file in the inbox of a stage must stand still when nobody is seen to write it."""
        own = self.options(stage).settle_seconds
        return self.watch.settle_seconds if own is None else own

    def settle_unleased_seconds(self, stage: str) -> float:
        """The same where the system cannot say whether somebody writes it."""
        return max(self.settle_seconds(stage), self.watch.settle_unleased_seconds)

    def defaults_for(self, model: str | None) -> dict[str, Any]:
        """What counts where a file says nothing: the defaults, and over them those of the model that is meant."""
        known = self.models.get(model or self.defaults["model"])
        return layered(self.defaults, known.defaults if known else {})

    def model(self, name: str) -> ModelOptions:
        """The model of that name. Raises InputError where the configuration has none."""
        return self.models[_chosen(name, self.models, "model")]

    def vae(self, name: str) -> str:
        """The path of the VAE of that name. Raises InputError where the configuration has none."""
        return self._located(self.vaes[_chosen(name, self.vaes, "vae")])

    def model_path(self, name: str) -> str:
        """Where a model lies: a folder or a file, or the hub id as it stands."""
        return self._located(self.model(name).path)

    def model_parts(self, name: str) -> str | dict[str, str | None] | None:
        """Where that lies which a model does not have itself: one folder, or the place of each component."""
        parts = self.model(name).parts
        if parts is None or isinstance(parts, str):
            return parts and self._located(parts)
        return {component: place and self._located(place) for component, place in parts.items()}

    def lora(self, name: str) -> str:
        """Where the LoRA of that name lies. Raises InputError where the configured folder has none."""
        return str(adapter_path(name, self._folder_of(self.adapters.loras), "LoRA", "adapters.loras"))

    def loras(self) -> dict[str, Path]:
        """The LoRAs of the configured folder, by name."""
        return shelved(self._folder_of(self.adapters.loras))

    def textual_inversion(self, name: str) -> str:
        """Where the textual inversion of that name lies. Raises InputError where the configured folder has none."""
        folder = self._folder_of(self.adapters.textual_inversions)
        return str(adapter_path(name, folder, "textual inversion", "adapters.textual_inversions"))

    def textual_inversions(self) -> dict[str, Path]:
        """The textual inversions of the configured folder, by name."""
        return shelved(self._folder_of(self.adapters.textual_inversions))

    def _folder_of(self, path: Path | None) -> Path | None:
        return None if path is None else folder_beside(self.folder, path)

    def _located(self, path: str) -> str:
        if path == BUILTIN:
            return str(resource("models/demo"))
        found = self.folder / Path(path).expanduser()
        return path if is_hub_id(path) and not is_there(found) else str(found)


def _chosen(name: str, known: Mapping[str, Any], what: str) -> str:
    if name in known:
        return name
    names = ", ".join(sorted(known)) or "none"
    raise InputError(f"there is no {what} named {name!r} in config.yaml, as it was last read; it has: {names}")


def read_config(path: Path) -> Config:
    """Read and validate a configuration. Raises ConfigError with one sentence that names the file, the key and the way out."""
    config, faults = examined(path)
    if config is None:
        more = f" (and {len(faults) - 1} more: `tiffsd check-config` names all)" if len(faults) > 1 else ""
        raise ConfigError(f"{path}: {faults[0]}{more}")
    return config


def examined(path: Path) -> tuple[Config | None, list[str]]:
    """A configuration, and what is wrong with it, in a sentence for each; None where anything is. Raises ConfigError as above."""
    parsed = read_with_lines(path)
    # Where the file lies is not for the file to say.
    faults = [Fault((FOLDER,), f"'{FOLDER}' is no key; where the folders are is 'spool'")] if FOLDER in parsed.values else []
    try:
        config = Config.model_validate({**parsed.values, FOLDER: path.absolute().parent})
    except ValidationError as error:
        faults += faults_of(error, parsed.values, Config)
    faults.sort(key=lambda fault: parsed.lines.get(fault.place, 0))
    return None if faults else config, [fault.in_line(parsed.lines) for fault in faults]
