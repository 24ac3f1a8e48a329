"""A loop over a schedule of its own: stopped and taken up again to the bit, recorded, and refused before anything is computed."""

from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.errors import InputError
from daemon.models.families import FAMILIES
from daemon.models.registry import Models, ModelSpec
from daemon.models.schedulers import RECIPES
from daemon.models.schedules import SCHEDULES
from daemon.models.scheduling import Chosen, scheduler_with_timesteps
from daemon.stages import diffuse, encode, text
from tests import tiny
from tests.models.published import A1111_TIMESTEPS
from tests.parts import STEPS, embeddings, quiet, settings, start, through_numpy
from tests.thorough import mostly_thorough

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]

MAKERS = {"sd1": tiny.stable_diffusion, "sdxl": tiny.stable_diffusion_xl, "sd3": tiny.stable_diffusion_3, "flux": tiny.flux}
SCHEDULED = [recipe.name for recipe in RECIPES.values() if recipe.scheduled is not None and recipe.spacing is None]
OF_NOISE, OF_FLOW = ([name for name in SCHEDULED if RECIPES[name].flow == flow] for flow in (False, True))
CUTS = (1, 3, STEPS - 1)
# Each solver over one schedule, each schedule with one solver, and those that run more or fewer steps than were asked for.
TRIED = [
    *(("sd1", name, "karras", STEPS) for name in OF_NOISE),
    *(("sdxl", name, "kl_optimal", STEPS) for name in ("heun", "dpm2_a", "dpmpp_2m", "dpmpp_sde", "er_sde")),
    *(("sd1", "dpmpp_2m_sde", schedule, STEPS) for schedule in SCHEDULES),
    *(("sd1", "euler_a", schedule, 12) for schedule in ("ddim_uniform", "ddim_timesteps", "comfyui_beta")),
    ("sd1", "restart", "karras", 20),
    ("sd1", "dpm_fast", "karras", 8),
    *((family, name, schedule, STEPS) for family in ("sd3", "flux") for name in OF_FLOW for schedule in ("beta", "sgm_uniform")),
]


@pytest.mark.parametrize(
    ("family", "name", "schedule", "steps"),
    mostly_thorough(
        TRIED,
        always=lambda _family, name, schedule, _steps: schedule != "karras" or name in ("euler", "dpmpp_2m", "restart", "dpm_fast"),
    ),
)
def test_stopped_and_resumed_is_bit_equal_over_every_schedule(
    models: Models, folders: dict[str, Path], family: str, name: str, schedule: str, steps: int
) -> None:
    chosen = settings(folders[family], scheduler=name, schedule=schedule, steps=steps)
    tensors = start(models, chosen)
    whole, facts = diffuse.run(models, tensors, chosen, quiet)
    assert (facts["state"], facts["notes"]) == ("final", [])
    step: dict[str, Any] = {"state": "noise", "step": None}
    for cut in (*CUTS, steps):
        out, facts = diffuse.run(models, tensors, {**chosen, **step, "stop_at": cut}, quiet)
        assert (facts["state"], facts["step"]) == ("partial" if cut < steps else "final", cut)
        step = {"state": facts["state"], "step": cut}
        tensors = through_numpy(out) | embeddings(tensors)
    assert torch.equal(out["latents"], whole["latents"])


def test_half_done_latents_go_on_over_their_own_schedule_only(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="dpmpp_2m", schedule="karras")
    tensors = start(models, chosen)
    half, _ = diffuse.run(models, tensors, {**chosen, "stop_at": 4}, quiet)
    on = {**chosen, "state": "partial", "step": 4, "schedule": "simple"}
    with pytest.raises(
        InputError, match="made by dpmpp_2m over the schedule karras in 7 steps and cannot go on with dpmpp_2m over"
    ):
        diffuse.run(models, tensors | half, on, quiet)


@pytest.mark.parametrize("name", OF_NOISE)
def test_a_bare_name_has_the_levels_of_the_model(models: Models, folders: dict[str, Path], name: str) -> None:
    chosen = settings(folders["sd1"], scheduler=name)
    tensors = start(models, chosen)
    own, facts = diffuse.run(models, tensors, chosen, quiet)
    assert "schedule" not in facts
    other, facts = diffuse.run(models, tensors, {**chosen, "schedule": "sgm_uniform"}, quiet)
    assert "timestep_spacing" not in facts
    assert not torch.equal(own["latents"], other["latents"])
    same, _ = diffuse.run(models, tensors, {**chosen, "schedule": "own"}, quiet)
    assert torch.equal(own["latents"], same["latents"])


def test_an_eta_counts_where_the_solver_has_one_and_is_recorded(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="euler_a", schedule="karras")
    tensors = start(models, chosen)
    usual, facts = diffuse.run(models, tensors, chosen, quiet)
    assert facts["eta"] == 1.0
    without, facts = diffuse.run(models, tensors, {**chosen, "eta": 0.0}, quiet)
    assert (facts["eta"], facts["notes"]) == (0.0, [])
    euler, _ = diffuse.run(models, tensors, {**chosen, "scheduler": "euler"}, quiet)
    assert not torch.equal(usual["latents"], without["latents"])
    assert torch.allclose(without["latents"], euler["latents"], atol=1e-3)
    _, facts = diffuse.run(models, tensors, {**chosen, "scheduler": "dpmpp_2m", "eta": 0.5}, quiet)
    assert facts["eta"] is None
    assert facts["notes"] == [
        "eta ignored: dpmpp_2m does not support it; ddim and tcd do, and euler_a and its like with a schedule of their own"
    ]


@pytest.mark.thorough
def test_a_schedule_of_fewer_steps_ends_with_them(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="euler", schedule="comfyui_beta", steps=200)
    tensors = start(models, chosen)
    whole, facts = diffuse.run(models, tensors, chosen, quiet)
    for more in ({"stop_at": 199}, {"end_at": 199}):
        made, ended = diffuse.run(models, tensors, {**chosen, **more}, quiet)
        assert (ended["state"], ended["step"]) == (facts["state"], facts["step"]) == ("final", 200)
        assert torch.equal(made["latents"], whole["latents"])


def test_more_steps_than_a_model_was_trained_at_are_refused(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="dpmpp_2m_karras", steps=1001)
    with pytest.raises(InputError, match="trained at 1000 timesteps and cannot run 1001 steps; give fewer"):
        diffuse.run(models, start(models, {**chosen, "steps": 2}), chosen, quiet)


def test_cfg_pp_goes_by_the_prediction_without_the_prompt(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="euler_cfg_pp", schedule="karras", steps=4)
    tensors = start(models, chosen)
    found, facts = diffuse.run(models, tensors, chosen, quiet)
    assert facts["notes"] == []
    swapped = {**tensors, "prompt_embeds": tensors["negative_prompt_embeds"]}
    # Where both halves say the same there is nothing to go by, and it is Euler.
    same, _ = diffuse.run(models, swapped, chosen, quiet)
    euler, _ = diffuse.run(models, swapped, {**chosen, "scheduler": "euler"}, quiet)
    plain, _ = diffuse.run(models, tensors, {**chosen, "scheduler": "euler"}, quiet)
    assert torch.allclose(same["latents"], euler["latents"], atol=1e-3)
    assert not torch.allclose(found["latents"], plain["latents"], atol=1e-3)
    # By hand, with the two predictions of the denoiser at each level.
    assert torch.allclose(found["latents"], _by_hand(models, chosen, tensors), atol=2e-3)


def _by_hand(models: Models, chosen: dict[str, Any], tensors: dict[str, torch.Tensor]) -> torch.Tensor:
    model = ModelSpec.of(chosen)  # type: ignore[arg-type]
    unet, config = models.component(model, "unet"), models.config(model, "scheduler")
    family = FAMILIES["StableDiffusionPipeline"]
    euler = scheduler_with_timesteps(
        Chosen("euler", "karras"), config, chosen["steps"], family=family, denoiser={}, size=(8, 8), device="cpu"
    )
    words = torch.stack([tensors["negative_prompt_embeds"], tensors["prompt_embeds"]])
    x = tensors["latents"][None] * euler.sigmas[0]
    for sigma, following, timestep in zip(euler.sigmas, euler.sigmas[1:], euler.timesteps, strict=False):
        seen = torch.cat([x, x]) / (sigma**2 + 1) ** 0.5
        with torch.no_grad():
            without, given = unet(seen, timestep, encoder_hidden_states=words, return_dict=False)[0].chunk(2)
        guided = without + chosen["guidance_scale"] * (given - without)
        x = x - sigma * guided + following * without
    return x[0]


def test_cfg_pp_without_guidance_says_that_it_is_none(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="euler_cfg_pp", guidance_scale=1.0, negative_prompt="")
    _, facts = diffuse.run(models, start(models, chosen), chosen, quiet)
    assert any("without CFG++" in note for note in facts["notes"])


@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3", "flux"])
def test_each_family_has_a_scheduler_where_nobody_names_one(models: Models, folders: dict[str, Path], family: str) -> None:
    chosen = settings(folders[family], scheduler="automatic")
    tensors = start(models, chosen)
    made, facts = diffuse.run(models, tensors, chosen, quiet)
    name = "flow_euler" if family in ("sd3", "flux") else "dpmpp_2m_karras"
    assert facts["scheduler"] == name
    said, facts = diffuse.run(models, tensors, {**chosen, "scheduler": name}, quiet)
    assert "scheduler" not in facts
    assert torch.equal(made["latents"], said["latents"])


def test_what_a_model_cannot_take_is_refused_before_the_text_encoders_run(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["flux"], scheduler="euler_a")
    for run, tensors in ((text.run, {}), (encode.run, {"picture": torch.zeros(64, 64, 3)})):
        with pytest.raises(InputError, match="'euler_a' does not fit this model"):
            run(models, tensors, chosen, quiet)


@pytest.mark.parametrize(
    ("name", "schedule", "steps", "way_out"),
    [
        ("ddim", "ddim_timesteps", 1, "more"),
        ("dpm2", "ddim_timesteps", 1, "more"),
        ("dpm2", "simple", 1000, "fewer"),
        ("dpmpp_3m_sde", "turbo", 1000, "fewer"),
        ("unipc", "turbo", 1000, "fewer"),
    ],
)
def test_a_schedule_of_no_step_or_of_equal_levels_is_refused(
    models: Models, folders: dict[str, Path], name: str, schedule: str, steps: int, way_out: str
) -> None:
    chosen = settings(folders["sd1"], scheduler=name, schedule=schedule, steps=steps)
    with pytest.raises(InputError, match=f"the schedule {schedule} cannot be of {steps} steps with this model; give {way_out}"):
        diffuse.run(models, start(models, chosen), chosen, quiet)


def test_a_picture_that_would_begin_behind_the_end_of_a_short_schedule_is_refused(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="euler", schedule="comfyui_beta", steps=200)
    with pytest.raises(InputError, match="nothing is left to do: this schedule ends before step 199 of 200; raise strength"):
        diffuse.run(models, start(models, chosen), {**chosen, "state": "final", "strength": 0.005}, quiet)


@pytest.mark.parametrize("steps", [3, 7, 9, 20, 27, 37, 105, 300])
def test_the_timesteps_of_ddim_are_those_of_a1111(models: Models, folders: dict[str, Path], steps: int) -> None:
    spec = ModelSpec.of(settings(folders["sd1"]))
    config, denoiser = models.config(spec, "scheduler", as_of=None), models.denoiser_config(spec)
    scheduler = scheduler_with_timesteps(
        Chosen("ddim", "ddim_timesteps"), config, steps, family=models.family(spec), denoiser=denoiser, size=(8, 8), device="cpu"
    )
    expected = torch.tensor(A1111_TIMESTEPS(steps)[:0:-1].copy(), dtype=torch.float32)
    assert torch.allclose(scheduler.timesteps, expected, atol=1e-2)


@pytest.mark.parametrize("start_at", range(1, 8))
def test_dpm_fast_begins_within_one_of_its_solvers_too(models: Models, folders: dict[str, Path], start_at: int) -> None:
    chosen = settings(folders["sd1"], scheduler="dpm_fast", schedule="karras", steps=8)
    tensors = start(models, chosen)
    made, _ = diffuse.run(models, tensors, {**chosen, "state": "final", "start_at": start_at}, quiet)
    half, _ = diffuse.run(models, tensors, {**chosen, "stop_at": start_at}, quiet)
    painted, _ = diffuse.run(models, tensors | half, {**chosen, "state": "partial", "step": start_at, "painted": 1.0}, quiet)
    assert torch.isfinite(made["latents"]).all()
    assert torch.isfinite(painted["latents"]).all()
