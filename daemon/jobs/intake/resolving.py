"""Which settings count for a job, within the limits, and which of them the recipe of its result records."""

import secrets
import sys
from collections.abc import Mapping
from typing import Any

from daemon.errors import InputError
from daemon.settings.checking import checked, layered
from daemon.settings.config import Config
from daemon.settings.prompts import refuse_unsupported
from daemon.settings.values import SEEDS
from daemon.settings.vocabulary import REGISTRY, Settings
from daemon.stages import STAGES

# What a stage's result depends on: recorded also where it came from the defaults, which may be others tomorrow.
DEPENDS_ON = {stage: tuple(key for key, setting in REGISTRY.items() if stage in setting.recorded) for stage in STAGES}


def resolve_settings(given: Mapping[str, Any], where: str, config: Config, *, of_latents: bool = False) -> Settings:
    """Lay what was given over the defaults. Raises InputError where the file `where` asks for more than the limits.

    A default `name` counts once, where a prompt or a picture begins: `of_latents` says that the files have their name already."""
    defaults = config.defaults_for(given.get("model"))
    if of_latents:
        defaults.pop("name", None)
    settings = checked(layered(defaults, given), where)
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


def check_last_seed(settings: Settings, where: str) -> None:
    """Raise InputError where the seeds of several pictures of one prompt go beyond the largest."""
    last = max(settings.seed or 0, (settings.variation_seed or 0) if settings.variation_strength else 0) + (settings.count or 1) - 1
    if last >= SEEDS:
        raise InputError(f"{where}: the seed of the last of {settings.count} pictures would be {last}, and the largest is 2^64 - 1")


def recipe_of(stage: str, settings: Settings, said: Mapping[str, Any]) -> dict[str, Any]:
    """What was said, and what the stage's result depends on, without what the stage uses up."""
    values = {key: getattr(settings, key) for key in DEPENDS_ON[stage]}
    # What does nothing is recorded too, so that other defaults tomorrow do not change a recipe of today.
    used = {key: value for key in values if (value := REGISTRY[key].neutral if values[key] is None else values[key]) is not None}
    return {key: value for key, value in {**said, **used}.items() if key not in REGISTRY or stage not in REGISTRY[key].used_up}


def with_seed(settings: Settings) -> Settings:
    """The settings with a seed, and one of the variation where there is one: those given, or new ones."""
    wanted = ("seed", "variation_seed") if settings.variation_strength else ("seed",)
    return settings.model_copy(update={key: secrets.randbelow(2**32) for key in wanted if getattr(settings, key) is None})
