"""The picture that would come of latents which wait for a person, by the model's own VAE: their proof; and what paint on it makes.

Of finished latents it is what decoding makes of them. Of half-done ones it is the finished latents as the loop saw them where it
stopped, which are kept; where that is not known, or somebody has painted on the latents since, one step more tells it. Of noise
there is none, unless the rest is to be run in few steps (`proof: full`).
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

import tiffsd
from daemon.jobs.intake.decode import decode_request
from daemon.jobs.intake.diffuse import read_diffuse
from daemon.jobs.intake.files import (
    INPUT_KIND_OF_STATE,
    Files,
    InputSources,
    as_input_errors,
    check_file_size,
    companion_settings,
    read_latents,
    recipe_settings,
    size_of,
)
from daemon.jobs.intake.proofs import estimate_of, paint_on_proof
from daemon.jobs.intake.resolving import resolve_settings
from daemon.jobs.previews import write_preview
from daemon.jobs.request import Computed, Request, StageCall, stage_calls
from daemon.models.stage_settings import StageFacts
from daemon.names import stem_of
from daemon.pictures.proofs import render_proof
from daemon.settings.checking import layered
from daemon.settings.values import FULL_PROOF, NO_PROOF
from daemon.settings.vocabulary import Settings
from daemon.stages import PROOF_ENDINGS
from daemon.stages.loop import BLOCKS, ESTIMATE, PAINT
from tiffsd.artifact import Tensors

FEW_STEPS = 8

Picture = NDArray[np.float32]
Call = Callable[[StageCall], tuple[Tensors, StageFacts]]


@dataclass(frozen=True)
class Proof:
    """A picture (H, W, 3), 0..1 and unclamped, and the finished latents that it shows where those that wait are not finished."""

    picture: Picture
    clean: tiffsd.Artifact | None = None

    def png(self, identity: str) -> bytes:
        """Its file, as that of the latents of this id."""
        return render_proof(self.picture, identity)

    @property
    def write_clean(self) -> Callable[[BinaryIO], object] | None:
        """What writes the finished latents that it shows; None where those that wait are finished."""
        return None if self.clean is None else partial(tiffsd.write, artifact=self.clean)


def proof_of(files: Files, sources: InputSources, call: Call) -> Proof | None:
    """The proof of latents; None where there is none to be made. `call` runs a stage. Raises what jobs raise."""
    with as_input_errors():
        check_file_size(files, sources.config)
        return _proof(files, sources, call)


def _proof(files: Files, sources: InputSources, call: Call) -> Proof | None:
    artifact = read_latents(files, sources)
    wanted = _wanted(artifact, files, sources)
    if wanted == NO_PROOF:
        return None
    unpainted = replace(files, members={role: file for role, file in files.members.items() if role not in PROOF_ENDINGS})
    if artifact.header.state is tiffsd.State.FINAL:
        return Proof(_decoded(artifact, unpainted, sources, call))
    if artifact.header.state is tiffsd.State.NOISE and wanted != FULL_PROOF:
        return None
    clean = None if artifact.painted else estimate_of(artifact, None, sources)
    clean = clean or _finished(artifact, _estimated(artifact, unpainted, sources, call))
    return Proof(_decoded(clean, unpainted, sources, call), clean)


def _wanted(artifact: tiffsd.Artifact, files: Files, sources: InputSources) -> str | None:
    beside, _ = companion_settings(files, sources.config, INPUT_KIND_OF_STATE[artifact.header.state])
    said = layered(recipe_settings(artifact), beside)
    return resolve_settings(layered(said, size_of(artifact)), files.name, sources.config).proof


def show_paint(root: Path, files: Files, sources: InputSources, call: Call) -> Path | None:
    """Show what the paint on a proof leads to in previews/, and return where; None where nothing is painted on it."""
    with as_input_errors():
        check_file_size(files, sources.config)
        picture = _painted(files, sources, call)
        return None if picture is None else write_preview(root, picture, stem=stem_of(files.name))


def _painted(files: Files, sources: InputSources, call: Call) -> tiffsd.Artifact | None:
    """The picture that paint leads to, by the VAE."""
    artifact = read_latents(files, sources)
    paint, _ = paint_on_proof(files, artifact, sources)
    if BLOCKS not in paint:
        return None
    clean = artifact
    if artifact.header.state is not tiffsd.State.FINAL:
        if ESTIMATE not in paint:
            return None
        clean = _finished(artifact, paint[ESTIMATE])
    shown = {name: tensor for name, tensor in paint.items() if name != ESTIMATE}
    picture = _decoded(clean, files, sources, call, shown)
    header = tiffsd.Header(tiffsd.Kind.PICTURE, artifact.header.id, tiffsd.Layout.RGB, picture.shape)
    return tiffsd.Artifact(header, {"picture": picture})


def _decoded(artifact: tiffsd.Artifact, files: Files, sources: InputSources, call: Call, paint: Tensors | None = None) -> Picture:
    request = decode_request(artifact, files, sources)
    computed = _computed(replace(request, tensors={**request.tensors, **(paint or {})}), sources, call)
    return np.asarray(computed.tensors["picture"], np.float32)


def _estimated(artifact: tiffsd.Artifact, files: Files, sources: InputSources, call: Call) -> NDArray[np.float32]:
    """The finished latents as the loop sees them at its next step; of noise those that few steps make."""
    request = read_diffuse(files, sources)
    request = replace(request, settings=_shortened(request.settings, artifact), enlarges_next=False)
    request = replace(request, tensors={name: tensor for name, tensor in request.tensors.items() if name not in PAINT})
    made = _computed(request, sources, call).tensors
    return np.asarray(made.get(ESTIMATE, made["latents"]), np.float32)


def _shortened(settings: Settings, artifact: tiffsd.Artifact) -> Settings:
    whole = {"dump_every": None, "end_at": None, "stop_at": None}
    if artifact.header.state is tiffsd.State.NOISE:
        return settings.model_copy(update={**whole, "steps": min(settings.steps or FEW_STEPS, FEW_STEPS)})
    step = artifact.header.step if artifact.header.step is not None else settings.start_at or 0
    return settings.model_copy(update={**whole, "stop_at": step + 1})


def _finished(artifact: tiffsd.Artifact, latents: NDArray[np.float32]) -> tiffsd.Artifact:
    """Finished latents with the record of those that they are seen in."""
    header = replace(artifact.header, state=tiffsd.State.FINAL, sigma=None, step=None, steps=None, size=latents.shape)
    beside = {name: tensor for name, tensor in artifact.tensors.items() if name.startswith("overlay")}
    return tiffsd.Artifact(header, {**beside, "latents": latents})


def _computed(request: Request, sources: InputSources, call: Call) -> Computed:
    computed = Computed(request)
    for one in stage_calls(request, sources.config):
        # Nobody looks on.
        given = computed.given_to(replace(one, settings={**one.settings, "preview_every": None}))
        computed = computed.after(one, *call(given))
    return computed
