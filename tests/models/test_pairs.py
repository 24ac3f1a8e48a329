"""All samplers and schedules of A1111 and ComfyUI: taken with the right pictures, or refused with a sentence; and the table of it.

The whole pass of ours, over a mixture of two Gaussians whose best denoiser is known, against the reference in float64."""

import itertools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from daemon.models.families import FAMILIES
from daemon.models.partial_schedule import PartialSchedule
from daemon.models.schedulers import RECIPES, Named, read_name
from daemon.models.schedules import SCHEDULES
from daemon.models.scheduling import Chosen, scheduler_with_timesteps
from tests.models import pairs, published
from tests.models.pairs import A1111, COMFYUI, COMFYUI_SCHEDULES, TYPES, Noises
from tests.models.published import Array

PAGE = Path(__file__).parents[2] / "docs/samplers.md"
NOISES = Noises.of()
OFFERED = [name for name in A1111 if not pairs.refusal(lambda name=name: pairs.named_by_a1111(name, TYPES[0]))]  # type: ignore[misc]


@pytest.mark.parametrize("kind", TYPES)
@pytest.mark.parametrize("sampler", OFFERED)
def test_a_pair_of_a1111_goes_the_way_that_it_goes_there(sampler: str, kind: str) -> None:
    difference = pairs.ours(pairs.named_by_a1111(sampler, kind), NOISES) - pairs.of_a1111(sampler, kind, NOISES)
    assert np.abs(difference).max() <= pairs.tolerance(sampler, kind)


def test_of_260_pairs_of_a1111_those_of_18_samplers_are_offered() -> None:
    assert len(A1111) * len(TYPES) == 260
    assert sorted(set(A1111) - set(OFFERED)) == ["DDIM CFG++", "DPM adaptive"]


@pytest.mark.parametrize(
    "sampler", [name for name in COMFYUI if not pairs.refusal(lambda n=name: pairs.named_by_comfyui(n, "normal"))]
)  # type: ignore[misc]
def test_a_sampler_of_comfyui_goes_the_way_that_it_goes_there_over_all_of_its_schedules(sampler: str) -> None:
    for schedule in COMFYUI_SCHEDULES:
        difference = pairs.ours(pairs.named_by_comfyui(sampler, schedule), NOISES) - pairs.of_comfyui(sampler, schedule, NOISES)
        assert np.abs(difference).max() <= pairs.TOLERANCE, schedule


# The same under two names; the reference has tests that say so, and below twenty steps Restart is Heun.
SAME = [{"ddpm", "euler_a"}, {"ddim", "euler"}, {"dpmpp_2m_sde_heun", "res_multistep_a"}, {"heun", "restart"}]
SOLVERS = {
    "euler": "euler",
    "ddim": "euler",
    "euler_a": "euler_ancestral",
    "ddpm": "ddpm",
    "heun": "heun",
    "lms": "lms",
    "dpm2": "dpm_2",
    "dpm2_a": "dpm_2_ancestral",
    "dpm_fast": "dpm_fast",
    "dpmpp_2s_a": "dpmpp_2s_ancestral",
    "dpmpp_sde": "dpmpp_sde",
    "dpmpp_2m": "dpmpp_2m",
    "dpmpp_2m_sde": "dpmpp_2m_sde",
    "dpmpp_2m_sde_heun": "dpmpp_2m_sde_heun",
    "dpmpp_3m_sde": "dpmpp_3m_sde",
    "lcm": "lcm",
    "restart": "restart",
    "er_sde": "er_sde",
    "res_multistep": "res_multistep",
    "res_multistep_a": "res_multistep_ancestral",
    "gradient_estimation": "gradient_estimation",
}


def test_the_right_levels_with_a_wrong_solver_do_not_pass() -> None:
    sigmas = published.SCHEDULES["Beta"](12, pairs.TABLE, False)
    tried = [name for name in SOLVERS if not RECIPES[name].discards]
    found = {name: pairs.ours(Named(name, "beta"), NOISES, 12) for name in tried}
    right = {name: published.run(SOLVERS[name], sigmas, pairs.of_noise, NOISES.first, NOISES.draw()) for name in tried}
    for name, other in itertools.product(tried, tried):
        difference = np.abs(found[name] - right[other]).max()
        if name == other or {name, other} in SAME:
            assert difference <= pairs.TOLERANCE, (name, other)
        else:
            assert difference > 3 * pairs.TOLERANCE, (name, other)


def test_the_right_solver_over_wrong_levels_does_not_pass() -> None:
    steps, same = 26, [{"Uniform", "Normal"}, {"Exponential", "Polyexponential"}]
    found = {label: pairs.ours(pairs.named_by_a1111("DPM++ 2M", label), NOISES, steps) for label in published.SCHEDULES}
    right = {label: pairs.of_a1111("DPM++ 2M", label, NOISES, steps) for label in published.SCHEDULES}
    for label, other in itertools.permutations(found, 2):
        if {label, other} not in same:
            assert np.abs(found[label] - right[other]).max() > pairs.TOLERANCE, (label, other)


@pytest.mark.parametrize("eta", [0.0, 0.4])
@pytest.mark.parametrize("sampler", ["Euler a", "DPM2 a", "DPM++ 2S a", "DPM++ SDE", "DPM++ 2M SDE", "DPM++ 3M SDE", "DPM fast"])
def test_eta_counts_as_in_a1111(sampler: str, eta: float) -> None:
    named = pairs.named_by_a1111(sampler, "Karras")
    difference = pairs.ours(named, NOISES, eta=eta) - pairs.of_a1111(sampler, "Karras", NOISES, eta=eta)
    assert np.abs(difference).max() <= pairs.TOLERANCE
    assert np.abs(pairs.ours(named, NOISES, eta=eta) - pairs.ours(named, NOISES)).max() > 0.01


def test_the_steps_of_a_long_restart_are_those_of_a1111() -> None:
    noises = Noises.of(1, 200)
    for steps in (12, 19, 20, 36, 50):
        difference = pairs.ours(Named("restart", "karras"), noises, steps) - pairs.of_a1111("Restart", "Karras", noises, steps)
        assert np.abs(difference).max() <= pairs.TOLERANCE, steps


def test_align_your_steps_is_another_for_xl() -> None:
    family = FAMILIES["StableDiffusionXLPipeline"]
    scheduler = scheduler_with_timesteps(
        Chosen("euler", "align_your_steps"), pairs.CONFIG, 11, family=family, denoiser={}, size=(8, 8), device="cpu"
    )
    assert scheduler.sigmas.tolist() == pytest.approx([*published.AYS[True], 0.0])


FLOW = FAMILIES["FluxPipeline"]
FLOW_CONFIG = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 3.0, "use_dynamic_shifting": False}
FLOW_SCHEDULES = {"beta": "comfyui_beta", "kl_optimal": "comfyui_kl_optimal"}


def flowing(named: Named, steps: int, denoise: Callable[[Array, float], Array]) -> Array:
    """The whole pass of our scheduler of flow matching."""
    chosen = Chosen(named.scheduler, named.schedule)
    told = {"denoiser": {"in_channels": 64}, "size": (8, 8), "device": "cpu"}
    schedule = PartialSchedule(scheduler_with_timesteps(chosen, FLOW_CONFIG, steps, family=FLOW, **told), steps, flow=True)
    schedule.generator = pairs.Draws(list(NOISES.drawn))
    x = schedule.scaled(torch.from_numpy(NOISES.first).float())
    for timestep in schedule.timesteps:
        sigma = float(timestep) / 1000
        velocity = (x.double().numpy() - denoise(x.double().numpy(), sigma)) / sigma
        x = schedule.step(torch.from_numpy(velocity).float(), timestep, x, return_dict=False)[0]
    return x.double().numpy()


@pytest.mark.parametrize("schedule", published.FLOW_SCHEDULES)
@pytest.mark.parametrize("solver", ["euler", "heun", "lcm", "dpmpp_2m"])
def test_a_model_of_flow_matching_takes_the_schedules_of_comfyui(solver: str, schedule: str) -> None:
    denoise = published.flow_gaussian(0.4, 0.6)
    levels = published.FLOW_SCHEDULES[schedule](12, published.flow_table(3.0))
    if solver == "dpmpp_2m":
        levels = levels.clip(max=0.9999)  # it goes by the logarithm of the signal
    found = flowing(Named(f"flow_{solver}", FLOW_SCHEDULES.get(schedule, schedule)), 12, denoise)
    right = published.run_flow(solver, levels, denoise, NOISES.first / levels[0], NOISES.draw())
    assert np.abs(found - right).max() <= pairs.TOLERANCE


def test_every_schedule_is_tried_against_the_reference() -> None:
    tried = {read_name("Euler").schedule, *COMFYUI_SCHEDULES.values()}
    for sampler, kind in itertools.product(OFFERED, TYPES):
        tried.add(pairs.named_by_a1111(sampler, kind).schedule)
    assert set(SCHEDULES) <= tried | {"polyexponential"}


def test_the_table_says_what_is_offered_and_how_near_it_is() -> None:
    said = [line for line in PAGE.read_text().splitlines() if line.startswith(("| A1111 |", "| ComfyUI |"))]
    made = pairs.rows(measured=False)
    # The measured column is of the processor that it was measured on; that it is small enough is tested above.
    assert [line.split(" | ")[:3] for line in said] == [line.split(" | ")[:3] for line in made]
