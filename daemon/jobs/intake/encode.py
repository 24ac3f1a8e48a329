"""A picture, and perhaps a prompt and a mask -> a request for latents."""

from collections.abc import Mapping
from typing import Any

from daemon.errors import InputError
from daemon.jobs.intake.embeddings import saved_embedding
from daemon.jobs.intake.files import (
    Files,
    InputSources,
    Notes,
    companion_settings,
    embedded_recipe,
    read_photo_and_words,
    requested_size,
    without_recipe,
)
from daemon.jobs.intake.masks import check_named, mask_of_photo
from daemon.jobs.intake.resolving import recipe_of, resolve_settings, with_seed
from daemon.jobs.intake.second_pass import check_enlarged_size, upscale_recipe
from daemon.jobs.request import Request
from daemon.settings.checking import layered
from daemon.settings.config import Config
from daemon.settings.recipe import Prompt
from daemon.settings.vocabulary import PHOTO, Settings
from daemon.stages import MASK_ENDING

# Image-to-image needs a strength; a picture dropped with a prompt and no strength gets this one, and the recipe says so.
STRENGTH_OF_A_PICTURE = 0.6
# Under a mask nothing need be left of the picture.
STRENGTH_UNDER_A_MASK = 1.0
NOT_REPEATED = ("as_of", "width", "height")


def read_encode(files: Files, sources: InputSources) -> Request:
    """Read a picture, and the prompt, settings and mask for image-to-image where they lie beside it or in it."""
    config = sources.config
    beside, ignored = companion_settings(files, config, PHOTO)
    size = requested_size(files, beside)
    photo = read_photo_and_words(files, config, size=size)
    own = embedded_recipe(files, photo, config, beside)
    try:
        given, notes, settings = _resolved(files, own, beside, config)
    except InputError as error:
        if not own.settings:
            raise
        # Nobody who drops a picture need know that a recipe is in it: one that cannot be honoured stops no picture.
        given, notes, settings = _resolved(files, without_recipe(error), beside, config)
    notes += ignored
    check_named(files, settings)
    settings = settings.model_copy(update={"height": photo.pixels.shape[0], "width": photo.pixels.shape[1]})
    check_enlarged_size(settings, files.name, config)
    masks = mask_of_photo(files, photo, scaled=size != (None, None), limit=config.limits.pixels)
    if masks and settings.upscale is not None:
        raise InputError(f"{files.name}: upscale makes the whole picture anew, and a mask says that some of it stays; take one out")
    saved, found = saved_embedding(settings.embedding, sources)
    tensors = {"picture": photo.pixels, **masks, **saved}
    encodes_text = bool(given.get("prompt")) and "prompt_embeds" not in tensors
    recipe = {**recipe_of("encode", settings, given), **upscale_recipe(settings)}
    return Request("encode", settings, recipe, tensors, notes=notes + found + photo.notes, encodes_text=encodes_text)


def _resolved(files: Files, own: Prompt, beside: Mapping[str, Any], config: Config) -> tuple[dict[str, Any], Notes, Settings]:
    """What counts of the picture's recipe and of what lies beside it: as it was given, with notes, and resolved."""
    # A picture has its size, also where it was upscaled; only who says it anew wants it larger still. Nor is the loop that made it
    # repeated.
    said = {key: value for key, value in own.settings.items() if not key.startswith("upscale") and key not in NOT_REPEATED}
    given, notes = layered(said, beside), own.notes
    if {"prompt", "embedding"} & given.keys() and given.get("strength") is None:
        given["strength"] = STRENGTH_UNDER_A_MASK if MASK_ENDING in files.members else STRENGTH_OF_A_PICTURE
        notes += (f"no strength was given for image-to-image; {given['strength']} is used",)
    return given, notes, with_seed(resolve_settings(given, files.name, config))
