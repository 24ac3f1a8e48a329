"""A picture, and perhaps a prompt and a mask -> a request for latents."""

from dataclasses import replace

from daemon.errors import InputError
from daemon.jobs.intake.embeddings import saved_embedding
from daemon.jobs.intake.files import (
    Files,
    InputSources,
    companion_settings,
    embedded_recipe,
    for_its_own_model,
    read_photo_and_words,
)
from daemon.jobs.intake.masks import check_named, mask_of_photo
from daemon.jobs.intake.resolving import recipe_of, resolve_settings, with_seed
from daemon.jobs.intake.second_pass import check_enlarged_size, upscale_recipe
from daemon.jobs.request import Request
from daemon.settings.checking import layered
from daemon.settings.vocabulary import PHOTO
from daemon.stages import MASK_ENDING

# Image-to-image needs a strength; a picture dropped with a prompt and no strength gets this one, and the recipe says so.
STRENGTH_OF_A_PICTURE = 0.6
# Under a mask nothing need be left of the picture.
STRENGTH_UNDER_A_MASK = 1.0


def read_encode(files: Files, sources: InputSources) -> Request:
    """Read a picture, and the prompt, settings and mask for image-to-image where they lie beside it or in it."""
    config = sources.config
    beside, ignored = companion_settings(files, config, PHOTO)
    alpha = MASK_ENDING not in files.members
    photo = read_photo_and_words(files, config, beside, alpha=alpha)
    own = embedded_recipe(files, photo, config, needed=not {"prompt", "embedding"} & beside.keys())
    photo = for_its_own_model(photo, own.settings, files, config, beside, alpha=alpha)
    # A picture that was upscaled has its size; only who says it anew wants it larger still. Nor is the loop that made it repeated.
    said = {key: value for key, value in own.settings.items() if not key.startswith("upscale") and key != "as_of"}
    given, notes = layered(said, beside), own.notes + ignored
    made_anew = bool({"prompt", "embedding"} & given.keys())
    if not made_anew or given.get("upscale") is not None:
        # Nothing is made anew in parts: what is transparent is white.
        photo = replace(photo, mask=None)
    masks, told = mask_of_photo(files, photo, limit=config.limits.pixels)
    if made_anew and given.get("strength") is None:
        given["strength"] = STRENGTH_UNDER_A_MASK if masks else STRENGTH_OF_A_PICTURE
        notes += (f"no strength was given for image-to-image; {given['strength']} is used",)
    settings = with_seed(resolve_settings(given, files.name, config))
    check_named(files, settings)
    settings = settings.model_copy(update={"height": photo.pixels.shape[0], "width": photo.pixels.shape[1]})
    check_enlarged_size(settings, files.name, config)
    if masks and settings.upscale is not None:
        raise InputError(f"{files.name}: upscale makes the whole picture anew, and a mask says that some of it stays; take one out")
    saved, found = saved_embedding(settings.embedding, sources)
    tensors = {"picture": photo.pixels, **masks, **saved}
    encodes_text = bool(given.get("prompt")) and "prompt_embeds" not in tensors
    recipe = {**recipe_of("encode", settings, given), **upscale_recipe(settings)}
    return Request("encode", settings, recipe, tensors, notes=notes + found + photo.notes + told, encodes_text=encodes_text)
