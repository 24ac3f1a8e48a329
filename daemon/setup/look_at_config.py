"""What `tiffsd check-config` says of a configuration, and what lies on disk of its models."""

from collections.abc import Iterator
from pathlib import Path

from daemon.models.hub_ids import place_of
from daemon.models.on_disk import examined, examined_vae
from daemon.settings.advice import advice
from daemon.settings.config import BUILTIN, Config
from daemon.settings.plain_yaml import read_with_lines
from daemon.setup.findings import Finding, fault, note, ok


def without_config(why: str) -> Finding:
    """That there is no configuration to look at."""
    said, _, way_out = why.partition("; ")
    return note("config.yaml", said, way_out or "write one with `tiffsd init`")


def look_at_config(path: Path, config: Config | None, faults: list[str]) -> Iterator[Finding]:
    """The configuration at a path: what keeps a daemon from its start, and what it names that is not there."""
    sentences = [*faults, *(_advice(path, config) if config else [])]
    for sentence in sentences:
        said, _, way_out = sentence.rpartition("; ")
        yield fault("config.yaml", said or way_out, way_out if said else f"mend it in {path}, then ask `tiffsd check-config`")
    if not sentences:
        yield ok("config.yaml", str(path.absolute()))
    if config is not None:
        yield from _models(config)


def _advice(path: Path, config: Config) -> list[str]:
    """What is named and not there; of devices torch knows more, and they are looked at with it."""
    lines = read_with_lines(path).lines
    return [found.in_line(lines) for found in advice(config) if found.place[-1] != "device"]


def devices_of(config: Config) -> dict[str, str]:
    """The devices that a configuration names, by their keys."""
    stages = {f"stages.{name}.device": stage.device for name, stage in config.stages.items() if stage.device}
    return {"compute.device": config.compute.device, **stages}


def _models(config: Config) -> Iterator[Finding]:
    """What is wrong with the models that are there; what is not there is said with the configuration."""
    whole = []
    for name, model in config.models.items():
        place = place_of(config.model_path(name))
        if place is None:
            continue
        has_vae = bool(config.defaults_for(name).get("vae"))
        found = examined(place, config.model_parts(name), has_vae=has_vae)
        if found.faults:
            yield _wrong(f"model {name}", found.faults[0])
        else:
            what = "embedded" if model.path == BUILTIN else f"{found.family}, {found.size_bytes / 1e9:.1f} GB"
            whole.append(f"{name} ({what})")
    for name in config.vaes:
        place = place_of(config.vae(name))
        if place is not None and (faults := examined_vae(place).faults):
            yield _wrong(f"vae {name}", faults[0])
    if whole:
        yield ok("models", ", ".join(whole))


def _wrong(about: str, sentence: str) -> Finding:
    for between in ("; ", ": name "):
        said, found, way_out = sentence.partition(between)
        if found:
            return fault(about, said, f"{between.strip('; ' if between == '; ' else ': ')} {way_out}".strip())
    return fault(about, sentence, "put there what is missing, or name another place in config.yaml (`tiffsd models`)")
