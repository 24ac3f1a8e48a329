"""The scheduler names: every name builds, the spellings of A1111 are understood, the spacings are where the classes offer them."""

import inspect
import subprocess
import sys

import diffusers
import pytest

from daemon.errors import InputError
from daemon.models.scheduling import build
from daemon.stages.schedulers import NAMES, RECIPES, SPACINGS, canonical, display
from tests import tiny

CONFIG = {"_class_name": "DDIMScheduler", "prediction_type": "epsilon", "clip_sample": True, **tiny.SCHEDULE}


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("flow_")])
def test_every_name_builds_a_scheduler_that_takes_the_models_configuration(name: str) -> None:
    scheduler = build(name, CONFIG)
    scheduler.set_timesteps(8)
    assert type(scheduler).__name__ == RECIPES[name].class_name
    assert scheduler.config.beta_schedule == "scaled_linear"
    assert not scheduler.config.get("clip_sample", False)
    for spacing, key in SPACINGS.items():
        assert bool(scheduler.config.get(key, False)) == name.endswith(f"_{spacing}")


def test_spacings_are_offered_exactly_where_the_class_has_them() -> None:
    for name in (name for name in NAMES if not name.startswith("flow_") and name.rpartition("_")[2] not in SPACINGS):
        parameters = inspect.signature(getattr(diffusers, RECIPES[name].class_name)).parameters
        for spacing, key in SPACINGS.items():
            assert (f"{name}_{spacing}" in NAMES) == (key in parameters), (name, spacing)


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
        ("DPM2 a Karras", "dpm2_a_karras"),
        ("dpmpp-2m-karras", "dpmpp_2m_karras"),
        ("PLMS", "pndm"),
        ("UniPC", "unipc"),
        ("LMS Karras", "lms_karras"),
        ("Heun Beta", "heun_beta"),
    ],
)
def test_usual_spellings_are_understood(spelling: str, name: str) -> None:
    assert canonical(spelling) == name


def test_every_name_is_its_own_canonical_name() -> None:
    assert [canonical(name) for name in NAMES] == list(NAMES)


def test_unknown_scheduler_is_refused_with_the_nearest() -> None:
    with pytest.raises(InputError, match="'eular_a' is not known; the nearest is 'euler_a'"):
        canonical("eular_a")


def test_scheduler_of_flow_matching_is_refused_for_a_model_of_noise_prediction() -> None:
    with pytest.raises(InputError, match="flow_euler"):
        build("flow_euler", CONFIG)


def test_without_a_name_the_models_own_scheduler_is_built() -> None:
    assert type(build(None, CONFIG)) is diffusers.DDIMScheduler


def test_display_gives_the_names_of_a1111() -> None:
    assert display("dpmpp_2m_karras") == ("DPM++ 2M", "Karras")
    assert display("euler_a") == ("Euler a", None)
    assert display("sa_solver") == ("sa_solver", None)


def test_the_names_are_known_without_torch() -> None:
    code = "import sys, daemon.stages.schedulers, daemon.compute, daemon.models; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
