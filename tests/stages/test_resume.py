"""A loop that is stopped and taken up again gives the bits of one that is not; and what happens where it cannot.

Every scheduler offered on each family that takes it: four cuts in one loop, after the first step, at an odd and an even one, and
before the last. The spacings of the noise levels are tried on Stable Diffusion 1 and the flow families, and on all of them, with
those of DPM2 (which are slow to build), where TIFFSD_SCHEDULERS=all. Then each cut is also tried alone for all of them.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.errors import InputError
from daemon.models import schedulers
from daemon.models.registry import Models
from daemon.stages import diffuse
from tests import tiny
from tests.parts import STEPS, embeddings, quiet, settings, start, through_numpy

CUTS = (1, 3, 4, STEPS - 1)
MAKERS = {
    "sd1": tiny.stable_diffusion,
    "sd2": lambda path: tiny.stable_diffusion(path, version=2),
    "sdxl": tiny.stable_diffusion_xl,
    "sd3": tiny.stable_diffusion_3,
    "flux": tiny.flux,
}
ALL = os.environ.get("TIFFSD_SCHEDULERS") == "all"
PAIRS = [
    pytest.param(family, recipe.name, marks=[pytest.mark.slow] * (recipe.spacing is not None))
    for family in ("sd1", "sdxl", "sd3", "flux")
    for recipe in schedulers.RECIPES.values()
    if recipe.flow == (family in ("sd3", "flux"))
    if ALL or recipe.spacing is None or (family != "sdxl" and "KDPM2" not in recipe.class_name)
]
FEW = [("sd2", "euler_a"), ("sd2", "pndm"), ("sdxl", "unipc"), ("sdxl", "heun"), ("sd3", "flow_heun"), ("flux", "flow_dpmpp_2m")]
ALONE = PAIRS if ALL else FEW


pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]


def other_notes(facts: Mapping[str, Any]) -> list[str]:
    """All notes but that on the eta, which is given to every scheduler here and taken by few."""
    return [note for note in facts["notes"] if not note.startswith("eta ignored")]


@pytest.mark.parametrize(("family", "name"), PAIRS)
def test_stopped_and_resumed_is_bit_equal_for_every_scheduler(
    models: Models, folders: dict[str, Path], family: str, name: str
) -> None:
    chosen = settings(folders[family], scheduler=name, eta=0.5)
    tensors = start(models, chosen)
    whole, _ = diffuse.run(models, tensors, chosen, quiet)
    step: dict[str, Any] = {"state": "noise", "step": None}
    for cut in (*CUTS, STEPS):
        # Half-done latents still carry the stop_at of before.
        out, facts = diffuse.run(models, tensors, {**chosen, **step, "stop_at": cut}, quiet)
        assert (facts["state"], facts["step"], other_notes(facts)) == ("partial" if cut < STEPS else "final", cut, [])
        step = {"state": facts["state"], "step": cut}
        tensors = through_numpy(out) | embeddings(tensors)
    assert torch.equal(out["latents"], whole["latents"])


@pytest.mark.parametrize(("family", "name"), ALONE)
def test_each_cut_alone_is_bit_equal_too(models: Models, folders: dict[str, Path], family: str, name: str) -> None:
    chosen = settings(folders[family], scheduler=name)
    tensors = start(models, chosen)
    whole, _ = diffuse.run(models, tensors, chosen, quiet)
    differences = {}
    for cut in CUTS:
        half, _ = diffuse.run(models, tensors, {**chosen, "stop_at": cut}, quiet)
        resumed = {**chosen, "stop_at": cut, "state": "partial", "step": cut}
        rest, _ = diffuse.run(models, through_numpy(half) | embeddings(tensors), resumed, quiet)
        differences[cut] = float((rest["latents"] - whole["latents"]).abs().max())
    assert differences == dict.fromkeys(CUTS, 0.0)


def test_of_several_stops_the_next_one_counts(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="lms", stop_at=[2, 5])
    tensors = start(models, chosen)
    whole, _ = diffuse.run(models, tensors, {**chosen, "stop_at": None}, quiet)
    step: dict[str, Any] = {"state": "noise", "step": None}
    for expected in (2, 5, STEPS):
        out, facts = diffuse.run(models, tensors, {**chosen, **step}, quiet)
        assert facts["step"] == expected
        step, tensors = {"state": facts["state"], "step": facts["step"]}, through_numpy(out) | embeddings(tensors)
    assert torch.equal(out["latents"], whole["latents"])


@pytest.mark.parametrize(
    ("family", "name"), [("sd1", "heun"), ("sd1", "pndm"), ("sdxl", "dpmpp_2m_sde"), ("sd3", "flow_euler"), ("flux", "flow_heun")]
)
def test_every_dumped_step_goes_on_bit_equal(models: Models, folders: dict[str, Path], family: str, name: str) -> None:
    chosen = settings(folders[family], scheduler=name)
    tensors = start(models, chosen)
    whole, facts = diffuse.run(models, tensors, {**chosen, "dump_every": 2}, quiet)
    assert [dump["step"] for dump in facts["dumps"]] == [2, 4, 6]
    for step in (2, 4, 6):
        prefix = f"steps.{step}."
        dumped = {key.removeprefix(prefix): tensor for key, tensor in whole.items() if key.startswith(prefix)}
        rest, _ = diffuse.run(models, embeddings(tensors) | dumped, {**chosen, "state": "partial", "step": step}, quiet)
        assert torch.equal(rest["latents"], whole["latents"])


def test_the_finished_latents_are_no_dump(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="ddim", steps=4, dump_every=2)
    out, facts = diffuse.run(models, start(models, chosen), chosen, quiet)
    assert [dump["step"] for dump in facts["dumps"]] == [2]
    assert not any(name.startswith("steps.4.") for name in out)


def test_half_done_latents_go_on_in_as_many_steps_only(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="dpmpp_2m")
    tensors = start(models, chosen)
    half, _ = diffuse.run(models, tensors, {**chosen, "stop_at": 4}, quiet)
    with pytest.raises(InputError, match="made by dpmpp_2m in 7 steps and cannot go on with dpmpp_2m in 9; set"):
        diffuse.run(models, tensors | half, {**chosen, "state": "partial", "step": 4, "steps": 9}, quiet)


def test_half_done_latents_of_a_sigma_scaled_scheduler_say_their_sigma(models: Models, folders: dict[str, Path]) -> None:
    for name, scaled in (("euler", True), ("heun", True), ("lms_karras", True), ("dpmpp_2m", False), ("ddim", False)):
        chosen = settings(folders["sd1"], scheduler=name, stop_at=1)
        out, facts = diffuse.run(models, start(models, chosen), chosen, quiet)
        assert (facts["sigma"] is not None) == scaled, name
        unit = out["latents"] / ((facts["sigma"] or 0) ** 2 + 1) ** 0.5
        assert 0.2 < float(unit.std()) < 3, name


def test_a_restart_without_history_ends_near_the_exact_result(models: Models, folders: dict[str, Path]) -> None:
    for name in ("dpmpp_2m", "pndm", "lms", "unipc", "dpmpp_2s", "heun"):
        chosen = settings(folders["sd1"], scheduler=name, steps=20)
        tensors = start(models, chosen)
        whole, _ = diffuse.run(models, tensors, chosen, quiet)
        half, _ = diffuse.run(models, tensors, {**chosen, "stop_at": 10}, quiet)
        bare = tensors | {"latents": half["latents"]}
        rest, facts = diffuse.run(models, bare, {**chosen, "state": "partial", "step": 10}, quiet)
        assert "starts afresh at step 10" in facts["notes"][0]
        error = (rest["latents"] - whole["latents"]).std() / whole["latents"].std()
        assert float(error) < 0.05, name


def test_painted_latents_drop_the_history_and_say_so(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="dpmpp_2m")
    tensors = start(models, chosen)
    half, _ = diffuse.run(models, tensors, {**chosen, "stop_at": 4}, quiet)
    _, facts = diffuse.run(models, tensors | half, {**chosen, "state": "partial", "step": 4, "painted": 12}, quiet)
    assert facts["notes"] == ["the latents were painted on, so the solver starts afresh at step 4"]


def test_end_at_gives_the_estimate_of_the_finished_latents(models: Models, folders: dict[str, Path]) -> None:
    noise = [("sd1", "euler"), ("sd1", "heun"), ("sd2", "heun"), ("sd2", "dpmpp_2m")]
    flow = [("sd3", "flow_euler"), ("sd3", "flow_dpmpp_2m"), ("flux", "flow_heun")]
    for family, name in noise + flow:
        chosen = settings(folders[family], scheduler=name, steps=20)
        tensors = start(models, chosen)
        whole, _ = diffuse.run(models, tensors, chosen, quiet)
        early, facts = diffuse.run(models, tensors, {**chosen, "end_at": 19}, quiet)
        assert (facts["state"], facts["step"]) == ("final", 19)
        error = (early["latents"] - whole["latents"]).std() / whole["latents"].std()
        assert float(error) < 0.25, (family, name)


def test_half_done_latents_go_on_with_their_own_scheduler_only(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="dpmpp_2m")
    tensors = start(models, chosen)
    half, _ = diffuse.run(models, tensors, {**chosen, "stop_at": 4}, quiet)
    with pytest.raises(InputError, match="made by dpmpp_2m in 7 steps and cannot go on with euler in 7"):
        diffuse.run(models, tensors | half, {**chosen, "state": "partial", "step": 4, "scheduler": "euler"}, quiet)
    torn = {key: tensor for key, tensor in half.items() if key != "scheduler.model_outputs.0"}
    with pytest.raises(InputError, match=r"history of these half-done latents lacks model_outputs\.0"):
        diffuse.run(models, embeddings(tensors) | torn, {**chosen, "state": "partial", "step": 4}, quiet)
    del half["scheduler.model_outputs.0"], half["scheduler.record"]
    diffuse.run(models, tensors | half, {**chosen, "state": "partial", "step": 4}, quiet)
    with pytest.raises(InputError, match="at which step"):
        diffuse.run(models, tensors | half, {**chosen, "state": "partial"}, quiet)


def test_the_influence_of_the_latents_counts_once_however_often_the_loop_is_stopped(
    models: Models, folders: dict[str, Path]
) -> None:
    chosen = settings(folders["sd1"], scheduler="euler_a", latent_influence=1.2)
    tensors = start(models, chosen)
    whole, _ = diffuse.run(models, tensors, chosen, quiet)
    half, _ = diffuse.run(models, tensors, {**chosen, "stop_at": 3}, quiet)
    rest, _ = diffuse.run(models, embeddings(tensors) | half, {**chosen, "state": "partial", "step": 3}, quiet)
    plain, _ = diffuse.run(models, tensors, {**chosen, "latent_influence": None}, quiet)
    assert torch.equal(rest["latents"], whole["latents"])
    assert not torch.equal(whole["latents"], plain["latents"])


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
def test_half_precision_resumes_bit_equal_too(models: Models, folders: dict[str, Path], dtype: str) -> None:
    chosen = settings(folders["sd1"], scheduler="dpmpp_2m")
    chosen["model"] = {**chosen["model"], "dtype": dtype}
    tensors = start(models, chosen)
    whole, _ = diffuse.run(models, tensors, chosen, quiet)
    half, _ = diffuse.run(models, tensors, {**chosen, "stop_at": 4}, quiet)
    rest, _ = diffuse.run(models, tensors | through_numpy(half), {**chosen, "state": "partial", "step": 4}, quiet)
    assert torch.equal(rest["latents"], whole["latents"])
