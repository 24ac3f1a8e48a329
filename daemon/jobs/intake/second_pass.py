"""The second pass over a picture (hires fix): finished latents that are enlarged and made anew, as `upscale` asks for.

It is a job of its own in 2-diffuse, so that the latents of the first can be held and looked at. Its recipe is that of the first
pass, with the size of the first: whoever runs it again gets both.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import tiffsd
from daemon.errors import InputError
from daemon.jobs.intake.files import Notes
from daemon.settings.config import Config
from daemon.settings.vocabulary import REGISTRY, UPSCALE_STRENGTH, Settings

ENLARGED = "enlarged"
# What a file beside the latents may say of the second pass alone, and the recipe still repeats it.
OF_THIS_PASS = frozenset(key for key, setting in REGISTRY.items() if setting.of_second_pass)

History = Sequence[Mapping[str, Any]]


def begins(artifact: tiffsd.Artifact, settings: Settings, beside: Mapping[str, Any], name: str) -> bool:
    """Whether finished latents are to be enlarged now. Raises InputError where they were already, and it is asked for again."""
    loops = [entry for entry in _own(artifact.header.history) if entry.get("stage") == "diffuse"]
    if artifact.header.state is not tiffsd.State.FINAL or not loops or settings.upscale is None:
        return False
    if any(ENLARGED in entry for entry in loops):
        if "upscale" in beside:
            raise InputError(
                f"{name}: these latents were enlarged already, and a recipe can say that once only; "
                "decode them, and encode the picture with `width` and `height`"
            )
        return False
    return "upscale" in beside or "strength" not in beside


def is_half_done(artifact: tiffsd.Artifact) -> bool:
    """Whether half-done latents are of a second pass."""
    loops = [entry for entry in artifact.header.history if entry.get("stage") == "diffuse"]
    return artifact.header.state is tiffsd.State.PARTIAL and bool(loops) and ENLARGED in loops[-1]


def first_size(artifact: tiffsd.Artifact) -> dict[str, int]:
    """The size that the recipe of enlarged latents goes on naming; nothing for others."""
    if not any(ENLARGED in entry for entry in _own(artifact.header.history)):
        return {}
    recipe = artifact.header.recipe
    return {key: recipe[key] for key in ("width", "height") if key in recipe}


def _own(history: History) -> History:
    """What happened since the latents began as noise: those that an inversion found are a new beginning."""
    inversions = [index for index, entry in enumerate(history) if entry.get("stage") == "invert"]
    return history[inversions[-1] + 1 :] if inversions else history


def upscale_recipe(settings: Settings) -> dict[str, Any]:
    """The settings of the second pass with what counts where nothing is said, for a recipe; nothing where none is asked for."""
    if settings.upscale is None:
        return {}
    return {
        "upscale": settings.upscale,
        "upscale_strength": UPSCALE_STRENGTH if settings.upscale_strength is None else settings.upscale_strength,
        "upscale_steps": settings.upscale_steps or settings.steps,
    }


def settings_of(settings: Settings) -> Settings:
    """The settings with which the loop of the second pass runs."""
    wanted = upscale_recipe(settings)
    begun = {"start_at": None, "end_at": None, "latent_influence": None}
    return settings.model_copy(update={**begun, "strength": wanted["upscale_strength"], "steps": wanted["upscale_steps"]})


def check_enlarged_size(settings: Settings, where: str, config: Config) -> None:
    """Raise InputError where the enlarged picture would exceed the limit."""
    width, height = (round((side or 0) * (settings.upscale or 1)) for side in (settings.width, settings.height))
    if width * height > config.limits.pixels:
        raise InputError(
            f"{where}: upscale {settings.upscale:g} makes {width}x{height}, which is more than {config.limits.pixels} pixels "
            "(limits.pixels in config.yaml)"
        )


def notes_on(recipe: Mapping[str, Any], beside: Mapping[str, Any]) -> Notes:
    """A sentence on what was said for the second pass only."""
    other = sorted(key for key, value in beside.items() if key not in OF_THIS_PASS and recipe.get(key) != value)
    if not other:
        return ()
    return (f"{', '.join(other)} differ from those of the first pass, and the recipe names one only: it cannot repeat that",)
