"""A loop that ends early, for every solver: its picture is as good as the loop saw it there, and that is how the solver saw it."""

import functools
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch

from daemon.models.registry import Models
from daemon.models.schedulers import RECIPES
from daemon.settings.resources import resource
from daemon.stages import diffuse
from tests import tiny
from tests.parts import quiet, settings, start
from tests.thorough import mostly_thorough

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]

STEPS = 8
ENDS = (3, STEPS - 1)
SOLVERS = [name for name, recipe in RECIPES.items() if recipe.spacing is None]
TELLING = ("ddim", "ddpm", "lms", "euler", "euler_a", "heun", "dpm2", "dpm2_a")  # their steps give the estimate too
SECOND_ORDER = ("heun", "dpm2", "dpm2_a")
# Sums in another order.
ROUNDING = 1e-4
MAKERS = {"flow": tiny.flux, "epsilon": tiny.stable_diffusion}


class Loop:
    """A loop over the embedded model, whose pictures are worth comparing, or over a tiny model of flow matching."""

    def __init__(self, models: Models, folders: dict[str, Path], name: str) -> None:
        folder = folders["flow"] if RECIPES[name].flow else Path(resource("models/demo"))
        words = {"prompt": "a red house in a meadow at sunset", "negative_prompt": ""}
        self.models = models
        self.chosen = settings(folder, scheduler=name, steps=STEPS, **words)
        self.tensors = start(models, self.chosen)

    def latents(self, **more: Any) -> torch.Tensor:
        return diffuse.run(self.models, self.tensors, {**self.chosen, **more}, quiet)[0]["latents"]

    def estimates(self) -> dict[int, torch.Tensor]:
        """By step, how the loop saw the finished latents after it."""
        seen: dict[int, torch.Tensor] = {}

        def progress(step: int, steps: int, estimate: torch.Tensor | None = None, /) -> None:
            assert steps == STEPS
            seen.update({step: estimate} if estimate is not None else {})

        diffuse.run(self.models, self.tensors, {**self.chosen, "preview_every": 1}, progress)
        return seen


def error(found: torch.Tensor, finished: torch.Tensor) -> float:
    return float((found - finished).square().mean().sqrt() / finished.std())


@pytest.mark.parametrize("name", mostly_thorough(SOLVERS, always=("ddim", "euler", "heun", "dpmpp_2m", "flow_euler").__contains__))
def test_a_picture_of_end_at_is_no_worse_than_the_loops_own_estimate_there(
    models: Models, folders: dict[str, Path], name: str
) -> None:
    loop = Loop(models, folders, name)
    finished, estimates = loop.latents(), loop.estimates()
    for step in ENDS:
        ended = error(loop.latents(end_at=step), finished)
        assert ended <= error(estimates[step], finished) + ROUNDING, step


@pytest.mark.parametrize("name", TELLING)
@pytest.mark.parametrize("model", ["epsilon", "v"])
def test_the_estimate_is_the_solvers_own(
    models: Models, folders: dict[str, Path], name: str, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []
    cls = getattr(diffusers, RECIPES[name].class_name)
    step = cls.step

    @functools.wraps(step)
    def watched(self: Any, *args: Any, **kwargs: Any) -> Any:
        made = step(self, *args, **{**kwargs, "return_dict": True})
        told.append(made.pred_original_sample)
        return (made.prev_sample,)

    loop = Loop(models, folders, name)
    if model == "epsilon":
        loop.chosen["model"] = {**loop.chosen["model"], "path": str(folders["epsilon"])}
        loop.tensors = start(models, loop.chosen)
    monkeypatch.setattr(cls, "step", watched)
    estimates = loop.estimates()
    each = 2 if name in SECOND_ORDER else 1
    for number, estimate in estimates.items():
        own = told[number * each - 1][0]
        assert error(estimate, own) < ROUNDING, number
