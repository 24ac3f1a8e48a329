"""A prompt, or a picture with a recipe in it -> a request for noise and an embedding."""

from daemon.jobs.intake.embeddings import saved_embedding
from daemon.jobs.intake.files import Files, Shelves, prompt_or_recipe, spoken_beside
from daemon.jobs.intake.second_pass import asked_for, check_size
from daemon.jobs.intake.settled import recipe_of, settle, with_seed
from daemon.jobs.request import Request
from daemon.settings.vocabulary import TEXT, counting, layered


def read_text(files: Files, shelves: Shelves) -> Request:
    """Read a prompt file, or the recipe in a picture."""
    prompt = prompt_or_recipe(files, shelves.config)
    said, of_the_prompt = counting(TEXT, prompt.settings)
    beside, of_companions = spoken_beside(files, shelves.config, TEXT)
    given = layered(said, beside)
    settings = with_seed(settle(given, files.name, shelves.config))
    check_size(settings, files.name, shelves.config)
    tensors, found = saved_embedding(settings.embedding, shelves)
    notes = prompt.notes + of_the_prompt + of_companions + found
    if "negative_prompt_embeds" in tensors and settings.negative_prompt:
        notes += (f"the saved embedding {settings.embedding!r} brings its own negative prompt; the one given is passed over",)
        given.pop("negative_prompt", None)
    elif not tensors:
        given["negative_prompt"] = settings.negative_prompt or ""
    recipe = {**recipe_of("text", settings, {**given, "seed": settings.seed}), **asked_for(settings)}
    return Request("text", settings, recipe, tensors, notes=notes, software=prompt.software)
