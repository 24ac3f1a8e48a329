"""The command that says which models there are: configured, on disk, of what family, how large, and what is wrong with them."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.commands import PATH, as_json_option, config_option, config_path, say
from daemon.models.hub_ids import place_of
from daemon.models.there import is_folder, is_there, why_not_seen
from daemon.names import shown
from daemon.stages import STAGES

if TYPE_CHECKING:
    from rich.table import Table

    from daemon.models.on_disk import OnDisk
    from daemon.settings.config import Config

USUAL = "usual places"
GB, MB = 1e9, 1e6


@dataclass(frozen=True)
class Listed:
    """One model, VAE or adapter of the configuration; `runs_in` is the precision it is configured to run in."""

    name: str
    kind: str
    path: str
    on_disk: bool
    family: str | None
    size_bytes: int
    dtypes: tuple[str, ...]
    runs_in: str | None
    faults: tuple[str, ...]


@click.command()
@click.option(
    "--find",
    "places",
    metavar="[FOLDER]",
    type=PATH,
    is_flag=False,
    flag_value=USUAL,
    help="Look for models in FOLDER, or where ComfyUI, A1111, InvokeAI and the hub's client keep theirs, and print the lines.",
)
@click.option("--add", is_flag=True, help="Write what --find finds into config.yaml; all else in it stays as it is.")
@config_option
@as_json_option
def models(places: Path | None, add: bool, config: Path | None, as_json: bool) -> int:
    """List the models, VAEs, LoRAs and textual inversions of the configuration, what lies on disk of them, and what is wrong; exit
    with 1 where something is.

    Example: tiffsd models --find ~/ComfyUI/models --add
    """
    if places is not None or add:
        from daemon.commands.finding import find

        find(None if places in (None, Path(USUAL)) else places, config, add=add, as_json=as_json)
        return 0
    from rich.console import Console

    from daemon.settings.config import read_config

    listed = list_models(read_config(config_path(config)))
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in listed], indent=2))
    else:
        Console(highlight=False).print(_table(listed))
        for entry in listed:
            for fault in entry.faults:
                say(f"{entry.name}: {fault}")
    return int(any(entry.faults for entry in listed))


def list_models(config: "Config") -> list[Listed]:
    """Look at each model and VAE that the configuration names, and at what lies in its folders of adapters."""
    from daemon.models.adapters.on_disk import examined_lora, examined_textual_inversion
    from daemon.models.on_disk import examined, examined_vae

    network = config.compute.network
    own_vae = {name: bool(config.defaults_for(name).get("vae")) for name in config.models}
    models = [
        _listed(
            name,
            "model",
            config.model_path(name),
            model.dtype,
            partial(examined, parts=config.model_parts(name), has_vae=own_vae[name]),
            network=network,
        )
        for name, model in config.models.items()
    ]
    vaes = [_listed(name, "vae", config.vae(name), None, examined_vae, network=network) for name in config.vaes]
    loras = [_listed(name, "lora", str(path), None, examined_lora, network=False) for name, path in config.loras().items()]
    inversions = [
        _listed(name, "textual inversion", str(path), None, examined_textual_inversion, network=False)
        for name, path in config.textual_inversions().items()
    ]
    devices = _devices(config)
    compared, missing = _compared(models, vaes, config, sorted({*devices.values()} - {"cpu"}))
    faults = [*_unknown_defaults(config), *_missing_folders(config), *_missing_devices(devices, missing)]
    return [*compared, *loras, *inversions, *faults]


def _compared(
    models: "list[Listed]", vaes: "list[Listed]", config: "Config", devices: list[str]
) -> "tuple[list[Listed], list[str]]":
    """The models and VAEs with what the headers alone do not tell: whether the weights are those of the configuration. And the
    devices that are not there."""
    from daemon.models.comparison import Model, misfits
    from daemon.settings.config import BUILTIN

    # The embedded one is as it was shipped, and where it is alone nobody has to wait for the libraries.
    here = [entry for entry in models if config.model(entry.name).path != BUILTIN and place_of(entry.path) is not None]
    whole = [entry for entry in here if not entry.faults or _lacks_parts_only(entry, config.model_parts(entry.name))]
    separate = [entry for entry in vaes if not entry.faults and place_of(entry.path) is not None]
    asked = []
    for entry in whole:
        vae = config.defaults_for(entry.name).get("vae")
        asked.append(Model(entry.path, config.model_parts(entry.name), config.vae(vae) if vae in config.vaes else None))
    found = misfits(asked, devices, [entry.path for entry in separate])
    compared = zip((*whole, *separate), (*found.models, *found.vaes), strict=True)
    more = {(entry.kind, entry.name): tuple(sentences) for entry, sentences in compared}
    entries = [replace(entry, faults=(*entry.faults, *more.get((entry.kind, entry.name), ()))) for entry in (*models, *vaes)]
    return entries, found.devices


def _lacks_parts_only(entry: Listed, parts: object) -> bool:
    """Whether it is the file of a model that runs, which holds some of its components: those are compared as they are shipped."""
    return entry.family is not None and Path(entry.path).is_file() and parts is None


def _devices(config: "Config") -> dict[str, str]:
    """The devices of the configuration by the keys that name them."""
    stages = {f"stages.{stage}.device": config.options(stage).device for stage in STAGES}
    return {"compute.device": config.compute.device, **{key: device for key, device in stages.items() if device}}


def _missing_devices(devices: dict[str, str], missing: list[str]) -> list[Listed]:
    fault = "torch finds no such device; set it to one that is there (cpu always is), or install torch for yours"
    return [_fault(key, "device", device, fault) for key, device in devices.items() if device in missing]


def _unknown_defaults(config: "Config") -> list[Listed]:
    """The model and the VAE that `defaults` name, where the configuration has none of that name."""
    known = {"model": sorted(config.models), "vae": sorted(config.vaes)}
    said = {kind: str(config.defaults.get(kind) or "") for kind in known}
    return [
        _fault(f"defaults.{kind}", kind, name, f"there is no {kind} named {name!r}; there are: {', '.join(known[kind]) or 'none'}")
        for kind, name in said.items()
        if name and name not in known[kind]
    ]


def _missing_folders(config: "Config") -> list[Listed]:
    """The folders of adapters that the configuration names, and that are not there."""
    folders = {"adapters.loras": config.adapters.loras, "adapters.textual_inversions": config.adapters.textual_inversions}
    paths = {name: config.folder / path.expanduser() for name, path in folders.items() if path}
    return [
        _fault(name, "folder", str(path), why_not_seen(path) or f"there is no folder {path}")
        for name, path in paths.items()
        if not is_folder(path)
    ]


def _fault(key: str, kind: str, said: str, fault: str) -> Listed:
    """What is wrong with a key of the configuration."""
    return Listed(key, kind, said, False, None, 0, (), None, (fault,))


def _listed(name: str, kind: str, path: str, runs_in: str | None, look: "Callable[[Path], OnDisk]", *, network: bool) -> Listed:
    """What is said of one of them; what a hub id lacks is no fault where the network is allowed."""
    place = place_of(path)
    if place is None and network:
        return Listed(name, kind, path, False, None, 0, (), runs_in, ())
    found = look(place or Path(path))
    if found.faults and network and not is_there(path):
        return Listed(name, kind, path, False, found.family, 0, (), runs_in, ())
    return Listed(name, kind, path, place is not None, found.family, found.size_bytes, found.dtypes, runs_in, found.faults)


def _size(count: int) -> str:
    return f"{count / GB:.2f} GB" if count >= GB / 10 else f"{count / MB:.2f} MB"


def _table(listed: list[Listed]) -> "Table":
    from rich.table import Column, Table
    from rich.text import Text

    table = Table("name", "family", "on disk", "runs in", "state", Column("path", overflow="fold"))
    for entry in listed:
        size = f"{_size(entry.size_bytes)} {', '.join(entry.dtypes)}" if entry.on_disk else ""
        state = "something is wrong" if entry.faults else "ready" if entry.on_disk else "fetched when first used"
        words = (entry.name, entry.family or entry.kind, size, entry.runs_in or "", state, entry.path)
        table.add_row(*(Text(shown(word)) for word in words))
    return table
