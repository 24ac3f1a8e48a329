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
from daemon.models.schedulers import NAMES, RECIPES, SPACINGS, canonical, display
from daemon.models.scheduling import PartialSchedule, build, scheduler_with_timesteps
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
    for recipe in (RECIPES[name] for name in NOISE if RECIPES[name].spacing is None):
        parameters = inspect.signature(getattr(diffusers, recipe.class_name)).parameters
        for spacing, (_, options) in SPACINGS.items():
            assert (f"{recipe.name}_{spacing}" in NAMES) == (options.keys() <= parameters.keys()), (recipe.name, spacing)


@pytest.mark.parametrize(
    ("spelling", "name"),
    [
        ("ddim", "ddim"),
        ("Euler a", "euler_a"),
        ("Euler", "euler"),
        ("euler_a", "euler_a"),
        ("DPM++ 2M Karras", "dpmpp_2m_karras"),
        ("DPM++ 2M SDE Exponential", "dpmpp_2m_sde_exponential"),
        ("DPM++ 3M SDE", "dpmpp_3m_sde"),
        ("DPM++ 3M Karras", "dpmpp_3m_karras"),
        ("DPM2 a Karras", "dpm2_a_karras"),
        ("dpmpp-2m-karras", "dpmpp_2m_karras"),
        ("PLMS", "pndm"),
        ("UniPC", "unipc"),
        ("LMS Karras", "lms_karras"),
        ("Heun Beta", "heun_beta"),
        ("DPM++ 2M SGM Uniform", "dpmpp_2m_sgm_uniform"),
        ("Euler a SGM Uniform", "euler_a_sgm_uniform"),
    ],
)
def test_usual_spellings_are_understood(spelling: str, name: str) -> None:
    assert canonical(spelling) == name


def test_every_name_is_its_own_canonical_name() -> None:
    assert [canonical(name) for name in NAMES] == list(NAMES)


def test_unknown_scheduler_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="'eular_a' is not known; the nearest is 'euler_a'"):
        canonical("eular_a")


@pytest.mark.parametrize("name", ["ddim", "euler", "dpmpp_2m_karras", "flow_euler", "flow_unipc", "flow_heun"])
def test_noise_that_starts_in_the_middle_has_the_variance_of_latents_there(name: str) -> None:
    flow = RECIPES[name].flow
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0} if flow else CONFIG
    family = FLOW_FAMILY if flow else FAMILY
    scheduler = scheduler_with_timesteps(name, config, 8, family=family, denoiser={"in_channels": 64}, size=(8, 8), device="cpu")
    schedule = PartialSchedule(scheduler, 8, flow=flow, first=4)
    latents, noise = torch.randn((2, 1, 4, 200, 200), generator=torch.Generator().manual_seed(0))
    assert float(schedule.scaled(noise).std()) == pytest.approx(float(schedule.noised(latents, noise).std()), rel=0.01)


def test_the_lean_of_a_flow_schedule_is_the_same_for_every_scheduler() -> None:
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True, "shift": 3.0}
    size, denoiser = (64, 96), {"in_channels": 64}
    built = {
        name: scheduler_with_timesteps(name, config, 8, family=FLOW_FAMILY, denoiser=denoiser, size=size, device="cpu")
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
    assert [canonical(" ".join(filter(None, display(name)))) for name in NAMES] == list(NAMES)


def test_the_names_are_known_without_torch() -> None:
    code = "import sys, daemon.models.schedulers, daemon.compute.local, daemon.stages; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
