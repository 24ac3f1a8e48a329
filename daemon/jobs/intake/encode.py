"""A picture, and perhaps a prompt and a mask -> a request for latents."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from daemon.errors import InputError
from daemon.jobs.intake.embeddings import saved_embedding
from daemon.jobs.intake.files import (
    Files,
    InputSources,
    Notes,
    companion_settings,
    embedded_recipe,
    for_its_own_model,
    named_as_latents,
    read_photo_and_words,
    refuse_exported,
    without_recipe,
)
from daemon.jobs.intake.finished import SOFT_EDGE, Finished, finished_of
from daemon.jobs.intake.masks import check_named, colours_under, mask_of_photo
from daemon.jobs.intake.overlays import OF_OVERLAYS, idle_settings
from daemon.jobs.intake.resolving import recipe_of, resolve_settings, with_seed
from daemon.jobs.intake.second_pass import check_enlarged_size, upscale_recipe
from daemon.jobs.originals import names_latents
from daemon.jobs.request import Request
from daemon.pictures.photos import Photo
from daemon.settings.checking import layered
from daemon.settings.config import Config
from daemon.settings.recipe import Prompt
from daemon.settings.vocabulary import PHOTO, Settings
from daemon.stages import EXR, MASK_ENDING
from tiffsd.artifact import Tensors

# Image-to-image needs a strength; a picture dropped with a prompt and no strength gets this one, and the recipe says so.
STRENGTH_OF_A_PICTURE = 0.6
# Under a mask nothing need be left of the picture.
STRENGTH_UNDER_A_MASK = 1.0
# What a recipe says of its own loop, size and mask says nothing of the next.
NOT_REPEATED = ("as_of", "width", "height", "paint_hold", *OF_OVERLAYS)


def read_encode(files: Files, sources: InputSources) -> Request:
    """Read a picture, and the prompt, settings and mask for image-to-image where they lie beside it or in it."""
    config = sources.config
    _check_no_latents(files, sources)
    beside, ignored = companion_settings(files, config, PHOTO)
    alpha = MASK_ENDING not in files.members
    photo = read_photo_and_words(files, config, beside, alpha=alpha)
    refuse_exported(photo, files, sources)
    own = embedded_recipe(files, photo, config, beside)
    photo = for_its_own_model(photo, own.settings, files, config, beside, alpha=alpha)
    finished = finished_of(files, photo, beside, sources)
    own = finished.recipe_instead_of(own, files.name)
    try:
        meant = _meant(files, photo, own, beside, config, finished)
    except InputError as error:
        if not own.settings:
            raise
        # Nobody who drops a picture need know that a recipe is in it: one that cannot be honoured stops no picture.
        meant = _meant(files, photo, without_recipe(error), beside, config, finished)
    given, masks, settings = meant.given, meant.masks, meant.settings
    check_named(files, settings)
    settings = settings.model_copy(update={"height": photo.pixels.shape[0], "width": photo.pixels.shape[1]})
    check_enlarged_size(settings, files.name, config)
    if masks and settings.upscale is not None:
        raise InputError(f"{files.name}: upscale makes the whole picture anew, and a mask says that some of it stays; take one out")
    saved, found = saved_embedding(settings.embedding, sources)
    along, told = finished.tensors(settings)
    tensors = {"picture": colours_under(files, photo, masks), **masks, **along, **saved}
    ignored += idle_settings(beside, settings, why=None if masks else "there is no mask")
    encodes_text = bool(given.get("prompt")) and "prompt_embeds" not in tensors and settings.strength != 0
    recipe = {**recipe_of("encode", settings, given), **upscale_recipe(settings)}
    notes = meant.notes + ignored + found + photo.notes + finished.notes + told + meant.told
    source = finished.source
    history = () if source is None else source.header.history
    return Request("encode", settings, recipe, tensors, source, history, notes, encodes_text)


def _check_no_latents(files: Files, sources: InputSources) -> None:
    """Refuse a canvas that an editor exported as OpenEXR, where only its name tells that it is one."""
    if Path(files.name).suffix.lower() in EXR and sources.keep is not None and names_latents(files.name, sources.keep):
        raise named_as_latents(files.name)


class _Meant(NamedTuple):
    """What is wanted of a picture: as it was given and resolved, with notes; its masks, and what is told of them."""

    given: dict[str, Any]
    settings: Settings
    notes: Notes
    masks: Tensors
    told: Notes


def _meant(files: Files, photo: Photo, own: Prompt, beside: Mapping[str, Any], config: Config, finished: Finished) -> _Meant:
    """What counts of the picture's recipe and of what lies beside it."""
    # A picture has its size, also where it was upscaled; only who says it anew wants it larger still. Nor is the loop that made it
    # repeated.
    said = {key: value for key, value in own.settings.items() if not key.startswith("upscale") and key not in NOT_REPEATED}
    given, notes = layered(said, beside), own.notes
    made_anew = bool({"prompt", "embedding"} & given.keys())
    if finished.paint is not None:
        given, said_of_paint = _meant_of_paint(given, config, made_anew=made_anew)
        settings = with_seed(resolve_settings(given, files.name, config))
        return _Meant(given, settings, notes + said_of_paint, finished.masks, ())
    if given.get("strength") == 0:
        why = f"; {'; '.join(finished.notes)}" if finished.notes else ""
        raise InputError(
            f"{files.name}: with strength 0 nothing is made anew, which is for a finished picture that was painted on{why}; "
            "give a strength above 0"
        )
    if not made_anew or given.get("upscale") is not None:
        # Nothing is made anew in parts: what is transparent is white.
        photo = replace(photo, mask=None)
    masks, told = mask_of_photo(files, photo, limit=config.limits.pixels)
    if made_anew and given.get("strength") is None:
        given["strength"] = STRENGTH_UNDER_A_MASK if masks else STRENGTH_OF_A_PICTURE
        notes += (f"no strength was given for image-to-image; {given['strength']} is used",)
    return _Meant(given, with_seed(resolve_settings(given, files.name, config)), notes, masks, told)


def _meant_of_paint(given: dict[str, Any], config: Config, *, made_anew: bool) -> tuple[dict[str, Any], Notes]:
    """What is meant of a finished picture that was painted on, where nobody says it; the stage finds a strength by itself."""
    blurs = config.defaults_for(given.get("model")).get("mask_blur") is not None
    meant = {**given} if blurs else {"mask_blur": SOFT_EDGE, **given}
    if made_anew:
        return meant, ()
    return {**meant, "strength": 0.0}, ("there is no prompt to make anew by what was painted: it is taken as it is",)
