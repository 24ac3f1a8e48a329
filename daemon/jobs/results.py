"""The tensors of one job -> the files it publishes: married latents, pictures, saved embeddings, and the kept originals.

One of the two hands of `job.py` (the other is `intake/`). Names are STEM.ID.EXT with a new id for each output; the gate decides
whether a result goes to the next inbox or waits in `hold/`.
"""

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import cache, partial
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

import tiffsd
from daemon.jobs.intake.finished import KEPT, LOSSY
from daemon.jobs.intake.overlays import overlay_of
from daemon.jobs.intake.second_pass import ENLARGED
from daemon.jobs.naming import stems_of
from daemon.jobs.request import Request, seeded
from daemon.layout import EMBEDDINGS, HOLD, INBOX, KEEP, PICTURES, PROOFS, STEPS
from daemon.models.stage_settings import StageFacts
from daemon.names import output_name
from daemon.pictures.files import Write, picture_files
from daemon.pictures.software import versions
from daemon.settings.config import Config
from daemon.spool.proofs import estimate_name
from daemon.spool.records import Publication
from daemon.stages import STAGES, Gives
from daemon.stages.loop import BLOCKS, ESTIMATE, PAINT, stops_after
from tiffsd.artifact import HISTORY_PREFIX, Tensors
from tiffsd.edit import EMBEDDING_TENSORS, embedding_of
from tiffsd.overlay import OVERLAY_MASK, opened_where

STEP_PREFIX = "steps."
LAYOUTS = {
    tiffsd.Kind.LATENTS: tiffsd.Layout.MOSAIC,
    tiffsd.Kind.EMBEDDING: tiffsd.Layout.STRIP,
    tiffsd.Kind.PICTURE: tiffsd.Layout.RGB,
}


@dataclass(frozen=True)
class Output:
    """One file to publish: where, under which name, how its bytes are written, and the artifact for a preview (of the visible
    ones)."""

    publication: Publication
    write: Callable[[BinaryIO], object]
    artifact: tiffsd.Artifact | None = None


@dataclass(frozen=True)
class ResultContext:
    """What the making of results needs to know of its surroundings; `gated` says whether a stage's review gate is on, `seconds` how
    long the job took itself, without what it waited for."""

    config: Config
    gated: Callable[[str], bool]
    now: datetime
    seconds: float


def results(request: Request, stem: str, tensors: Tensors, facts: StageFacts, context: ResultContext) -> list[Output]:
    """The files that a finished computation publishes, in the order in which they must appear.

    `stem` is that of what was dropped."""
    stems = stems_of(request, stem, context.config, context.now)
    if request.applies:
        return _applied(request, stems[0], tensors, facts, context)
    match STAGES[request.stage].gives:
        case Gives.NOISE:
            return _text(request, stems, tensors, facts, context)
        case Gives.LATENTS:
            return _latents(request, stems[0], tensors, facts, context)
        case Gives.PICTURE:
            return _picture(request, stems[0], tensors, facts, context)


def _text(request: Request, stems: Sequence[str], tensors: Tensors, facts: StageFacts, context: ResultContext) -> list[Output]:
    embedding = {**embedding_of(tensors), **request.tensors}
    outputs = _saved_embedding(request, embedding, facts, context)
    following, hold = _next(request, facts, married=True)
    place = _place(request, request.settings.then or following, context, hold=hold and request.settings.then is None)
    for index, (stem, noise) in enumerate(zip(stems, tensors["latents"], strict=True)):
        drawn = {"latents": noise, "generator_state": tensors["generator_state"][index], **embedding}
        recipe = seeded(request.recipe, index)
        outputs += _artifact(
            request,
            stem,
            drawn,
            {"state": "noise", **facts},
            context,
            recipe=recipe,
            place=place,
        )
    return outputs


def _latents(request: Request, stem: str, tensors: Tensors, facts: StageFacts, context: ResultContext) -> list[Output]:
    carried = {**embedding_of(request.tensors), **_overlay_of(request.tensors)}
    together = {**carried, **{name: tensor for name, tensor in tensors.items() if not name.startswith(STEP_PREFIX)}}
    following, hold = _next(request, facts, married="prompt_embeds" in together)
    embedding = embedding_of(together)
    saved = _saved_embedding(request, embedding, facts, context) if "prompt_embeds" in embedding else []
    dumps = _dumps(request, stem, {**carried, **tensors}, facts, context)
    place = _place(request, request.settings.then or following, context, hold=hold and request.settings.then is None)
    return [*saved, *dumps, *_artifact(request, stem, together, facts, context, recipe=_recipe(request, facts), place=place)]


def _applied(request: Request, stem: str, tensors: Tensors, facts: StageFacts, context: ResultContext) -> list[Output]:
    """Latents with the paint on their proof in them, which go on waiting where they were, without what their solver remembered."""
    assert request.source is not None
    carried = {
        name: tensor for name, tensor in request.tensors.items() if name not in PAINT and not name.startswith(HISTORY_PREFIX)
    }
    place = f"{HOLD}/{STAGES[request.stage].folder}"
    return _artifact(request, stem, {**carried, **tensors}, facts, context, recipe=request.recipe, place=place)


def _overlay_of(tensors: Tensors) -> Tensors:
    """The picture of before, which goes past the loop; what was painted on a proof is to be seen, also where a mask is black."""
    return opened_where(overlay_of(tensors), tensors[BLOCKS].astype(bool)) if BLOCKS in tensors else overlay_of(tensors)


def _next(request: Request, facts: StageFacts, *, married: bool) -> tuple[str, bool]:
    """The stage that latents go to, and whether they wait there in any case."""
    stage = STAGES[request.stage]
    if facts.get("state") == "partial":
        return stage.name, True
    if request.enlarges_next:
        return stage.name, False
    if request.stage == "encode" and request.settings.strength == 0:
        return "decode", False
    if request.stage == "encode" and not married:
        return "decode", True
    return stage.next or stage.name, stage.held


def _recipe(request: Request, facts: StageFacts) -> dict[str, Any]:
    """The recipe of latents, with what the rest of their way still needs, and with the scheduler that an inversion was made for."""
    ahead: dict[str, Any] = {}
    if facts.get("state") == "partial":
        stops = stops_after(facts["step"], request.settings.stop_at)
        ahead = {"stop_at": stops, "dump_every": request.settings.dump_every}
    elif request.enlarges_next:
        ahead = {"dump_every": request.settings.dump_every}
    chosen = {key: value for key, value in facts.items() if key in ("scheduler", "schedule", "eta", "paint_hold", "strength")}
    recipe = {**request.recipe, **chosen, **{key: value for key, value in ahead.items() if value}}
    # An eta of none is one that the scheduler does not take.
    return {key: value for key, value in recipe.items() if key != "eta" or value is not None}


def _dumps(request: Request, stem: str, tensors: Tensors, facts: StageFacts, context: ResultContext) -> list[Output]:
    """The half-done latents of single steps, each of them whole enough to go on from."""
    outputs = []
    for dump in facts.get("dumps", []):
        prefix = f"{STEP_PREFIX}{dump['step']}."
        own = {name.removeprefix(prefix): tensor for name, tensor in tensors.items() if name.startswith(prefix)}
        carried = {**embedding_of(tensors), **overlay_of(tensors)}
        said: StageFacts = {**facts, **dump, "state": "partial"}
        name = f"{stem}_step{dump['step']:0{len(str(facts['steps']))}}"
        outputs += _artifact(request, name, {**carried, **own}, said, context, recipe=request.recipe, place=STEPS)
    return outputs


def _place(request: Request, target: str, context: ResultContext, *, hold: bool = False) -> str:
    """The folder of a stage in which latents for it appear: its inbox, or its hold folder where a gate is closed."""
    held = request.settings.hold if isinstance(request.settings.hold, list) else [request.settings.hold]
    gate = HOLD if hold or target in held or context.gated(target) else INBOX
    return f"{gate}/{STAGES[target].folder}"


def _artifact(
    request: Request,
    stem: str,
    tensors: Tensors,
    facts: StageFacts,
    context: ResultContext,
    *,
    recipe: Mapping[str, Any],
    place: str,
) -> list[Output]:
    """A married latents file for a folder of the spool, and its original for `.keep/`, which is published first."""
    kept = {name: tensor for name, tensor in tensors.items() if name != ESTIMATE}
    estimate = tensors.get(ESTIMATE)
    if OVERLAY_MASK in kept:
        facts = {**facts, "overlay": True}
    artifact = tiffsd.Artifact(_header(request, tiffsd.Kind.LATENTS, kept["latents"].shape, recipe, facts, context), kept)
    name = output_name(stem, artifact.header.id, ".tiff")
    layout = tiffsd.Layout(request.settings.layout) if request.settings.layout else None

    write = _rendered(artifact, layout)
    return [
        *_estimate(artifact, estimate, place),
        Output(Publication(f"keep-{artifact.header.id}.tiff", KEEP, name), write),
        Output(Publication(f"{artifact.header.id}.tiff", place, name), write, _shown(artifact, estimate)),
    ]


def _estimate(artifact: tiffsd.Artifact, estimate: NDArray[Any] | None, place: str) -> list[Output]:
    """Of half-done latents that somebody is going to look at, the finished ones as the loop saw them, for their proof."""
    seen = _shown(artifact, estimate)
    if seen is artifact or not place.startswith(HOLD):
        return []
    header = replace(seen.header, step=None, steps=None)
    bare = tiffsd.Artifact(header, {"latents": seen.tensors["latents"]})
    name = estimate_name(header.id)
    return [Output(Publication(f"estimate-{header.id}.tiff", PROOFS, name), _rendered(bare))]


def _shown(artifact: tiffsd.Artifact, estimate: NDArray[Any] | None) -> tiffsd.Artifact:
    """What a preview shows: of half-done latents the finished ones as the loop saw them there, where it did."""
    if estimate is None or not np.isfinite(estimate).all():
        return artifact
    header = replace(artifact.header, state=tiffsd.State.FINAL, sigma=None)
    return replace(artifact, header=header, tensors={**artifact.tensors, "latents": estimate})


def _saved_embedding(request: Request, embedding: Tensors, facts: StageFacts, context: ResultContext) -> list[Output]:
    name = request.settings.save_embedding
    if name is None:
        return []
    lengths = [len(embedding[tensor]) if tensor in embedding else 0 for tensor in EMBEDDING_TENSORS[:2]]
    size = (*lengths, embedding["prompt_embeds"].shape[-1])
    words = {
        key: request.recipe[key] for key in ("prompt", "negative_prompt", "model", "clip_skip", "loras") if key in request.recipe
    }
    header = _header(request, tiffsd.Kind.EMBEDDING, size, words, facts, context)
    artifact = tiffsd.Artifact(header, dict(embedding))

    write = _rendered(artifact)
    return [
        Output(Publication(f"keep-{header.id}.tiff", KEEP, output_name(name, header.id, ".tiff")), write),
        Output(Publication(f"embedding-{header.id}.tiff", EMBEDDINGS, f"{name}.tiff"), write),
    ]


def _rendered(artifact: tiffsd.Artifact, layout: tiffsd.Layout | None = None) -> Callable[[BinaryIO], object]:
    """What writes an artifact, into several files as the same bytes."""

    @cache
    def rendered() -> bytes:
        file = io.BytesIO()
        tiffsd.write(file, artifact, layout=layout)
        return file.getvalue()

    return lambda file: file.write(rendered())


def _picture(request: Request, stem: str, tensors: Tensors, facts: StageFacts, context: ResultContext) -> list[Output]:
    picture = np.ascontiguousarray(tensors["picture"], dtype=np.float32)
    recipe = {key: value for key, value in request.recipe.items() if key != "hold"}
    header = _header(request, tiffsd.Kind.PICTURE, picture.shape, recipe, facts, context)
    artifact = tiffsd.Artifact(header, {"picture": picture})
    files = picture_files(artifact, context.config.pictures)
    outputs = [
        Output(Publication(f"picture{suffix}", PICTURES, output_name(stem, header.id, suffix)), write) for suffix, write in files
    ]
    kept = _kept_picture(stem, artifact, tensors, files)
    return [*kept, *outputs[:-1], *(replace(last, artifact=artifact) for last in outputs[-1:])]


def _kept_picture(stem: str, artifact: tiffsd.Artifact, tensors: Tensors, files: Sequence[tuple[str, Write]]) -> list[Output]:
    """What tells later what somebody painted on a finished picture: that with its latents, and what lossy forms show of it."""
    latents = {name: np.ascontiguousarray(tensors[name], np.float32) for name in ("latents",) if name in tensors}
    whole = replace(artifact, tensors={**artifact.tensors, **latents})
    kept: dict[str, Callable[[BinaryIO], object]] = {
        KEPT: partial(tiffsd.write, artifact=whole),
        **{suffix: write for suffix, write in files if suffix in LOSSY},
    }
    identity = artifact.header.id
    return [
        Output(Publication(f"keep-{identity}{suffix}", KEEP, output_name(stem, identity, suffix)), write)
        for suffix, write in kept.items()
    ]


def _header(
    request: Request,
    kind: tiffsd.Kind,
    size: tuple[int, ...],
    recipe: Mapping[str, Any],
    facts: StageFacts,
    context: ResultContext,
) -> tiffsd.Header:
    identity = tiffsd.new_id()
    is_latents = kind is tiffsd.Kind.LATENTS
    state = tiffsd.State(facts.get("state", "final")) if is_latents else None
    return tiffsd.Header(
        kind=kind,
        id=identity,
        layout=LAYOUTS[kind],
        parent=request.source.header.id if request.source else None,
        size=tuple(int(side) for side in size),
        state=state,
        sigma=facts.get("sigma") if is_latents else None,
        step=facts.get("step") if is_latents else None,
        steps=facts.get("steps") if is_latents else None,
        recipe=dict(recipe),
        history=(*request.history, _entry(request, identity, facts, context)),
        software={**versions(), **facts.get("software", {})},
    )


def _entry(request: Request, identity: str, facts: StageFacts, context: ResultContext) -> dict[str, Any]:
    entry: dict[str, Any] = {
        "stage": request.stage,
        "id": identity,
        "at": context.now.astimezone(UTC).isoformat(timespec="seconds"),
        "seconds": round(context.seconds, 3),
    }
    notes = [*request.notes, *facts.get("notes", [])]
    if notes:
        entry["notes"] = notes
    if "numbers" in facts:
        entry["numbers"] = facts["numbers"]
    if request.source and request.source.painted:
        entry["painted"] = request.source.painted
    if request.enlarged is not None:
        entry[ENLARGED] = request.enlarged
    entry |= {key: facts[key] for key in ("residual", "timestep_spacing", "overlay", "painted_blocks") if key in facts}
    return entry
