"""What the daemon would do with a file, by the code that would do it: nothing is computed and nothing moves.

Of a file that lies in the inbox or the hold folder of a stage that stage judges; any other may go wherever it is taken.
"""

import os
from collections.abc import Collection
from pathlib import Path

import tiffsd
from daemon.beneath import Beneath
from daemon.errors import DaemonError
from daemon.inbox.grouping import PRINCIPAL, Group, expected, group_into_drops, group_of_one, is_tied, related
from daemon.inbox.inbox import told_of_empty, told_of_extension
from daemon.inbox.named_masks import with_named
from daemon.inbox.telling_names import conflict_of, conflict_sentence, is_temporary, sign_of
from daemon.jobs.foreseen import check_fits
from daemon.jobs.intake.files import DESTINATIONS, Files, InputSources
from daemon.jobs.intake.readers import read_request
from daemon.jobs.named import opened
from daemon.jobs.originals import exported_latents, names_latents
from daemon.jobs.probe import Probe
from daemon.jobs.request import Request, stage_settings
from daemon.layout import EMBEDDINGS, HOLD, INBOX, KEEP
from daemon.models.schedulers import AUTOMATIC, RELEASED
from daemon.names import is_proof, latents_base, shown
from daemon.settings.config import Config
from daemon.settings.vocabulary import Settings
from daemon.stages import LATENTS, STAGES, Stage
from daemon.stages.loop import BLOCKS, stops_after

# Where artifacts go, by what they are.
MEANT = {
    tiffsd.Kind.LATENTS: ("diffuse", "decode", "invert"),
    tiffsd.Kind.EMBEDDING: ("diffuse",),
    tiffsd.Kind.PICTURE: ("encode", "invert"),
}


def explain(path: Path, config: Config, told: Collection[str] = ()) -> list[tuple[bool, str]]:
    """For each inbox that takes such a file, whether it would be used there, and a sentence: what would happen, or why not.

    What was `told` already is not said again.
    """
    if passed_over := _passed_over(path.name):
        return [(False, passed_over)]
    if is_proof(path.name):
        latents = f"{shown(latents_base(path.name))}.tiff"
        return [(True, f"goes with {latents}, of which it is the proof, on hold or into an inbox")]
    if (place := stage_of_place(path)) and not is_tied(place, path.name):
        if path.suffix.lower() not in place.extensions:
            return [(False, f"inbox/{place.folder}: refused: {told_of_extension(place, path.name)}")]
        is_used, sentence = _explained(place, path, config, told)
        return [(is_used, f"inbox/{place.folder}: {sentence}")]
    stages = [stage for stage in STAGES.values() if path.suffix.lower() in stage.extensions]
    if stages and path.suffix.lower() in LATENTS:
        stages = _for_artifacts(path, stages)
    if stages:
        foretold = [(stage, *_explained(stage, path, config, told)) for stage in stages]
        meant = _meant(path, [stage.name for stage, is_used, _ in foretold if is_used], config)
        return [
            (is_used, f"inbox/{stage.folder}: {sentence}")
            for stage, is_used, sentence in foretold
            if is_used or stage.name in meant
        ]
    if exported := exported_latents(path.name, _spool_of(path, config) / KEEP):
        return [(False, f"{exported}; this file is left alone where it lies" if is_temporary(path.name) else exported)]
    if any(is_tied(stage, path.name) for stage in STAGES.values()):
        return [(True, "goes with the file of its name, into any inbox")]
    if path.suffix.lower() in LATENTS:
        return [(True, f"goes to {DESTINATIONS[tiffsd.Kind.EMBEDDING]}")]
    return [
        (
            False,
            "no inbox takes such a file; prompts are .txt .md .json, pictures .png .jpg .webp .tiff .exr, latents "
            ".tiff .exr .latent",
        )
    ]


def stage_of_place(path: Path) -> Stage | None:
    """The stage in whose inbox or hold folder of a spool a file lies; None of any other place."""
    folder = path.absolute().parent.resolve()
    is_waiting = folder.parent.name in (INBOX, HOLD)
    return next((stage for stage in STAGES.values() if is_waiting and folder.name == stage.folder), None)


def kind_meant(path: Path, config: Config) -> tiffsd.Kind | None:
    """What a file must hold where it lies, or as what the id in its name is known; None where it may be anything."""
    place = stage_of_place(path)
    if place is None:
        return tiffsd.Kind.LATENTS if names_latents(path.name, config.spool_folder / KEEP) else None
    of_latents = place.name in ("diffuse", "decode") and not is_tied(place, path.name)
    return tiffsd.Kind.LATENTS if of_latents and path.suffix.lower() in LATENTS else None


def _spool_of(path: Path, config: Config) -> Path:
    """The spool in which a file lies, else that of the configuration."""
    return path.absolute().parent.resolve().parents[1] if stage_of_place(path) else config.spool_folder


def _for_artifacts(path: Path, stages: list[Stage]) -> list[Stage]:
    """Those of the stages that may take an artifact: of one that says itself that it is latents, not those for pictures."""
    with opened({PRINCIPAL: path}) as members:
        header = tiffsd.inspect(members[PRINCIPAL], name=path.name)
    if header.kind is tiffsd.Kind.EMBEDDING and not is_tied(STAGES["diffuse"], path.name):
        return []
    says_so = header.kind is tiffsd.Kind.LATENTS and header.state is not None
    return [stage for stage in stages if not says_so or stage.name in MEANT[header.kind]]


def _kind(path: Path) -> tiffsd.Kind:
    with opened({PRINCIPAL: path}) as members:
        return tiffsd.inspect(members[PRINCIPAL], name=path.name).kind


def _meant(path: Path, used: Collection[str], config: Config) -> Collection[str]:
    """The stages of which a refusal is worth a line: where such files go, but none for latents that have their loop before them."""
    if path.suffix.lower() not in LATENTS:
        return STAGES
    kind = _kind(path)
    if not used and kind_meant(path, config):
        return STAGES
    return () if kind is tiffsd.Kind.LATENTS and "diffuse" in used else MEANT[kind]


def _explained(stage: Stage, path: Path, config: Config, told: Collection[str]) -> tuple[bool, str]:
    """Whether the file would be used in this inbox, and what would happen to it, with what lies beside it."""
    found = _group_of(stage, path, config)
    if found is None:
        return True, f"goes with {shown(expected(stage, path.name))}"
    if found.missing:
        return True, f"waits for {shown(found.missing)}"
    if path.with_name(found.principal).stat().st_size == 0:
        return False, f"refused: {told_of_empty(found.principal)}"
    spool = _spool_of(path, config)
    keep = spool / KEEP
    # The originals are the daemon's alone: who is another user is told what holds without them.
    sources = InputSources(config, spool / EMBEDDINGS, keep if os.access(keep, os.R_OK | os.X_OK) else None)
    try:
        with opened({role: path.with_name(name) for role, name in found.roles.items()}) as members:
            request = read_request(stage.name, Files(members, found.roles), sources)
        check_fits(request, stage_settings(request, config))
    except (DaemonError, tiffsd.TiffsdError) as error:
        return False, f"refused: {error}"
    beside = [f"with {name}" for name in found.roles.values() if name != path.name]
    if (blocks := request.tensors.get(BLOCKS)) is not None:
        beside.append(f"{int(blocks.sum())} of {blocks.size} blocks painted on its proof")
    elif sources.keep is None and any(map(is_proof, found.roles.values())):
        beside.append("and what is painted on its proof, which the daemon alone can tell")
    notes = [note for note in request.notes if note not in told]
    return True, "; ".join([", ".join([_work(request), *beside]), *notes])


def _work(request: Request) -> str:
    settings = request.settings
    size = f"{settings.width}x{settings.height} pixels"
    words = "the prompt is encoded, then " if request.encodes_text else ""
    match request.stage:
        case "diffuse":
            larger = f"enlarged by {request.enlarged:g}, then " if _enlarges(request) else ""
            return f"{words}{larger}{_steps(request)} by {_solver(settings)}, model {settings.model}"
        case "decode":
            return f"decoded to a picture of {size}, model {settings.model}"
        case "invert":
            return f"{words}inverted to the noise of {settings.steps} steps that makes them, {size}, model {settings.model}"
        case "encode":
            return f"{words}encoded to latents of {size}, model {settings.model}"
        case _:
            return f"noise and embedding for {settings.count or 1} of {size}, model {settings.model}"


def _solver(settings: Settings) -> str:
    said = settings.scheduler or RELEASED
    by_meaning = {AUTOMATIC: "the scheduler that suits the model", RELEASED: "the scheduler of the model"}
    return by_meaning.get(said, said) + (f" over {settings.schedule}" if settings.schedule else "")


def _enlarges(request: Request) -> bool:
    """Whether the latents are enlarged before their loop."""
    return request.enlarged is not None and request.source is not None and request.source.header.state is tiffsd.State.FINAL


def _steps(request: Request) -> str:
    settings, header = request.settings, request.source.header if request.source else None
    steps = settings.steps or 0
    start = settings.start_at or 0
    if header and header.state is tiffsd.State.PARTIAL:
        start = header.step if header.step is not None else start
    elif header and header.state is tiffsd.State.FINAL and settings.strength is not None:
        start = steps - min(int(steps * settings.strength), steps)
    ends = [*stops_after(start, settings.stop_at), *stops_after(start, settings.end_at)]
    end = min([steps, *ends])
    stop = f", which stop at {end}" if end < steps else ""
    return f"{end - start} steps of {steps}{stop}"


def _passed_over(name: str) -> str | None:
    """Of a file that an inbox would use if its name did not tell otherwise, what it is; None of any other."""
    if original := conflict_of(name):
        return f"{shown(name)} {conflict_sentence(shown(original))}"
    if sign := sign_of(name):
        return f"{shown(name)} is the sign {sign}, and no file to be used; rename it if it is meant to be"
    if is_temporary(name) and any(name.lower().endswith(stage.extensions) for stage in STAGES.values()):
        return f"{shown(name)} has a name that programs give to files of their own; rename it if it is meant to be used"
    return None


def _group_of(stage: Stage, path: Path, config: Config) -> Group | None:
    """The file and what lies beside it, grouped as the inbox would; None for a companion of nothing that is there."""
    files = [entry for entry in path.parent.iterdir() if entry.is_file() and not is_temporary(entry.name)]
    names = [entry.name for entry in sorted(files, key=lambda entry: entry.stat().st_mtime_ns)]
    tied = [name for name in names if is_tied(stage, name)]
    groups, _ = group_into_drops(stage, related(stage, names, tied))
    probe = Probe(Beneath(path.parent), lambda: config.limits.characters)
    groups, _ = with_named(stage, groups, names, lambda name: probe.read(path.with_name(name)).mask)
    ours = (found for found in groups if path.name in found.roles.values())
    return next(ours, None if is_tied(stage, path.name) else group_of_one(stage, path.name))
