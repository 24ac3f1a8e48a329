"""Which settings count for a job, within the limits, and which of them the recipe of its result records."""

import secrets
import sys
from collections.abc import Mapping
from typing import Any

from daemon.errors import InputError
from daemon.settings.config import Config
from daemon.settings.prompts import refuse_unsupported
from daemon.settings.vocabulary import Settings, checked, layered

# Settings that the stage which honours them uses up; a recipe that kept them would do them again.
USED_UP = {
    "text": ("count", "save_embedding", "then", "strength", "mask"),
    "diffuse": ("count", "save_embedding", "then", "stop_at", "dump_every", "mask"),
    "decode": ("count", "save_embedding", "then", "priority", "stop_at", "dump_every"),
    "encode": ("count", "save_embedding", "then", "mask"),
    "invert": ("count", "save_embedding", "then", "mask", "stop_at", "dump_every"),
}
# The values at which these settings do nothing: recorded, so that other defaults tomorrow do not change a recipe of today.
NEUTRAL = {
    **{"clip_skip": 1, "eta": 0.0, "guidance_rescale": 0.0, "prompt_influence": 1.0, "latent_influence": 1.0},
    **{"loras": {}, "fast": False},
}
# What a stage's result depends on: recorded also where it came from the defaults, which may be others tomorrow.
DEPENDS_ON = {
    "text": ("model", "vae", "width", "height", "clip_skip", "loras"),
    "diffuse": (
        *(
            "model",
            "width",
            "height",
            "seed",
            "steps",
            "guidance_scale",
            "guidance_rescale",
            "scheduler",
            "eta",
            "start_at",
            "end_at",
            "aesthetic_score",
        ),
        *("prompt_influence", "latent_influence", "loras", "fast"),
    ),
    "decode": ("model", "vae", "width", "height", "fast"),
    "encode": ("model", "vae", "width", "height", "seed", "strength", "fast"),
    "invert": (
        *("model", "vae", "width", "height", "seed", "steps", "guidance_scale", "guidance_rescale", "aesthetic_score"),
        *("prompt_influence", "loras"),
    ),
}


def settle(given: Mapping[str, Any], where: str, config: Config) -> Settings:
    """Lay what was given over the defaults. Raises InputError where the file `where` asks for more than the limits."""
    settings = checked(layered(config.defaults_for(given.get("model")), given), where)
    limits = config.limits
    for key, limit in (("steps", limits.steps), ("upscale_steps", limits.steps), ("count", limits.count)):
        if (getattr(settings, key) or 0) > limit:
            named = key.removeprefix("upscale_")
            raise InputError(f"{where}: {key} is {getattr(settings, key)}, the limit is {limit} (limits.{named} in config.yaml)")
    if (dumps := (settings.steps or 0) // (settings.dump_every or sys.maxsize)) > limits.count:
        raise InputError(
            f"{where}: dump_every {settings.dump_every} of {settings.steps} steps makes {dumps} files, the limit is {limits.count} "
            "(limits.count in config.yaml); dump fewer"
        )
    if (settings.width or 0) * (settings.height or 0) > limits.pixels:
        raise InputError(
            f"{where}: {settings.width}x{settings.height} is more than {limits.pixels} pixels (limits.pixels in config.yaml)"
        )
    for text in (settings.prompt, settings.negative_prompt):
        refuse_unsupported(text or "", where)
        if len(text or "") > limits.characters:
            raise InputError(
                f"{where}: a prompt of {len(text or '')} characters exceeds {limits.characters} (limits.characters in config.yaml)"
            )
    return settings


def recipe_of(stage: str, settings: Settings, said: Mapping[str, Any]) -> dict[str, Any]:
    """What was said, and what the stage's result depends on, without what the stage uses up."""
    values = {key: getattr(settings, key) for key in DEPENDS_ON[stage]}
    used = {key: value for key in values if (value := NEUTRAL.get(key) if values[key] is None else values[key]) is not None}
    return {key: value for key, value in {**said, **used}.items() if key not in USED_UP[stage]}


def with_seed(settings: Settings) -> Settings:
    """The settings with a seed: the one given, or a new one."""
    return settings if settings.seed is not None else settings.model_copy(update={"seed": secrets.randbelow(2**32)})
