"""What the daemon would do with a file, told by the hands that would do it: nothing is computed and nothing moves."""

from collections.abc import Iterator
from pathlib import Path

import tiffsd
from daemon.config import Config
from daemon.decoding import read_artifact
from daemon.errors import DaemonError
from daemon.intake import TAKERS, Files, Shelves, read_request
from daemon.names import base_of, stem_of
from daemon.request import Request, stage_settings
from daemon.results import KEEP
from daemon.stages import STAGES, Stage

TIFF = (".tif", ".tiff")


def fate(path: Path, config: Config) -> list[str]:
    """For each inbox that takes such a file, one sentence: what would happen there, or why it would be refused."""
    stages = [STAGES[name] for name in _takers(path)]
    if stages:
        return [f"inbox/{stage.folder}: {_told(stage, path, config)}" for stage in stages]
    if path.suffix.lower() in TIFF:
        return [f"goes to {TAKERS[tiffsd.Kind.EMBEDDING]}"]
    return ["no inbox takes such a file; prompts are .txt, pictures .png .jpg .webp .tiff, latents .tiff"]


def _takers(path: Path) -> Iterator[str]:
    suffix = path.suffix.lower()
    if suffix not in TIFF:
        yield from (stage.name for stage in STAGES.values() if suffix in stage.extensions)
        return
    header = tiffsd.inspect(path, name=path.name)
    if header.kind is tiffsd.Kind.PICTURE:
        yield "encode"
    if header.kind is tiffsd.Kind.LATENTS:
        # Only reading tells the state of files without metadata.
        state = header.state or read_artifact(path, name=path.name).header.state
        yield from ["diffuse"] if state is not tiffsd.State.FINAL else ["decode", "diffuse"]


def _told(stage: Stage, path: Path, config: Config) -> str:
    members = {"principal": path, **_companions(stage, path)}
    keep = config.spool_folder / KEEP
    shelves = Shelves(config, config.spool_folder / "embeddings", keep if keep.is_dir() else None)
    try:
        request = read_request(stage.name, Files(members, {role: member.name for role, member in members.items()}), shelves)
        stage_settings(request, config)
    except (DaemonError, tiffsd.TiffsdError) as error:
        return f"refused: {error}"
    beside = [f"with {member.name}" for role, member in members.items() if role != "principal"]
    notes = [note for note in request.notes if request.source is None or note not in request.source.notes]
    return "; ".join([", ".join([_work(request), *beside]), *notes])


def _companions(stage: Stage, path: Path) -> dict[str, Path]:
    """What lies beside the file and would go with it: its other half, and companions."""
    stem = stem_of(path.name)
    beside = {ending: [f"{base}{ending}" for base in (base_of(path.name), stem)] for ending in stage.companions}
    halves = [(own, other) for own, other in stage.halves.items() if stem.endswith(own)]
    beside |= {other: [f"{stem.removesuffix(own)}{other}{suffix}" for suffix in TIFF] for own, other in halves}
    places = {role: [path.with_name(name) for name in names] for role, names in beside.items()}
    return {role: found for role, paths in places.items() if (found := next((p for p in paths if p.is_file()), None))}


def _work(request: Request) -> str:
    settings = request.settings
    size = f"{settings.width}x{settings.height} pixels"
    words = "the prompt is encoded, then " if request.encodes_text else ""
    match request.stage:
        case "diffuse":
            return f"{words}{_steps(request)} by {settings.scheduler or 'the scheduler of the model'}, model {settings.model}"
        case "decode":
            return f"decoded to a picture of {size}, model {settings.model}"
        case "encode":
            return f"{words}encoded to latents of {size}, model {settings.model}"
        case _:
            return f"noise and embedding for {settings.count or 1} of {size}, model {settings.model}"


def _steps(request: Request) -> str:
    settings, header = request.settings, request.source.header if request.source else None
    steps = settings.steps or 0
    start = settings.start_at or 0
    if header and header.state is tiffsd.State.PARTIAL:
        start = header.step if header.step is not None else start
    elif header and header.state is tiffsd.State.FINAL and settings.strength is not None:
        start = steps - min(int(steps * settings.strength), steps)
    ends = [end for end in (settings.stop_at, settings.end_at) if end is not None and end > start]
    end = min([steps, *ends])
    stop = f", which stop at {end}" if end < steps else ""
    return f"{end - start} steps of {steps}{stop}"
