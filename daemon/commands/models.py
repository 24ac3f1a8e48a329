"""The command that says which models there are: configured, on disk, of what family, how large, and what is wrong with them."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.commands import as_json_option, config_option, config_path, say
from daemon.names import shown

if TYPE_CHECKING:
    from rich.table import Table

    from daemon.models.on_disk import OnDisk
    from daemon.settings.config import Config

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
@config_option
@as_json_option
def models(config: Path | None, as_json: bool) -> None:
    """List the models, VAEs, LoRAs and textual inversions of the configuration, what lies on disk of them, and what is wrong.

    Example: tiffsd models
    """
    from rich.console import Console

    from daemon.settings.config import read_config

    listed = list_models(read_config(config_path(config)))
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in listed], indent=2))
        return
    Console(highlight=False).print(_table(listed))
    for entry in listed:
        for fault in entry.faults:
            say(f"{entry.name}: {fault}")


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
    return [*_compared(models, config), *vaes, *loras, *inversions, *_missing_folders(config)]


def _compared(models: "list[Listed]", config: "Config") -> "list[Listed]":
    """The models with what the headers alone do not tell: whether the weights are those of the configuration."""
    from daemon.models.comparison import Model, misfits
    from daemon.settings.config import BUILTIN

    # The embedded one is as it was shipped, and where it is alone nobody has to wait for the libraries.
    whole = [entry for entry in models if entry.on_disk and not entry.faults and config.model(entry.name).path != BUILTIN]
    asked = []
    for entry in whole:
        vae = config.defaults_for(entry.name).get("vae")
        asked.append(Model(entry.path, config.model_parts(entry.name), config.vae(vae) if vae in config.vaes else None))
    faults = {entry.name: tuple(found) for entry, found in zip(whole, misfits(asked), strict=True)}
    return [replace(entry, faults=faults.get(entry.name, entry.faults)) for entry in models]


def _missing_folders(config: "Config") -> list[Listed]:
    """The folders of adapters that the configuration names, and that are not there."""
    folders = {"adapters.loras": config.adapters.loras, "adapters.textual_inversions": config.adapters.textual_inversions}
    paths = {name: config.folder / path.expanduser() for name, path in folders.items() if path}
    return [
        Listed(name, "folder", str(path), False, None, 0, (), None, (f"there is no folder {path}",))
        for name, path in paths.items()
        if not path.is_dir()
    ]


def _listed(name: str, kind: str, path: str, runs_in: str | None, look: "Callable[[Path], OnDisk]", *, network: bool) -> Listed:
    """What is said of one of them; a hub id is no fault where the network is allowed."""
    on_disk = Path(path).exists()
    if not on_disk and network:
        return Listed(name, kind, path, False, None, 0, (), runs_in, ())
    found = look(Path(path))
    return Listed(name, kind, path, on_disk, found.family, found.size_bytes, found.dtypes, runs_in, found.faults)


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
