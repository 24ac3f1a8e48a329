"""Finished latents, or a picture, and a prompt -> a request for the noise that makes them."""

from pathlib import Path

import tiffsd
from daemon.errors import InputError, WrongPlace
from daemon.jobs.intake.embeddings import must_encode_text, saved_embedding
from daemon.jobs.intake.files import (
    Files,
    InputSources,
    companion_settings,
    embedded_recipe,
    for_its_own_model,
    read_latents,
    read_photo_and_words,
    recipe_settings,
    refuse_exported,
    size_of,
)
from daemon.jobs.intake.resolving import recipe_of, resolve_settings, with_seed
from daemon.jobs.originals import names_latents
from daemon.jobs.request import Request
from daemon.names import shown, stem_of
from daemon.settings.checking import counting, layered
from daemon.settings.vocabulary import PAST, PAST_PHOTO
from daemon.stages import EXR, LATENTS


def read_invert(files: Files, sources: InputSources) -> Request:
    """Read finished latents with their prompt, or a picture with a prompt beside it or in it."""
    return _of_latents(files, sources) if _holds_latents(files, sources) else _of_a_picture(files, sources)


def _holds_latents(files: Files, sources: InputSources) -> bool:
    """Whether a file is one of latents, also where an editor left nothing but their id in the name of an OpenEXR file."""
    suffix = Path(files.name).suffix.lower()
    if suffix not in LATENTS:
        return False
    kind = tiffsd.inspect(files.members["principal"], name=files.name).kind
    exported = suffix in EXR and sources.keep is not None and names_latents(files.name, sources.keep)
    return kind is not tiffsd.Kind.PICTURE or exported


def _of_latents(files: Files, sources: InputSources) -> Request:
    artifact = read_latents(files, sources)
    if (state := artifact.header.state) is not tiffsd.State.FINAL:
        what = "noise already" if state is tiffsd.State.NOISE else "half-done"
        said = f"{files.name}: these latents are {what}, and only finished ones are inverted"
        raise WrongPlace(f"{said}; move it to inbox/2-diffuse", "inbox/2-diffuse")
    beside, ignored = companion_settings(files, sources.config, PAST)
    # What says how latents were made says nothing of the noise that they came from.
    given, _ = counting(PAST, layered(recipe_settings(artifact), beside))
    settings = with_seed(resolve_settings(layered(given, size_of(artifact)), files.name, sources.config, of_latents=True))
    saved, found = saved_embedding(beside.get("embedding"), sources)
    embedding = {name: tensor for name, tensor in artifact.tensors.items() if name.endswith("_embeds")} | dict(saved)
    encodes_text = must_encode_text(embedding, beside, files, artifact)
    recipe = recipe_of(
        "invert", settings, {key: value for key, value in {**artifact.header.recipe, **given}.items() if key in given}
    )
    tensors = {"latents": artifact.tensors["latents"], **embedding}
    notes = artifact.notes + found + ignored
    return Request("invert", settings, recipe, tensors, artifact, artifact.header.history, notes, encodes_text)


def _of_a_picture(files: Files, sources: InputSources) -> Request:
    config = sources.config
    beside, ignored = companion_settings(files, config, PAST_PHOTO)
    photo = read_photo_and_words(files, config, beside)
    refuse_exported(photo, files, sources)
    own = embedded_recipe(files, photo, config, beside)
    photo = for_its_own_model(photo, own.settings, files, config, beside)
    given, _ = counting(PAST_PHOTO, layered(own.settings, beside))
    if not {"prompt", "embedding"} & given.keys():
        raise InputError(
            f"{files.name}: to find the noise that makes a picture, its prompt is needed; put it beside the picture as "
            f"{shown(stem_of(files.name))}.txt, perhaps with `guidance_scale: 1`" + "".join(f" ({note})" for note in own.notes)
        )
    settings = with_seed(resolve_settings(given, files.name, config))
    settings = settings.model_copy(update={"height": photo.pixels.shape[0], "width": photo.pixels.shape[1]})
    saved, found = saved_embedding(settings.embedding, sources)
    tensors = {"picture": photo.pixels, **saved}
    recipe = recipe_of("invert", settings, given)
    encodes_text = "prompt_embeds" not in tensors
    return Request("invert", settings, recipe, tensors, notes=own.notes + found + photo.notes + ignored, encodes_text=encodes_text)
