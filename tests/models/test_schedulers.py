"""The scheduler names: every name builds, the spellings of A1111 are understood, the spacings are where the classes offer them."""

import inspect
import math
import subprocess
import sys

import diffusers
import pytest
import torch

from daemon.errors import InputError
from daemon.models.families import FAMILIES
from daemon.models.partial_schedule import PartialSchedule
from daemon.models.schedulers import NAMES, RECIPES, SPACINGS, canonical, display, paired, read_name, written_before
from daemon.models.scheduling import Chosen, build, chosen_for, scheduler_with_timesteps
from tests import tiny

FAMILY, FLOW_FAMILY = FAMILIES["StableDiffusionPipeline"], FAMILIES["FluxPipeline"]
NOISE = [name for name, recipe in RECIPES.items() if not recipe.flow]
CONFIG = {"_class_name": "DDIMScheduler", "prediction_type": "epsilon", "clip_sample": True, **tiny.SCHEDULE}


@pytest.mark.parametrize("name", NOISE)
def test_every_name_builds_a_scheduler_that_takes_the_models_configuration(name: str) -> None:
    scheduler = build(name, CONFIG, FAMILY)
    scheduler.set_timesteps(8)
    assert type(scheduler).__name__ == RECIPES[name].class_name
    assert scheduler.config.beta_schedule == "scaled_linear"
    assert not scheduler.config.get("clip_sample", False)
    for spacing, (_, options) in SPACINGS.items():
        taken = all(scheduler.config.get(key) == value for key, value in options.items())
        assert taken == (RECIPES[name].spacing == spacing), spacing


def test_the_spacing_of_the_models_configuration_does_not_come_through() -> None:
    told = {**CONFIG, "use_karras_sigmas": True}
    assert not build("euler", told, FAMILY).config.use_karras_sigmas
    assert build("euler_exponential", told, FAMILY).config.use_exponential_sigmas
    assert build("euler_karras", CONFIG, FAMILY).config.use_karras_sigmas


def test_spacings_are_offered_exactly_where_the_class_has_them() -> None:
    for recipe in (
        RECIPES[name] for name in NOISE if RECIPES[name].spacing is None and hasattr(diffusers, RECIPES[name].class_name)
    ):
        if recipe.name == "unipc_bh1":  # ends at a level of its own
            continue
        parameters = inspect.signature(getattr(diffusers, recipe.class_name)).parameters
        for spacing, (_, options) in SPACINGS.items():
            assert (f"{recipe.name}_{spacing}" in NAMES) == (options.keys() <= parameters.keys()), (recipe.name, spacing)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        # Our own, with the schedule of the model
        ("ddim", ("ddim", None)),
        ("euler_a", ("euler_a", None)),
        ("dpmpp-2m-karras", ("dpmpp_2m_karras", None)),
        ("automatic", ("automatic", None)),
        # A1111's, with the schedule that is automatic there, or with that behind the name
        ("Euler a", ("euler_a", "normal")),
        ("Euler", ("euler", "normal")),
        ("DPM++ 2M", ("dpmpp_2m", "karras")),
        ("DPM++ 2M Karras", ("dpmpp_2m", "karras")),
        ("DPMPP 2M", ("dpmpp_2m", "karras")),
        ("DPM++ 2M SDE", ("dpmpp_2m_sde", "exponential")),
        ("DPM++ 2M SDE Heun Karras", ("dpmpp_2m_sde_heun", "karras")),
        ("DPM++ 3M SDE", ("dpmpp_3m_sde", "exponential")),
        ("DPM2 a Karras", ("dpm2_a", "karras")),
        ("LMS Karras", ("lms", "karras")),
        ("Heun Beta", ("heun", "beta")),
        ("Euler a SGM Uniform", ("euler_a", "sgm_uniform")),
        ("Euler SGMUniform", ("euler", "sgm_uniform")),
        ("DPM++ 2M Align Your Steps", ("dpmpp_2m", "align_your_steps")),
        ("Restart", ("restart", "karras")),
        ("PLMS", ("pndm", None)),
        ("DDIM", ("ddim", "ddim_timesteps")),
        ("UniPC", ("unipc_bh1", "time_uniform")),
        ("LCM", ("lcm", "lcm_timesteps")),
        ("euler_a_karras", ("euler_a", "karras")),
        # ComfyUI's
        ("euler_ancestral", ("euler_a", "normal")),
        ("dpm_2_ancestral", ("dpm2_a", "normal")),
        ("dpmpp_2m_sde_gpu", ("dpmpp_2m_sde", "normal")),
        ("dpm_2", ("dpm2", "normal")),
        ("uni_pc", ("unipc_bh1", "normal")),
        ("uni_pc_bh2", ("unipc", "normal")),
        ("ddpm", ("ddpm", None)),
        # InvokeAI's, which are diffusers' with Karras' levels
        ("dpmpp_2m_k", ("dpmpp_2m_karras", None)),
        ("kdpm_2_a_k", ("dpm2_a_karras", None)),
        ("kdpm_2", ("dpm2", None)),
        # the classes of diffusers
        ("EulerDiscreteScheduler", ("euler", None)),
        ("EulerAncestralDiscreteScheduler", ("euler_a", None)),
        ("DPMSolverMultistepScheduler", ("dpmpp_2m", None)),
        ("FlowMatchEulerDiscreteScheduler", ("flow_euler", None)),
        # the AI Horde's and SD.Next's
        ("k_euler", ("euler", "normal")),
        ("k_dpm_2", ("dpm2", "normal")),
        ("k_dpm_2_a", ("dpm2_a", "normal")),
        ("TCD", ("tcd", None)),
        ("k_dpmpp_sde", ("dpmpp_sde", "normal")),
        ("Default", ("default", None)),
    ],
)
def test_usual_spellings_are_understood(spelling: str, name: tuple[str, str | None]) -> None:
    assert read_name(spelling) == name


@pytest.mark.parametrize("name", [name for name in NAMES if RECIPES[RECIPES[name].plain].scheduled is None])
def test_what_takes_no_schedule_has_none_that_is_automatic(name: str) -> None:
    assert paired(name, "automatic") == (name, None)


def test_every_name_is_its_own_canonical_name() -> None:
    assert [read_name(name) for name in NAMES] == [(name, None) for name in NAMES]


def test_unknown_scheduler_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="'eular_a' is not known; the nearest is 'euler_a'"):
        canonical("eular_a")


def test_a_name_that_is_like_none_is_refused_without_a_nearest() -> None:
    with pytest.raises(InputError) as refusal:
        canonical("magic")
    assert "nearest" not in str(refusal.value)


@pytest.mark.parametrize(("name", "instead"), [("DPM adaptive", "dpmpp_2m_karras"), ("heunpp2", "heun"), ("seeds_2", "dpmpp_sde")])
def test_what_people_ask_for_and_cannot_have_is_refused_with_what_does_the_same(name: str, instead: str) -> None:
    with pytest.raises(InputError, match=f"{instead} does much the same"):
        canonical(name)


@pytest.mark.parametrize("name", ["pndm", "tcd", "default"])
def test_a_scheduler_that_goes_by_the_timesteps_of_the_model_takes_no_schedule(name: str) -> None:
    with pytest.raises(InputError, match="schedule"):
        paired(name, "karras")


def test_the_schedule_beside_a_name_wins_and_automatic_is_that_of_a1111() -> None:
    assert paired("dpmpp_2m_karras", "simple") == ("dpmpp_2m", "simple")
    assert paired("DPM++ 2M Karras", "SGM Uniform") == ("dpmpp_2m", "sgm_uniform")
    assert paired("dpmpp_2m", "Automatic") == ("dpmpp_2m", "karras")
    assert paired("euler_karras", "automatic") == ("euler_karras", None)
    assert read_name("DPM++ 2M Automatic") == ("dpmpp_2m", "karras")
    assert paired("deis", "karras") == ("deis_karras", None)
    with pytest.raises(InputError, match="align_your_steps was made for models of noise prediction"):
        paired("flow_euler", "align_your_steps")
    with pytest.raises(InputError, match="the schedule 'karass' is not known; the nearest is 'karras'"):
        paired("euler", "karass")


@pytest.mark.parametrize(
    ("said", "schedule", "found"),
    [
        ("automatic", None, Chosen("flow_euler")),
        ("euler", None, Chosen("flow_euler")),
        ("Euler", "Simple", Chosen("flow_euler", "simple")),
        ("dpmpp_2m_karras", None, Chosen("flow_dpmpp_2m")),
        ("euler_karras", None, Chosen("flow_euler_karras")),
        ("LCM", "sgm_uniform", Chosen("flow_lcm", "sgm_uniform")),
        ("uni_pc", "simple", Chosen("flow_unipc", "simple")),
        ("default", None, Chosen(None)),
        (None, None, Chosen(None)),
    ],
)
def test_a_solver_means_its_form_for_flow_matching_where_the_model_needs_it(
    said: str | None, schedule: str | None, found: Chosen
) -> None:
    assert chosen_for(FLOW_FAMILY, {"scheduler": said, "schedule": schedule}) == found


def test_a_solver_that_has_no_form_for_flow_matching_is_refused_with_those_that_have() -> None:
    with pytest.raises(
        InputError, match="'euler_a' does not fit this model; Flux takes those of flow matching: flow_euler, flow_heun"
    ):
        chosen_for(FLOW_FAMILY, {"scheduler": "euler_a"})


@pytest.mark.parametrize("name", ["ddim", "euler", "dpmpp_2m_karras", "flow_euler", "flow_unipc", "flow_heun"])
def test_noise_that_starts_in_the_middle_has_the_variance_of_latents_there(name: str) -> None:
    flow = RECIPES[name].flow
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0} if flow else CONFIG
    family = FLOW_FAMILY if flow else FAMILY
    scheduler = scheduler_with_timesteps(
        Chosen(name), config, 8, family=family, denoiser={"in_channels": 64}, size=(8, 8), device="cpu"
    )
    schedule = PartialSchedule(scheduler, 8, flow=flow, first=4)
    latents, noise = torch.randn((2, 1, 4, 200, 200), generator=torch.Generator().manual_seed(0))
    assert float(schedule.scaled(noise).std()) == pytest.approx(float(schedule.noised(latents, noise).std()), rel=0.01)


def test_the_lean_of_a_flow_schedule_is_the_same_for_every_scheduler() -> None:
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True, "shift": 3.0}
    size, denoiser = (64, 96), {"in_channels": 64}
    built = {
        name: scheduler_with_timesteps(Chosen(name), config, 8, family=FLOW_FAMILY, denoiser=denoiser, size=size, device="cpu")
        for name in ("flow_euler", "flow_heun", "flow_dpmpp_2m", "flow_unipc")
    }
    mu = FLOW_FAMILY.mu(config, denoiser, size)
    assert mu == pytest.approx(0.5 + (1.15 - 0.5) * (32 * 48 - 256) / (4096 - 256))
    assert [built["flow_heun"].config.shift, built["flow_dpmpp_2m"].config.flow_shift, built["flow_unipc"].config.flow_shift] == [
        pytest.approx(math.exp(mu))
    ] * 3
    middle = {name: float(scheduler.sigmas[scheduler.sigmas > 0].median()) for name, scheduler in built.items()}
    assert max(middle.values()) - min(middle.values()) < 0.12, middle


def test_scheduler_of_flow_matching_is_refused_for_a_model_of_noise_prediction() -> None:
    with pytest.raises(InputError, match="flow_euler"):
        build("flow_euler", CONFIG, FAMILY)


def test_without_a_name_the_models_own_scheduler_is_built() -> None:
    assert type(build(None, CONFIG, FAMILY)) is diffusers.DDIMScheduler


def test_display_gives_the_names_of_a1111() -> None:
    assert display("dpmpp_2m_karras") == ("DPM++ 2M", "Karras")
    assert display("euler_a") == ("Euler a", None)
    assert display("sa_solver") == ("sa_solver", None)
    assert display("euler_sgm_uniform") == ("Euler", "SGM Uniform")
    assert display("dpmpp_2m", "align_your_steps") == ("DPM++ 2M", "Align Your Steps")
    assert display("automatic") == ("automatic", None)


def test_what_was_written_before_there_were_schedules_is_read_as_it_was_meant() -> None:
    assert [written_before(*display(name)) for name in NAMES] == list(NAMES)


def test_the_names_are_known_without_torch() -> None:
    code = "import sys, daemon.models.schedulers, daemon.compute.local, daemon.stages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
