"""What a loop that is left early gives, beside the loop of diffusers' own pipeline, watched at the same step."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.models.registry import Models
from daemon.stages import diffuse
from tests import tiny
from tests.parts import (
    NEGATIVE,
    PROMPT,
    SIZE,
    STEPS,
    embeddings,
    generator,
    one_piece,
    quiet,
    settings,
    start,
    through_numpy,
    unpacked,
)

MAKERS = {
    "sd1": tiny.stable_diffusion,
    "sd2": lambda path: tiny.stable_diffusion(path, version=2),
    "sd3": tiny.stable_diffusion_3,
}
LEFT_AT = 3  # in the middle, where an estimate that is wrong in a sign or a scale is far off

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return {name: make(tmp_path_factory.mktemp("models") / name) for name, make in MAKERS.items()}


def watched(pipe: Any, see: Callable[[Any, torch.Tensor, torch.Tensor], torch.Tensor]) -> list[torch.Tensor]:
    """Run a pipeline; what `see` makes of each call of its scheduler's step: of its result, the prediction and the latents."""
    seen: list[torch.Tensor] = []
    step = pipe.scheduler.step

    def watching(prediction: torch.Tensor, timestep: Any, latents: torch.Tensor, *args: Any, **more: Any) -> Any:
        before = latents.clone()
        stepped = step(prediction, timestep, latents, *args, **{**more, "return_dict": True})
        seen.append(see(stepped, prediction, before))
        return (stepped.prev_sample,)

    pipe.scheduler.step = watching
    words = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "width": SIZE, "height": SIZE}
    pipe(**words, num_inference_steps=STEPS, guidance_scale=5.0, generator=generator(), output_type="latent")
    return seen


@pytest.mark.parametrize(("family", "name"), [("sd1", "euler"), ("sd2", "euler"), ("sd1", "ddim"), ("sd2", "ddim")])
def test_end_at_gives_the_estimate_of_diffusers_own_scheduler(folders: dict[str, Path], family: str, name: str) -> None:
    models, chosen = Models(1 << 30), settings(folders[family], scheduler=name)
    early, facts = diffuse.run(models, start(models, chosen), {**chosen, "end_at": LEFT_AT}, quiet)
    theirs = watched(one_piece(folders[family], name), lambda stepped, *_: stepped.pred_original_sample)
    assert (facts["state"], facts["step"]) == ("final", LEFT_AT)
    assert torch.allclose(early["latents"], theirs[LEFT_AT - 1][0], atol=1e-4)


def test_end_at_of_a_flow_goes_straight_to_its_end(folders: dict[str, Path]) -> None:
    models, chosen = Models(1 << 30), settings(folders["sd3"], scheduler="flow_euler")
    early, _ = diffuse.run(models, start(models, chosen), {**chosen, "end_at": LEFT_AT}, quiet)
    pipe = one_piece(folders["sd3"], "flow_euler")

    def at_the_end(_: Any, velocity: torch.Tensor, latents: torch.Tensor) -> torch.Tensor:
        return latents - pipe.scheduler.sigmas[pipe.scheduler.step_index - 1] * velocity

    assert torch.allclose(early["latents"], unpacked(watched(pipe, at_the_end)[LEFT_AT - 1]), atol=1e-4)


@pytest.mark.parametrize("name", ["euler", "heun", "dpm2"])
def test_a_loop_is_left_after_whole_steps(folders: dict[str, Path], name: str) -> None:
    models, chosen = Models(1 << 30), settings(folders["sd1"], scheduler=name)
    half, facts = diffuse.run(models, start(models, chosen), {**chosen, "stop_at": LEFT_AT}, quiet)
    pipe = one_piece(folders["sd1"], name)
    theirs = watched(pipe, lambda stepped, *_: stepped.prev_sample.clone())
    evaluations = LEFT_AT * pipe.scheduler.order
    assert facts["step"] == LEFT_AT
    assert torch.equal(half["latents"], theirs[evaluations - 1][0])


def test_lms_begins_afresh_on_painted_latents_as_euler_does(folders: dict[str, Path]) -> None:
    models, chosen = Models(1 << 30), settings(folders["sd1"], scheduler="lms")
    tensors = start(models, chosen)
    half, _ = diffuse.run(models, tensors, {**chosen, "stop_at": LEFT_AT}, quiet)
    resumed = {**chosen, "state": "partial", "step": LEFT_AT, "stop_at": LEFT_AT + 1}
    kept = {"latents": half["latents"]}
    painted, _ = diffuse.run(models, embeddings(tensors) | through_numpy(half), {**resumed, "painted": 1}, quiet)
    euler, _ = diffuse.run(models, embeddings(tensors) | through_numpy(kept), {**resumed, "scheduler": "euler"}, quiet)
    assert torch.allclose(painted["latents"], euler["latents"], atol=1e-4)
