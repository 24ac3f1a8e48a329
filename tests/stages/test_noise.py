"""The noise of a recipe in the stages: the latents that a loop begins with, what its steps add, batches, resuming, pictures."""

from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.errors import InputError
from daemon.models.noise import PhiloxGenerator
from daemon.models.registry import Models
from daemon.models.seeding import slerp
from daemon.settings.prompts import parse_prompt
from daemon.stages import diffuse, encode, text
from tests import tiny
from tests.parts import STEPS, embeddings, quiet, settings, start, through_numpy

pytestmark = [pytest.mark.usefixtures("fixed_threads")]

MAKERS = {"sd1": tiny.stable_diffusion}
ANCESTRAL = ["euler_a", "dpm2_a", "dpmpp_2m_sde", "lcm"]
SHAPE = (4, 8, 8)
DAMAGED = torch.tensor([*b"philox4x32-10\0\0\0", 1, 2], dtype=torch.uint8)


def recipe_says(said: str) -> dict[str, Any]:
    line = f"a red cat\nSteps: {STEPS}, Sampler: Euler a, CFG scale: 5, Seed: 1234, Size: 64x64{said}, Version: v1.10"
    return dict(parse_prompt(line.encode(), "cat.txt", characters=1000).settings)


@pytest.fixture
def recorded_noise(monkeypatch: pytest.MonkeyPatch) -> list[torch.Tensor]:
    """What Philox draws, in order."""
    drawn: list[torch.Tensor] = []
    plain = PhiloxGenerator.randn

    def randn(self: PhiloxGenerator, shape: Any) -> torch.Tensor:
        drawn.append(plain(self, shape))
        return drawn[-1]

    monkeypatch.setattr(PhiloxGenerator, "randn", randn)
    return drawn


@pytest.mark.parametrize(("said", "philox"), [(", RNG: NV", True), ("", True), (", RNG: CPU", False)])
def test_a_recipe_of_a1111_begins_with_the_noise_that_it_began_with(
    models: Models, folders: dict[str, Path], said: str, philox: bool
) -> None:
    read = recipe_says(said)
    chosen = settings(folders["sd1"], **{**read, "seeds": [read["seed"]]})
    expected = PhiloxGenerator(1234).randn(SHAPE) if philox else torch.randn(SHAPE, generator=torch.Generator().manual_seed(1234))
    assert torch.equal(start(models, chosen)["latents"], expected)


@pytest.mark.parametrize("name", ANCESTRAL)
def test_a_loop_with_the_noise_of_a_gpu_goes_on_bit_equal(models: Models, folders: dict[str, Path], name: str) -> None:
    chosen = settings(folders["sd1"], scheduler=name, rng="nv", ensd=31337)
    tensors = start(models, chosen)
    whole, facts = diffuse.run(models, tensors, chosen, quiet)
    assert facts["notes"] == []
    step: dict[str, Any] = {"state": "noise", "step": None}
    given = tensors
    for cut in (1, 3, STEPS):
        out, facts = diffuse.run(models, given, {**chosen, **step, "stop_at": cut}, quiet)
        step = {"state": facts["state"], "step": cut}
        given = through_numpy(out) | embeddings(tensors)
    assert torch.equal(out["latents"], whole["latents"])
    drawn_by_torch, _ = diffuse.run(models, start(models, {**chosen, "rng": "cpu"}), {**chosen, "rng": "cpu"}, quiet)
    assert not torch.equal(whole["latents"], drawn_by_torch["latents"])


def test_the_steps_draw_on_where_the_first_noise_ended(
    models: Models, folders: dict[str, Path], recorded_noise: list[torch.Tensor]
) -> None:
    chosen = settings(folders["sd1"], scheduler="euler_a", rng="nv", seed=5, seeds=[5])
    diffuse.run(models, start(models, chosen), chosen, quiet)
    expected = PhiloxGenerator(5)
    drawn = list(recorded_noise)
    assert len(drawn) == 1 + STEPS
    assert all(torch.equal(noise.flatten(), expected.randn((256,))) for noise in drawn)


def test_with_ensd_the_steps_draw_from_the_beginning_of_another_seed(
    models: Models, folders: dict[str, Path], recorded_noise: list[torch.Tensor]
) -> None:
    chosen = settings(folders["sd1"], scheduler="euler_a", rng="nv", seed=5, seeds=[5], ensd=31337)
    tensors = start(models, chosen)
    diffuse.run(models, tensors, chosen, quiet)
    with_state = list(recorded_noise)
    assert torch.equal(with_state[0].flatten(), PhiloxGenerator(5).randn((256,)))
    other = PhiloxGenerator(5 + 31337)
    assert all(torch.equal(noise.flatten(), other.randn((256,))) for noise in with_state[1 : 1 + STEPS])
    # Where the state is not in the file it is made anew.
    del tensors["generator_state"]
    recorded_noise.clear()
    diffuse.run(models, tensors, chosen, quiet)
    assert all(torch.equal(one, other) for one, other in zip(recorded_noise, with_state, strict=False))


def test_an_ensd_that_no_step_uses_is_named(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], scheduler="dpmpp_2m", ensd=31337)
    _, facts = diffuse.run(models, start(models, chosen), chosen, quiet)
    assert facts["notes"] == ["ensd ignored: dpmpp_2m added no noise at these steps"]


@pytest.mark.parametrize("rng", ["cpu", "nv"])
def test_several_variations_of_a_seed_are_those_of_each_alone(models: Models, folders: dict[str, Path], rng: str) -> None:
    chosen = settings(folders["sd1"], rng=rng, variation_strength=0.2)
    row = {**chosen, "seeds": [7, 7], "variation_seeds": [20, 21]}
    out, _ = text.run(models, {}, row, quiet)
    alone = [start(models, {**chosen, "seeds": [7], "variation_seeds": [seed]})["latents"] for seed in (20, 21)]
    assert torch.equal(out["latents"], torch.stack(alone))
    plain = [start(models, {**chosen, "variation_strength": None, "seeds": [seed]})["latents"] for seed in (7, 20)]
    assert torch.equal(alone[0], slerp(0.2, *plain))


@pytest.mark.parametrize("seed", [2**32 + 1, 2**63, 2**64 - 1])
@pytest.mark.parametrize("rng", ["cpu", "nv"])
def test_seeds_of_64_bits_run_through_the_stages(models: Models, folders: dict[str, Path], seed: int, rng: str) -> None:
    chosen = settings(folders["sd1"], scheduler="euler_a", rng=rng, seed=seed, seeds=[seed], steps=2)
    tensors = start(models, chosen)
    out, _ = diffuse.run(models, {key: t for key, t in tensors.items() if key != "generator_state"}, chosen, quiet)
    whole, _ = diffuse.run(models, tensors, chosen, quiet)
    assert torch.equal(out["latents"], whole["latents"])


def test_a_batch_of_two_is_each_of_them_alone(models: Models, folders: dict[str, Path]) -> None:
    each = [
        settings(folders["sd1"], scheduler="euler_a", rng=rng, seed=seed, seeds=[seed]) for rng, seed in (("nv", 1), ("cpu", 2))
    ]
    tensors = [start(models, chosen) for chosen in each]
    together = diffuse.run_together(models, tensors, each, quiet)
    for (made, _), given, chosen in zip(together, tensors, each, strict=True):
        alone, _ = diffuse.run(models, given, chosen, quiet)
        assert torch.allclose(made["latents"], alone["latents"], atol=1e-4)


@pytest.mark.parametrize("masked", [False, True])
def test_a_picture_gets_the_first_noise_of_its_seed_and_its_steps_the_next(
    models: Models, folders: dict[str, Path], recorded_noise: list[torch.Tensor], masked: bool
) -> None:
    chosen = settings(folders["sd1"], scheduler="euler_a", rng="nv", seed=5, seeds=[5], strength=0.6, state="final")
    given = {"picture": torch.rand((64, 64, 3), generator=torch.Generator().manual_seed(0))}
    if masked:
        given["mask"] = torch.ones(64, 64)
    encoded, _ = encode.run(models, given, chosen, quiet)
    by_torch, _ = encode.run(models, given, {**chosen, "rng": "cpu"}, quiet)
    assert torch.equal(encoded["latents"], by_torch["latents"])
    words = embeddings(start(models, {**chosen, "rng": "cpu"}))
    diffuse.run(models, words | encoded, chosen, quiet)
    expected = PhiloxGenerator(5)
    drawn = list(recorded_noise)
    assert len(drawn) == 1 + int(STEPS * 0.6)
    assert all(torch.equal(noise.flatten(), expected.randn((256,))) for noise in drawn)


def test_a_damaged_state_is_refused_with_the_way_out(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], rng="nv")
    with pytest.raises(InputError, match="the generator state in the file is not readable; remove it, and give a seed"):
        diffuse.run(models, {**start(models, chosen), "generator_state": DAMAGED}, chosen, quiet)
