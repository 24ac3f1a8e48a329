"""What the file of inverted noise says of itself: it goes on only with the scheduler that it was found for."""

from pathlib import Path

import pytest

import tiffsd
from daemon.models.registry import Models
from daemon.settings.config import Config
from tests.artifacts import latents
from tests.jobs.chain import Chain

pytestmark = pytest.mark.usefixtures("fixed_threads")


def test_the_recipe_of_inverted_noise_names_the_scheduler_that_it_was_found_for(models: Models, tmp_path: Path) -> None:
    recipe = {"prompt": "a red house", "negative_prompt": "", "model": "demo", "seed": 1, "scheduler": "dpmpp_2m", "steps": 2}
    final = tmp_path / "cat.tiff"
    tiffsd.write(final, latents(state=tiffsd.State.FINAL, recipe={**recipe, "guidance_scale": 1.0}))
    made = Chain(Config(), models, tmp_path, tmp_path).made("invert", {"principal": final})
    header = tiffsd.inspect(made["hold/2-diffuse"])
    assert header.state is tiffsd.State.NOISE
    assert header.recipe["scheduler"] == "ddim"
