"""Paint on a picture in the middle of the pipeline: which latents change, by how much, and how long the loop keeps it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.errors import InputError
from daemon.models import schedulers
from daemon.models.families import FAMILIES, Family
from daemon.models.partial_schedule import PartialSchedule, index_of
from daemon.models.registry import Models, ModelSpec
from daemon.models.scheduling import Chosen, scheduler_with_timesteps
from daemon.stages import decode, diffuse
from daemon.stages.loop import BLOCKS, PAINTED, SHOWN
from daemon.stages.painting import paint_of
from tests import tiny
from tests.parts import STEPS, Tensors, quiet, settings, start

HALF = 3
LOOPS = [("sd1", "ddim"), ("sd1", "euler"), ("sd1", "dpmpp_2m"), ("sd3", "flow_euler"), ("flux", "flow_euler")]
ROOM = {"memory_bytes": 10**9, "scratch": "."}
MAKERS = {
    "sd1": tiny.stable_diffusion,
    "sd1-inpainting": lambda path: tiny.stable_diffusion(path, inpainting=True),
    "sd3": tiny.stable_diffusion_3,
    "flux": tiny.flux,
}
FLOW_SCHEDULER = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0}
SCHEDULER = {"_class_name": "DDIMScheduler", "prediction_type": "epsilon", **tiny.SCHEDULE}


def schedule_of(name: str, first: int, *, family: Family | None = None, config: Mapping[str, Any] | None = None) -> PartialSchedule:
    flow = schedulers.RECIPES[name].flow
    family = family or FAMILIES["FluxPipeline" if flow else "StableDiffusionPipeline"]
    config = config or (FLOW_SCHEDULER if flow else SCHEDULER)
    scheduler = scheduler_with_timesteps(
        Chosen(name), config, STEPS, family=family, denoiser={"in_channels": 64}, size=(8, 8), device="cpu"
    )
    schedule = PartialSchedule(scheduler, STEPS, flow=flow, first=index_of(first, STEPS, scheduler))
    return schedule


@pytest.mark.parametrize("name", schedulers.RECIPES)
def test_the_factor_takes_a_change_of_the_finished_latents_to_those_with_noise(name: str) -> None:
    x0, noise, change = torch.randn((3, 1, 4, 8, 8), generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for step in (1, HALF, STEPS - 1) if schedulers.RECIPES[name].spacing is None else (HALF,):
        schedule = schedule_of(name, step)
        a, s = schedule.factors()
        noised = schedule.noised(x0, noise)
        assert a > 0
        assert s > 0
        torch.testing.assert_close(noised + a * change, schedule.noised(x0 + change, noise), rtol=0, atol=1e-6 * max(1, s))
        torch.testing.assert_close(a * x0 + s * noise, noised, rtol=0, atol=1e-6 * max(1, s))


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    made = {name: tmp_path_factory.mktemp("models") / name for name in MAKERS}
    for name, path in made.items():
        MAKERS[name](path)
    return made


def painted_on(models: Models, chosen: dict[str, Any], clean: torch.Tensor) -> tuple[Tensors, torch.Tensor]:
    """A picture of these finished latents with a red square on it, as the files of a person give it; and its blocks."""
    decoded, _ = decode.run(models, {"latents": clean}, chosen, quiet)
    shown = (decoded["picture"].clamp(0, 1) * 255).round() / 255
    paint = shown.clone()
    factor = shown.shape[0] // clean.shape[1]
    paint[factor : 3 * factor, factor : 4 * factor] = torch.tensor([1.0, 0.0, 0.0])
    blocks = torch.zeros(clean.shape[1:], dtype=torch.bool)
    blocks[1:3, 1:4] = True
    return {SHOWN: shown, PAINTED: paint, BLOCKS: blocks}, blocks


@pytest.mark.parametrize(("family", "name"), [*LOOPS, ("sd1-inpainting", "euler")])
def test_of_finished_latents_only_the_painted_blocks_change(
    models: Models, folders: dict[str, Path], family: str, name: str
) -> None:
    chosen = settings(folders[family], scheduler=name, room=ROOM)
    finished = start(models, chosen)["latents"]
    paint, blocks = painted_on(models, chosen, finished)
    found = paint_of(models, {"latents": finished, **paint}, {**chosen, "state": "final"}, quiet)
    assert found is not None
    painted = found.on(finished[None])[0]
    assert torch.equal(painted[:, ~blocks], finished[:, ~blocks])
    assert not torch.equal(painted[:, blocks], finished[:, blocks])
    seen, _ = decode.run(models, {"latents": finished, **paint}, chosen, quiet)
    decoded, _ = decode.run(models, {"latents": painted}, chosen, quiet)
    assert torch.equal(seen["picture"], decoded["picture"])


@pytest.mark.parametrize(("family", "name"), LOOPS)
def test_paint_on_half_done_latents_is_held_through_the_loop(
    models: Models, folders: dict[str, Path], family: str, name: str
) -> None:
    chosen = settings(folders[family], scheduler=name, room=ROOM)
    tensors = start(models, chosen)
    half, _ = diffuse.run(models, tensors, {**chosen, "stop_at": HALF}, quiet)
    paint, blocks = painted_on(models, chosen, half["estimate"])
    going_on = {**chosen, "state": "partial", "step": HALF}
    found = paint_of(models, {**half, **paint}, going_on, quiet)
    assert found is not None
    made, facts = diffuse.run(models, {**tensors, **half, **paint}, {**going_on, "stop_at": HALF + 1}, quiet)

    # What the loop was begun with, and what its first step may not take away: the same noise over what was shown and painted.
    model = ModelSpec.of(chosen)  # type: ignore[arg-type]
    own = {"family": models.family(model), "config": models.config(model, "scheduler")}
    schedule, following = (schedule_of(name, step, **own) for step in (HALF, HALF + 1))
    a, s = schedule.factors()
    noise = (half["latents"] - a * half["estimate"]) / s
    held = following.noised(found.on(found.clean), noise[None])[0]
    torch.testing.assert_close(made["latents"][:, blocks], held[:, blocks], rtol=1e-4, atol=1e-4)
    assert not torch.allclose(made["latents"][:, ~blocks], held[:, ~blocks], atol=1e-2)
    assert any("painted on" in note for note in facts["notes"])


def test_paint_on_latents_of_another_size_is_refused(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], room=ROOM)
    finished = start(models, chosen)["latents"]
    paint, _ = painted_on(models, chosen, finished)
    with pytest.raises(InputError, match="not of the size of these latents; paint on the proof"):
        decode.run(models, {"latents": finished[:, :4], **paint}, chosen, quiet)
