"""Finished latents, or a picture, and a prompt -> a request for the noise that makes them."""

from pathlib import Path
from typing import Any

import tiffsd
from daemon.errors import InputError
from daemon.jobs.intake.embeddings import must_encode_text, saved_embedding
from daemon.jobs.intake.files import (
    Files,
    Notes,
    Shelves,
    asked_size,
    own_recipe,
    read_latents,
    read_photo_and_words,
    said_by,
    size_of,
    spoken_beside,
)
from daemon.jobs.intake.settled import recipe_of, settle, with_seed
from daemon.jobs.request import Request
from daemon.names import shown, stem_of
from daemon.settings.vocabulary import layered
from daemon.stages import LATENTS

# What says how latents were made, and says nothing of noise.
OF_THE_PAST = (
    "strength",
    "start_at",
    "stop_at",
    "end_at",
    "latent_influence",
    "upscale",
    "upscale_strength",
    "upscale_steps",
    "eta",
)


def read_invert(files: Files, shelves: Shelves) -> Request:
    """Read finished latents with their prompt, or a picture with a prompt beside it or in it."""
    file = files.members["principal"]
    if Path(files.name).suffix.lower() in LATENTS and tiffsd.inspect(file, name=files.name).kind is not tiffsd.Kind.PICTURE:
        return _of_latents(files, shelves)
    return _of_a_picture(files, shelves)


def _of_latents(files: Files, shelves: Shelves) -> Request:
    artifact = read_latents(files, shelves)
    if (state := artifact.header.state) is not tiffsd.State.FINAL:
        what = "noise already" if state is tiffsd.State.NOISE else "half-done"
        raise InputError(f"{files.name}: these latents are {what}, and only finished ones are inverted; move it to inbox/2-diffuse")
    beside = spoken_beside(files, shelves.config)
    given, passed = _without_the_past(layered(said_by(artifact), beside), beside)
    settings = with_seed(settle(layered(given, size_of(artifact)), files.name, shelves.config))
    saved, found = saved_embedding(beside.get("embedding"), shelves)
    embedding = {name: tensor for name, tensor in artifact.tensors.items() if name.endswith("_embeds")} | dict(saved)
    encodes_text = must_encode_text(embedding, beside, files, artifact)
    recipe = recipe_of(
        "invert", settings, {key: value for key, value in {**artifact.header.recipe, **given}.items() if key in given}
    )
    tensors = {"latents": artifact.tensors["latents"], **embedding}
    notes = artifact.notes + found + passed
    return Request("invert", settings, recipe, tensors, artifact, artifact.header.history, notes, encodes_text)


def _of_a_picture(files: Files, shelves: Shelves) -> Request:
    config = shelves.config
    beside = spoken_beside(files, config)
    photo = read_photo_and_words(files, config, size=asked_size(files, beside))
    own = own_recipe(files, photo, config, needed=not {"prompt", "embedding"} & beside.keys())
    given, passed = _without_the_past(layered(own.settings, beside), beside)
    if not {"prompt", "embedding"} & given.keys():
        raise InputError(
            f"{files.name}: to find the noise that makes a picture, its prompt is needed; put it beside the picture as "
            f"{shown(stem_of(files.name))}.txt, perhaps with `guidance_scale: 1`"
        )
    settings = with_seed(settle(given, files.name, config))
    settings = settings.model_copy(update={"height": photo.pixels.shape[0], "width": photo.pixels.shape[1]})
    saved, found = saved_embedding(settings.embedding, shelves)
    tensors = {"picture": photo.pixels, **saved}
    recipe = recipe_of("invert", settings, given)
    encodes_text = "prompt_embeds" not in tensors
    return Request("invert", settings, recipe, tensors, notes=own.notes + found + photo.notes + passed, encodes_text=encodes_text)


def _without_the_past(given: dict[str, Any], beside: dict[str, Any]) -> tuple[dict[str, Any], Notes]:
    said = [key for key in OF_THE_PAST if key in beside]
    notes = (f"{', '.join(said)} say nothing of the noise that is looked for, and are passed over",) if said else ()
    return {key: value for key, value in given.items() if key not in OF_THE_PAST}, notes
