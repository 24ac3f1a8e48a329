"""Settings that somebody gave and a loop makes no use of, each in a sentence."""

import inspect
from typing import Any

import torch

from daemon.models.families import Family
from daemon.models.noise import Generator
from daemon.models.registry import Models, ModelSpec
from daemon.models.schedulers import AUTOMATIC, RELEASED
from daemon.models.scheduling import takes_eta
from daemon.models.stage_settings import StageSettings

OF_LOOPS = ("guidance_rescale", "eta", "aesthetic_score")


def ignored_by_loop(models: Models, model: ModelSpec, settings: StageSettings) -> list[str]:
    """What the family of the model does not know, and what counts only with guidance where there is none."""
    family, index = models.family(model), models.index(model)
    notes = family.notes_on({name: settings.get(name) for name in OF_LOOPS}, index)
    distilled = models.denoiser_config(model).get("time_cond_proj_dim")
    if family.guided(settings["guidance_scale"]) and not distilled:
        return notes
    contrasts = [name for name in ("negative_prompt", "guidance_rescale") if settings.get(name)]
    unknown = family.unsupported_by(index)
    off = f"a guidance_scale of {settings['guidance_scale']:g} switches it off"
    if distilled:
        off = "the model was distilled to follow the guidance_scale by itself"
    return notes + [f"{name} ignored: {off}" for name in contrasts if name not in unknown]


def ignored_by_steps(settings: StageSettings, before: torch.Tensor, generator: Generator) -> list[str]:
    """What counts for the noise of the steps only, where there was none: the generator is as it was `before` them."""
    if not settings.get("ensd") or not torch.equal(before, generator.get_state()):
        return []
    return [f"ensd ignored: {_named(settings)} added no noise at these steps"]


def ignored_by_solver(family: Family, scheduler: Any, settings: StageSettings) -> list[str]:
    """What the step of a scheduler does not take."""
    notes = []
    if hasattr(scheduler, "heard") and not family.guided(settings["guidance_scale"]):
        notes.append(f"without guidance {_named(settings)} is the same without CFG++: give a guidance_scale above 1")
    taken = takes_eta(scheduler) or "eta" in inspect.signature(scheduler.step).parameters
    if not settings.get("eta") or "eta" in family.unsupported or taken:
        return notes
    return [
        *notes,
        f"eta ignored: {_named(settings)} does not support it; ddim and tcd do, and euler_a and its like with a schedule of their "
        "own",
    ]


def _named(settings: StageSettings) -> str:
    said = settings.get("scheduler")
    return "the scheduler of the model" if said in (None, AUTOMATIC, RELEASED) else str(said)
