"""Where a loop begins that leaves alone what somebody painted, for every solver and schedule, and the edge around the paint."""

from pathlib import Path

import pytest
import torch

from daemon.jobs.intake.finished import SOFT_EDGE
from daemon.models import schedulers
from daemon.models.overlaying import grown
from daemon.models.partial_schedule import PartialSchedule, index_of
from daemon.models.registry import Models, ModelSpec
from daemon.models.scheduling import chosen_for, scheduler_with_timesteps
from daemon.models.stage_settings import StageSettings
from daemon.stages.late_start import LEFT_OF_PAINT, strength_that_keeps
from tests import tiny
from tests.parts import settings
from tests.thorough import mostly_thorough

SIZE = (8, 8)
MAKERS = {"sd1": tiny.stable_diffusion, "flux": tiny.flux}


def shares(models: Models, said: StageSettings, first: int) -> list[float]:
    """How much of the finished latents is left at this step of a loop and at all that follow."""
    model, steps = ModelSpec.of(said), said["steps"]
    family = models.family(model)
    scheduler = scheduler_with_timesteps(
        chosen_for(family, said),
        models.config(model, "scheduler"),
        steps,
        family=family,
        denoiser=models.denoiser_config(model),
        size=SIZE,
        device="cpu",
    )
    indices = [index_of(step, steps, scheduler) for step in range(first, steps)]
    return [PartialSchedule(scheduler, steps, flow=family.flow, first=index).clean_share() for index in indices]


# Of each solver its own schedule, of one all of them.
OWN = {recipe.plain for recipe in schedulers.RECIPES.values()}
ALWAYS = OWN | {name for name in schedulers.RECIPES if name.startswith("dpmpp_2m_")}


@pytest.mark.parametrize("name", mostly_thorough(schedulers.RECIPES, always=ALWAYS.__contains__))
def test_from_where_the_loop_begins_on_paint_is_left(models: Models, folders: dict[str, Path], name: str) -> None:
    family = "flux" if schedulers.RECIPES[name].flow else "sd1"
    for steps in (5, 20, 30):
        said: StageSettings = settings(folders[family], scheduler=name, steps=steps)  # type: ignore[assignment]
        notes: list[str] = []
        strength = strength_that_keeps(models, said, SIZE, notes)
        first = models.family(ModelSpec.of(said)).first_step(steps, strength)
        assert f"the loop begins at step {first} of {steps} (strength {strength:g})" in notes[0]
        left = shares(models, said, first)
        if min(left) < LEFT_OF_PAINT:
            assert len(left) == 1, "it is not the last step"
            assert "more steps than" in notes[0]
        else:
            assert first == 0 or shares(models, said, first - 1)[0] < LEFT_OF_PAINT


def test_the_soft_edge_is_a_ramp_of_eight_pixels() -> None:
    touched = torch.zeros((24, 40), dtype=torch.uint8)
    touched[:, 16:24] = 255
    row = grown(touched, SOFT_EDGE)[12]
    torch.testing.assert_close(row[7:17], torch.arange(10) / 9)
    torch.testing.assert_close(row[23:33], 1 - torch.arange(10) / 9)
    assert not row[:8].any()
    assert not row[32:].any()
