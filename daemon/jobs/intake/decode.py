"""Denoised latents -> a request for a picture."""

from dataclasses import replace

import tiffsd
from daemon.jobs.intake.files import Files, InputSources, companion_settings, read_latents, recipe_settings, size_of
from daemon.jobs.intake.overlays import idle_settings, overlay_to_decode, why_bare
from daemon.jobs.intake.proofs import paint_on_proof
from daemon.jobs.intake.resolving import recipe_of, resolve_settings
from daemon.jobs.intake.second_pass import first_size
from daemon.jobs.request import Request
from daemon.settings.checking import layered
from daemon.settings.vocabulary import DECODE


def read_decode(files: Files, sources: InputSources) -> Request:
    """Read latents that are to become a picture, whatever their state."""
    artifact = read_latents(files, sources)
    paint, told = paint_on_proof(files, artifact, sources)
    request = decode_request(artifact, files, sources)
    return replace(request, tensors={**request.tensors, **paint}, notes=(*request.notes, *told))


def decode_request(artifact: tiffsd.Artifact, files: Files, sources: InputSources) -> Request:
    """The request for a picture of latents that were read, with what lies beside them."""
    beside, ignored = companion_settings(files, sources.config, DECODE)
    settings = resolve_settings(
        layered(recipe_settings(artifact), beside, size_of(artifact)), files.name, sources.config, of_latents=True
    )
    notes = artifact.notes + ignored
    if artifact.header.state is not tiffsd.State.FINAL:
        notes += (f"these latents are {_described(artifact)}, decoded as they are",)
    recipe = {**recipe_of("decode", settings, {**artifact.header.recipe, **beside}), **first_size(artifact)}
    if not first_size(artifact):
        # What was to be enlarged is not, and a recipe that says so would make another picture.
        recipe = {key: value for key, value in recipe.items() if not key.startswith("upscale")}
    said = artifact.header.recipe.get("model", settings.model)
    if said != settings.model:
        notes += (f"decoded with {settings.model!r}, while the latents were made with {said!r}: the recipe cannot repeat that",)
    below, told = overlay_to_decode(artifact, settings)
    notes += told + idle_settings(beside, settings, why=why_bare(artifact))
    if below:
        recipe["mask_blur"] = settings.mask_blur or 0
    tensors = {"latents": artifact.tensors["latents"], **below}
    return Request("decode", settings, recipe, tensors, artifact, artifact.header.history, notes)


def _described(artifact: tiffsd.Artifact) -> str:
    header = artifact.header
    if header.state is tiffsd.State.PARTIAL:
        return f"half-done (step {header.step} of {header.steps})"
    return "pure noise"
