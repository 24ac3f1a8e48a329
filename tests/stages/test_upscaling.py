"""The second pass over a picture: finished latents enlarged and denoised once more, and which jobs are one."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import tiffsd
from daemon.errors import InputError
from daemon.jobs.intake.files import InputSources
from daemon.jobs.request import Request, stage_settings
from daemon.models.registry import Models
from daemon.models.upscaling import enlarged
from daemon.settings.config import Config
from daemon.stages import diffuse
from tests import tiny
from tests.artifacts import latents
from tests.opening import request_for
from tests.parts import embeddings, generator, quiet, settings, start

pytestmark = pytest.mark.exact

FIRST = {"stage": "diffuse", "id": "00000001"}
SECOND = {"stage": "diffuse", "id": "00000002", "enlarged": 1.5}
RECIPE = {"prompt": "a cat", "model": "demo", "seed": 1, "steps": 12, "width": 128, "height": 128, "scheduler": "euler"}


def test_sides_are_enlarged_to_the_grid_of_the_denoiser() -> None:
    small = torch.randn((1, 4, 9, 10), generator=generator())
    assert enlarged(small, None, patch=1) is small
    assert enlarged(small, 1.5, patch=1).shape == (1, 4, 14, 15)
    assert enlarged(small, 1.5, patch=2).shape == (1, 4, 14, 16)
    assert enlarged(small.half(), 2, patch=2).dtype is torch.float16
    flat = enlarged(torch.full((1, 4, 8, 8), 0.25), 1.7, patch=1)
    assert torch.allclose(flat, torch.full_like(flat, 0.25))


def test_enlarged_latents_are_those_of_a_bilinear_upscaler() -> None:
    slope = torch.arange(4.0).expand(1, 1, 4, 4)
    expected = torch.tensor([0.0, 0.25, 0.75, 1.25, 1.75, 2.25, 2.75, 3.0]).expand(1, 1, 8, 8)
    assert torch.equal(enlarged(slope, 2, patch=1), expected)


@pytest.mark.parametrize("family", ["sd1", "flux"])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_the_second_pass_is_image_to_image_on_enlarged_latents(tmp_path: Path, family: str, dtype: str) -> None:
    folder = (tiny.stable_diffusion if family == "sd1" else tiny.flux)(tmp_path / family)
    models = Models(budget_bytes=1 << 30)
    chosen = settings(folder, scheduler=None, strength=0.6, state="final")
    chosen["model"] = {**chosen["model"], "dtype": dtype}
    begun = start(models, chosen)
    del begun["generator_state"]
    out, _ = diffuse.run(models, begun, {**chosen, "enlarged": 1.5}, quiet)
    large = enlarged(begun["latents"][None], 1.5, patch=2)[0]
    assert out["latents"].shape == large.shape
    if dtype == "float32":
        by_hand, _ = diffuse.run(models, embeddings(begun) | {"latents": large}, chosen, quiet)
        assert torch.equal(out["latents"], by_hand["latents"])


def test_a_second_pass_of_no_strength_enlarges_only(tmp_path: Path) -> None:
    folder = tiny.stable_diffusion(tmp_path / "sd1")
    models = Models(budget_bytes=1 << 30)
    chosen = settings(folder, scheduler=None, strength=0.0, state="final")
    begun = start(models, chosen)
    out, facts = diffuse.run(models, begun, {**chosen, "enlarged": 1.5}, quiet)
    assert torch.equal(out["latents"], enlarged(begun["latents"][None], 1.5, patch=1)[0])
    assert (facts["state"], facts["notes"][-1]) == (
        "final",
        "the latents were enlarged, and nothing was made anew: upscale_strength is 0",
    )
    with pytest.raises(InputError, match="nothing is left to do"):
        diffuse.run(models, begun, chosen, quiet)


def asked(folder: Path, *, said: Mapping[str, Any], history: list[dict[str, Any]], beside: str = "", **header: Any) -> Request:
    artifact = latents()
    changed = {"state": tiffsd.State.FINAL, "recipe": {**RECIPE, **said}, "history": tuple(history), **header}
    tiffsd.write(folder / "cat.tiff", replace(artifact, header=replace(artifact.header, **changed)))
    (folder / "cat.yaml").write_text(beside)
    members = {"principal": folder / "cat.tiff", **({".yaml": folder / "cat.yaml"} if beside else {})}
    return request_for("diffuse", members, InputSources(Config(), folder))


def test_finished_latents_of_a_first_pass_are_enlarged(tmp_path: Path) -> None:
    request = asked(tmp_path, said={"upscale": 1.5, "latent_influence": 1.2, "start_at": 2}, history=[FIRST])
    computed = stage_settings(request, Config())
    assert (computed["enlarged"], computed["strength"], computed["steps"]) == (1.5, 0.7, 12)
    assert "start_at" not in computed
    assert "latent_influence" not in computed
    # Whoever runs the recipe again runs both passes.
    wanted = {"upscale": 1.5, "upscale_strength": 0.7, "upscale_steps": 12, "width": 128, "height": 128, "steps": 12}
    assert request.recipe.items() >= {**wanted, "latent_influence": 1.2, "start_at": 2}.items()
    assert "strength" not in request.recipe
    assert (request.enlarged, request.enlarges_next) == (1.5, False)
    without = asked(tmp_path, said={"upscale": 1.5, "upscale_strength": 0.0}, history=[FIRST])
    assert (stage_settings(without, Config())["strength"], without.recipe["upscale_strength"]) == (0.0, 0.0)


def test_a_first_pass_says_that_a_second_follows(tmp_path: Path) -> None:
    request = asked(tmp_path, said={"upscale": 2}, history=[], state=tiffsd.State.NOISE)
    assert (request.enlarged, request.enlarges_next) == (None, True)
    again = asked(tmp_path, said={"upscale": 2}, history=[FIRST], beside="strength: 0.3\n")
    assert (again.enlarged, again.enlarges_next, again.settings.strength) == (None, True, 0.3)


def test_half_done_latents_of_a_second_pass_go_on_as_such(tmp_path: Path) -> None:
    said = {"upscale": 1.5, "upscale_steps": 8, "upscale_strength": 0.5}
    request = asked(tmp_path, said=said, history=[FIRST, SECOND], state=tiffsd.State.PARTIAL, step=6, steps=8)
    computed = stage_settings(request, Config())
    assert (computed["enlarged"], computed["steps"]) == (None, 8)
    assert (request.enlarged, request.recipe["steps"], request.recipe["width"]) == (1.5, 12, 128)


def test_what_is_said_for_the_second_pass_alone_is_no_part_of_the_recipe(tmp_path: Path) -> None:
    request = asked(tmp_path, said={"upscale": 1.5}, history=[FIRST], beside="scheduler: ddim\nupscale_strength: 0.4\n")
    assert (request.settings.scheduler, request.settings.strength) == ("ddim", 0.4)
    assert (request.recipe["scheduler"], request.recipe["upscale_strength"]) == ("euler", 0.4)
    assert request.notes[-1].startswith("scheduler differ from those of the first pass")


def test_latents_are_enlarged_once_only(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cat\.tiff: these latents are finished, so there is nothing left to denoise"):
        asked(tmp_path, said={"upscale": 1.5}, history=[FIRST, SECOND])
    with pytest.raises(InputError, match="these latents were enlarged already, and a recipe can say that once only"):
        asked(tmp_path, said={"upscale": 1.5}, history=[FIRST, SECOND], beside="upscale: 2\n")
    anew = asked(tmp_path, said={"upscale": 1.5}, history=[FIRST, SECOND, {"stage": "invert"}], state=tiffsd.State.NOISE)
    assert anew.enlarges_next


def test_more_dumps_than_files_are_wanted_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"dump_every 1 of 200 steps makes 200 files, the limit is 100 \(limits.count"):
        asked(tmp_path, said={"steps": 200, "dump_every": 1}, history=[], state=tiffsd.State.NOISE)
    with pytest.raises(InputError, match=r"upscale_steps is 2000, the limit is 1000 \(limits.steps"):
        asked(tmp_path, said={"upscale": 2, "upscale_steps": 2000}, history=[], state=tiffsd.State.NOISE)


def test_a_second_pass_beyond_the_limit_is_refused_before_the_first(tmp_path: Path) -> None:
    path = tmp_path / "cat.txt"
    path.write_text("---\nwidth: 1024\nheight: 1024\nupscale: 4\n---\na cat")
    with pytest.raises(InputError, match=r"cat.txt: upscale 4 makes 4096x4096, which is more than 4194304 pixels"):
        request_for("text", {"principal": path}, InputSources(Config(), tmp_path))
