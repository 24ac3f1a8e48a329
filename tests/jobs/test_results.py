"""Tensors -> the files of a job: in which order they appear, where, and what each says of itself."""

from collections.abc import Mapping
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

import tiffsd
from daemon.jobs.request import Request, seeded
from daemon.jobs.results import Output, results
from daemon.layout import KEEP
from daemon.settings.checking import checked
from daemon.settings.config import Config
from daemon.stages.loop import BLOCKS
from tests.artifacts import latents
from tiffsd.overlay import OVERLAY, OVERLAY_MASK

RECIPE = {"prompt": "a red house", "model": "demo", "seed": 7}


def made(request: Request, tensors: Mapping[str, Any], facts: Mapping[str, Any], *, gated: bool = False) -> list[Output]:
    around: Any = SimpleNamespace(config=Config(), gated=lambda _: gated, now=datetime.now(UTC), seconds=0.0)
    return results(request, "cat", tensors, facts, around)


def noise_of_two() -> list[Output]:
    """What a prompt of two pictures becomes."""
    tensors = {
        "latents": np.zeros((2, 4, 8, 8), np.float32),
        "generator_state": np.zeros((2, 50), np.uint8),
        "prompt_embeds": np.zeros((77, 128), np.float32),
    }
    return made(Request("text", checked({"seed": 7, "count": 2}, "cat.txt"), RECIPE), tensors, {})


def shown(outputs: list[Output]) -> list[tiffsd.Artifact]:
    return [output.artifact for output in outputs if output.artifact is not None]


def test_each_picture_of_a_prompt_says_its_own_seed() -> None:
    assert [artifact.header.recipe["seed"] for artifact in shown(noise_of_two())] == [7, 8]


def test_each_variation_says_its_own_seed() -> None:
    recipe = {**RECIPE, "variation_seed": 3, "variation_strength": 0.5}
    assert [seeded(recipe, index) for index in (0, 1)] == [{**recipe, "variation_seed": 3}, {**recipe, "variation_seed": 4}]


def test_the_original_is_kept_before_its_artifact_can_be_edited() -> None:
    assert [output.publication.folder for output in noise_of_two()] == [KEEP, "inbox/2-diffuse"] * 2


GATES = [
    ({}, False, "inbox"),
    ({}, True, "hold"),
    ({"hold": "diffuse"}, False, "hold"),
    ({"hold": "decode"}, False, "inbox"),
    ({"hold": ["decode", "diffuse"]}, False, "hold"),
    ({"hold": ["decode"]}, False, "inbox"),
]


@pytest.mark.parametrize(("settings", "gated", "way"), GATES)
def test_a_gate_is_closed_by_the_configuration_or_by_the_prompt(settings: dict[str, Any], gated: bool, way: str) -> None:
    tensors = {"latents": np.zeros((1, 4, 8, 8), np.float32), "generator_state": np.zeros((1, 50), np.uint8)}
    request = Request("text", checked({"seed": 7, **settings}, "cat.txt"), RECIPE)
    _, visible = made(request, tensors, {}, gated=gated)
    assert visible.publication.folder == f"{way}/2-diffuse"


@pytest.mark.parametrize("painted", [0, 9])
def test_what_was_painted_stands_in_the_history(painted: int) -> None:
    source = latents(state=tiffsd.State.NOISE)
    source = tiffsd.Artifact(source.header, source.tensors, painted=painted)
    request = Request("diffuse", checked({"steps": 4}, "cat.yaml"), RECIPE, source.tensors, source)
    (artifact,) = shown(made(request, {"latents": source.tensors["latents"]}, {"state": "final"}))
    assert artifact.header.history[-1].get("painted", 0) == painted
    assert artifact.header.parent == source.header.id


def test_paint_on_a_proof_and_how_long_it_is_held_stand_in_the_history_and_the_recipe() -> None:
    source = latents(state=tiffsd.State.PARTIAL, step=2, steps=4)
    request = Request("diffuse", checked({"steps": 4}, "cat.yaml"), RECIPE, source.tensors, source)
    facts = {"state": "partial", "step": 3, "steps": 4, "painted_blocks": 12, "paint_hold": 0.98}
    (artifact,) = shown(made(request, {"latents": source.tensors["latents"]}, facts))
    assert artifact.header.history[-1]["painted_blocks"] == 12
    assert artifact.header.recipe["paint_hold"] == 0.98
    assert "paint_hold" not in shown(made(request, {"latents": source.tensors["latents"]}, {}))[0].header.recipe


def test_paint_on_a_proof_is_seen_where_a_mask_keeps_the_picture_of_before() -> None:
    source, blocks = latents(state=tiffsd.State.PARTIAL, step=2, steps=4), np.eye(16, dtype=bool)
    tensors = {**source.tensors, OVERLAY: np.zeros((128, 128, 3), np.uint8), OVERLAY_MASK: np.zeros((128, 128), np.uint8)}
    request = Request("diffuse", checked({"steps": 4}, "cat.yaml"), RECIPE, {**tensors, BLOCKS: blocks}, source)
    (artifact,) = shown(made(request, {"latents": source.tensors["latents"]}, {"state": "final"}))
    np.testing.assert_array_equal(artifact.tensors[OVERLAY_MASK] == 255, blocks.repeat(8, 0).repeat(8, 1))
    assert BLOCKS not in artifact.tensors
