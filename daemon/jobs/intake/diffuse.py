"""Latents with their embedding -> a request for the diffusion loop."""

from dataclasses import replace
from typing import Any

import tiffsd
from daemon.errors import InputError
from daemon.jobs.intake import second_pass
from daemon.jobs.intake.embeddings import embedding_half, must_encode_text, saved_embedding
from daemon.jobs.intake.files import (
    INPUT_KIND_OF_STATE,
    Files,
    InputSources,
    Notes,
    companion_settings,
    read_latents,
    recipe_settings,
    size_of,
)
from daemon.jobs.intake.masks import check_named, mask_of_latents
from daemon.jobs.intake.overlays import idle_settings, overlay_of_latents
from daemon.jobs.intake.proofs import paint_on_proof
from daemon.jobs.intake.resolving import DEPENDS_ON, recipe_of, resolve_settings, with_seed
from daemon.jobs.request import Request
from daemon.names import shown, stem_of
from daemon.settings.checking import layered
from daemon.settings.vocabulary import Settings
from daemon.stages.loop import BLOCKS, HELD_MASK, PAINT
from tiffsd.overlay import OVERLAYS

GENERATOR_STATE = "generator_state"
OF_THE_GENERATOR = ("seed", "rng", "ensd", "variation_seed", "variation_strength")


def read_diffuse(files: Files, sources: InputSources) -> Request:
    """Read latents, their embedding, and what lies beside them."""
    artifact = read_latents(files, sources)
    beside, ignored = _companion_settings(artifact, files, sources)
    settings = resolve_settings(
        layered(recipe_settings_for_next_loop(artifact), beside, size_of(artifact)), files.name, sources.config, of_latents=True
    )
    half, found = embedding_half(files, sources)
    saved, found_saved = saved_embedding(beside.get("embedding"), sources)
    tensors = {**artifact.tensors, **half, **saved}
    encodes_text = must_encode_text(tensors, beside, files, artifact)
    check_named(files, settings)
    enlarges = second_pass.begins(artifact, settings, beside, files.name)
    if not enlarges:
        _check_startable(artifact, settings, files.name)
    paint, told_paint = paint_on_proof(files, artifact, sources)
    mask, told = mask_of_latents(files, artifact, limit=sources.config.limits.pixels)
    below, told_below = overlay_of_latents(artifact, mask, settings, enlarges=enlarges)
    tensors = {**{name: tensor for name, tensor in tensors.items() if name not in (*OVERLAYS, *PAINT)}, **mask, **below, **paint}
    notes = artifact.notes + found + found_saved + ignored + told + told_below + told_paint
    notes += idle_settings(beside, settings, why=None if "mask" in tensors else "there is no mask")
    said = artifact.header.recipe.get("model", settings.model)
    if artifact.header.state is tiffsd.State.PARTIAL and said != settings.model:
        notes += (f"the steps so far were made with {said!r}, and the recipe names one model only: it cannot repeat that",)
    if artifact.header.state is tiffsd.State.PARTIAL and (artifact.header.recipe.get("loras") or {}) != (settings.loras or {}):
        notes += ("the steps so far were made with other LoRAs, and the recipe names those of now only: it cannot repeat that",)
    if settings.seed is None:
        notes += (
            f"the file names no seed; {(settings := with_seed(settings)).seed} is used for the noise that the scheduler adds",
        )
    looped = bool(artifact.header.history) and artifact.header.history[-1].get("stage") == "diffuse"
    if looped and "paint_hold" not in beside and {BLOCKS, HELD_MASK}.isdisjoint(tensors):
        # It was said of paint that is over.
        settings = settings.model_copy(update={"paint_hold": None})
    settings = with_seed(settings)
    recipe = {**recipe_of("diffuse", settings, {**artifact.header.recipe, **beside}), **second_pass.upscale_recipe(settings)}
    if encodes_text:
        recipe.pop("embedding", None)
    request = Request("diffuse", settings, recipe, tensors, artifact, artifact.header.history, notes, encodes_text)
    if artifact.header.state is tiffsd.State.PARTIAL:
        request = replace(request, software=artifact.header.software)
    if enlarges or second_pass.is_half_done(artifact):
        return _of_the_second_pass(request, beside, files.name, sources)
    size = second_pass.first_size(artifact)
    return replace(request, recipe={**recipe, **size}, enlarges_next=settings.upscale is not None and not size)


def _of_the_second_pass(request: Request, beside: dict[str, Any], name: str, sources: InputSources) -> Request:
    """The same request with the settings of the second pass, and the recipe of the first."""
    assert request.source is not None
    said = request.source.header.recipe
    if request.source.header.state is tiffsd.State.FINAL:
        second_pass.check_enlarged_size(request.settings, name, sources.config)
    kept = {key: value for key, value in request.recipe.items() if key not in DEPENDS_ON["diffuse"] or key not in said}
    return replace(
        request,
        settings=second_pass.settings_of(request.settings),
        recipe={**kept, **{key: said[key] for key in DEPENDS_ON["diffuse"] if key in said}},
        notes=request.notes + second_pass.notes_on(said, beside),
        enlarged=request.settings.upscale,
    )


def _check_startable(artifact: tiffsd.Artifact, settings: Settings, name: str) -> None:
    if artifact.header.state is tiffsd.State.FINAL and settings.strength is None:
        raise InputError(
            f"{name}: these latents are finished, so there is nothing left to denoise; give a `strength` between 0 and 1 in the "
            f"settings file {shown(stem_of(name))}.yaml to make them anew (image-to-image), "
            "or drop them into inbox/3-decode to make a picture"
        )


def recipe_settings_for_next_loop(artifact: tiffsd.Artifact) -> dict[str, Any]:
    """The same for the next loop: where one has finished, the factor of the latents is used up and counts only if said anew."""
    said = recipe_settings(artifact)
    if artifact.header.state is tiffsd.State.FINAL and any(entry.get("stage") == "diffuse" for entry in artifact.header.history):
        said.pop("latent_influence", None)
    return said


def _companion_settings(artifact: tiffsd.Artifact, files: Files, sources: InputSources) -> tuple[dict[str, Any], Notes]:
    """What lies beside the latents says, as far as it counts for them, and notes on the rest."""
    input_kind = INPUT_KIND_OF_STATE[artifact.header.state]
    spoken, ignored = companion_settings(files, sources.config, input_kind)
    drawn = [key for key in spoken if key in OF_THE_GENERATOR] if GENERATOR_STATE in artifact.tensors else []
    for key in drawn:
        del spoken[key]
        ignored += (f"{key} ignored: {input_kind} go on with the random numbers whose state is in their file",)
    return spoken, ignored
