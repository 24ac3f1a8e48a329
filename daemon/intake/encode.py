"""A picture, and perhaps a prompt -> a request for latents."""

from daemon.intake.embeddings import saved_embedding
from daemon.intake.files import Files, Shelves, naming_the_taker, own_recipe, spoken_beside
from daemon.intake.settled import recipe_of, settle, with_seed
from daemon.pictures import read_photo
from daemon.request import Request
from daemon.settings import layered

# Image-to-image needs a strength; a picture dropped with a prompt and no strength gets this one, and the recipe says so.
STRENGTH_OF_A_PICTURE = 0.6


def read_encode(files: Files, shelves: Shelves) -> Request:
    """Read a picture, and the prompt and settings for image-to-image where they lie beside it or in it."""
    path, config = files.members["principal"], shelves.config
    beside = spoken_beside(files, config)
    own = own_recipe(files, config, needed=not {"prompt", "embedding"} & beside.keys())
    given, notes = layered(own.settings, beside), own.notes
    if {"prompt", "embedding"} & given.keys() and given.get("strength") is None:
        given["strength"] = STRENGTH_OF_A_PICTURE
        notes += (f"no strength was given for image-to-image; {STRENGTH_OF_A_PICTURE} is used",)
    if (given.get("count") or 1) > 1:
        notes += ("count is for prompts; a picture is encoded once",)
    settings = with_seed(settle(given, files.name, config))
    size = (beside.get("width"), beside.get("height"))
    with naming_the_taker(files):
        picture, done_to_it = read_photo(path, files.name, size=size, limit=config.limits.pixels)
    settings = settings.model_copy(update={"height": picture.shape[0], "width": picture.shape[1]})
    saved, found = saved_embedding(settings.embedding, shelves)
    tensors = {"picture": picture, **saved}
    encodes_text = bool(given.get("prompt")) and "prompt_embeds" not in tensors
    recipe = recipe_of("encode", settings, given)
    return Request("encode", settings, recipe, tensors, notes=notes + found + done_to_it, encodes_text=encodes_text)
