"""A prompt, or a picture with a recipe in it -> a request for noise and an embedding."""

from daemon.jobs.intake.embeddings import saved_embedding
from daemon.jobs.intake.files import Files, InputSources, companion_settings, prompt_or_recipe
from daemon.jobs.intake.resolving import check_last_seed, recipe_of, resolve_settings, with_seed
from daemon.jobs.intake.second_pass import check_enlarged_size, upscale_recipe
from daemon.jobs.request import Request
from daemon.settings.checking import counting, layered
from daemon.settings.prompts import without_prompt
from daemon.settings.vocabulary import TEXT


def read_text(files: Files, sources: InputSources) -> Request:
    """Read a prompt file, or the recipe in a picture."""
    prompt = prompt_or_recipe(files, sources)
    said, of_the_prompt = counting(TEXT, prompt.settings)
    beside, of_companions = companion_settings(files, sources.config, TEXT)
    prompt = prompt.under(beside).usable(files.name)
    given = layered(said, beside)
    if not str(given.get("prompt", "")).strip() and "embedding" not in given:
        raise without_prompt(files.name)
    settings = with_seed(resolve_settings(given, files.name, sources.config))
    check_last_seed(settings, files.name)
    check_enlarged_size(settings, files.name, sources.config)
    tensors, found = saved_embedding(settings.embedding, sources)
    notes = prompt.notes + of_the_prompt + of_companions + found
    if "negative_prompt_embeds" in tensors and settings.negative_prompt:
        notes += (f"negative_prompt ignored: the saved embedding {settings.embedding!r} has its own",)
        given.pop("negative_prompt", None)
    elif not tensors:
        given["negative_prompt"] = settings.negative_prompt or ""
    recipe = {**recipe_of("text", settings, {**given, "seed": settings.seed}), **upscale_recipe(settings)}
    return Request("text", settings, recipe, tensors, notes=notes, software=prompt.software)
