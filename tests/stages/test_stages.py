"""The stages on tiny Stable Diffusion models: the knobs, image-to-image, and what they refuse."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from daemon.errors import InputError, ModelMissing, Stopped
from daemon.models.registry import Models, ModelSpec, _Key
from daemon.stages import decode, diffuse, encode, text
from tests import tiny
from tests.parts import NEGATIVE, PROMPT, SEED, SIZE, STEPS, generator, one_piece, quiet, settings, start

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[int, Path]:
    return {version: tiny.stable_diffusion(tmp_path_factory.mktemp("models") / "tiny", version=version) for version in (1, 2)}


def call(pipe: Any, **more: Any) -> Any:
    prompts = {"prompt": PROMPT, "negative_prompt": NEGATIVE}
    return pipe(**{**prompts, "num_inference_steps": STEPS, "guidance_scale": 5.0, "generator": generator(), **more})


def test_guidance_rescale_eta_and_no_guidance_are_those_of_the_pipeline(models: Models, folders: dict[int, Path]) -> None:
    for more in ({"guidance_rescale": 0.7, "eta": 0.5}, {"guidance_scale": 1.0}):
        chosen = settings(folders[2], scheduler="ddim", **more)
        tensors = start(models, chosen)
        del tensors["generator_state"]
        denoised, _ = diffuse.run(models, tensors, chosen, quiet)
        pipe = one_piece(folders[2], "ddim")
        latents = call(pipe, width=SIZE, height=SIZE, output_type="latent", **more).images[0]
        assert torch.equal(denoised["latents"], latents)


def test_full_strength_starts_at_the_head_of_the_schedule(models: Models, folders: dict[int, Path]) -> None:
    steps: list[int] = []
    chosen = settings(folders[1], scheduler="euler", strength=1.0, state="final")
    diffuse.run(models, start(models, chosen), chosen, lambda step, _: steps.append(step))
    assert steps == list(range(1, STEPS + 1))


def test_each_seed_of_a_prompt_has_noise_of_its_own_and_the_same_as_alone(models: Models, folders: dict[int, Path]) -> None:
    both, _ = text.run(models, {}, settings(folders[1], seeds=[SEED, 7], height=128), quiet)
    alone, _ = text.run(models, {}, settings(folders[1], seeds=[7], height=128), quiet)
    assert both["latents"].shape == (2, 4, 16, 8)
    assert torch.equal(both["latents"][1], alone["latents"][0])
    assert torch.equal(both["generator_state"][1], alone["generator_state"][0])
    assert both["latents"].dtype is torch.float32
    assert both["prompt_embeds"].shape == both["negative_prompt_embeds"].shape == (77, 16)


def test_without_a_size_the_models_own_is_taken(models: Models, folders: dict[int, Path]) -> None:
    out, facts = text.run(models, {}, settings(folders[1], width=None, height=None), quiet)
    assert out["latents"].shape == (1, 4, 8, 8)
    assert (facts["width"], facts["height"]) == (64, 64)


def test_a_long_prompt_is_seen_to_its_end_and_the_other_half_is_filled_up(models: Models, folders: dict[int, Path]) -> None:
    out, facts = text.run(models, {}, settings(folders[1], prompt="cat " * 75 + "red dog"), quiet)
    assert facts["notes"] == []
    assert out["prompt_embeds"].shape == out["negative_prompt_embeds"].shape == (2 * 77, 16)


def test_clip_skip_counts_as_a1111_does(models: Models, folders: dict[int, Path]) -> None:
    outs = [text.run(models, {}, settings(folders[1], clip_skip=skip), quiet)[0] for skip in (None, 1, 2, 3)]
    assert torch.equal(outs[0]["prompt_embeds"], outs[1]["prompt_embeds"])
    assert not torch.equal(outs[1]["prompt_embeds"], outs[2]["prompt_embeds"])
    assert not torch.equal(outs[2]["negative_prompt_embeds"], outs[3]["negative_prompt_embeds"])
    with pytest.raises(InputError, match="clip_skip 9 leaves nothing of the text encoder, which has 3 layers"):
        text.run(models, {}, settings(folders[1], clip_skip=9), quiet)


def test_influence_multiplies_the_prompt_alone(models: Models, folders: dict[int, Path]) -> None:
    chosen = settings(folders[1], scheduler="ddim")
    tensors = start(models, chosen)
    by_setting, _ = diffuse.run(models, tensors, {**chosen, "prompt_influence": 1.5, "latent_influence": 0.9}, quiet)
    scaled = {"prompt_embeds": tensors["prompt_embeds"] * 1.5, "latents": tensors["latents"] * 0.9}
    by_hand, _ = diffuse.run(models, tensors | scaled, chosen, quiet)
    assert torch.equal(by_setting["latents"], by_hand["latents"])


def test_a_stop_is_honoured_at_the_next_step(models: Models, folders: dict[int, Path]) -> None:
    seen: list[tuple[int, int]] = []

    def stop(step: int, steps: int) -> None:
        seen.append((step, steps))
        if step == 3:
            raise Stopped("stopping")

    chosen = settings(folders[1], scheduler="euler")
    with pytest.raises(Stopped):
        diffuse.run(models, start(models, chosen), chosen, stop)
    assert seen == [(1, STEPS), (2, STEPS), (3, STEPS)]


def test_progress_counts_steps_and_not_evaluations(models: Models, folders: dict[int, Path]) -> None:
    for name in ("heun", "pndm", "dpm2"):
        seen: list[int] = []
        chosen = settings(folders[1], scheduler=name)
        diffuse.run(models, start(models, chosen), chosen, lambda step, _, seen=seen: seen.append(step))
        assert seen == sorted(seen)
        assert seen[-1] == STEPS


def test_latents_of_another_model_are_refused(models: Models, folders: dict[int, Path]) -> None:
    chosen = settings(folders[1], scheduler="ddim")
    tensors = start(models, chosen)
    with pytest.raises(InputError, match="takes 4 channels; use the model they were made with"):
        diffuse.run(models, tensors | {"latents": torch.zeros(16, 8, 8)}, chosen, quiet)
    with pytest.raises(InputError, match="decodes 4 channels"):
        decode.run(models, {"latents": torch.zeros(16, 8, 8)}, chosen, quiet)


def test_an_embedding_of_another_model_is_refused(models: Models, folders: dict[int, Path]) -> None:
    chosen = settings(folders[1], scheduler="ddim")
    other = start(models, settings(folders[2]))
    with pytest.raises(InputError, match=r"takes tokens of width 16; make the embedding with the same model"):
        diffuse.run(models, other, chosen, quiet)


def test_missing_halves_of_an_embedding_are_named(models: Models, folders: dict[int, Path]) -> None:
    chosen = settings(folders[1], scheduler="ddim")
    tensors = start(models, chosen)
    del tensors["negative_prompt_embeds"]
    with pytest.raises(InputError, match="negative half"):
        diffuse.run(models, tensors, chosen, quiet)
    diffuse.run(models, tensors, {**chosen, "guidance_scale": 1.0}, quiet)
    with pytest.raises(InputError, match="come without the embedding"):
        diffuse.run(models, {"latents": tensors["latents"]}, chosen, quiet)


def test_finished_latents_need_strength(models: Models, folders: dict[int, Path]) -> None:
    chosen = settings(folders[1], scheduler="ddim", state="final")
    with pytest.raises(InputError, match="they need strength"):
        diffuse.run(models, start(models, chosen), chosen, quiet)
    with pytest.raises(InputError, match=r"nothing is left to do.*raise strength"):
        diffuse.run(models, start(models, chosen), {**chosen, "strength": 0.01}, quiet)


def test_impossible_sizes_are_refused(models: Models, folders: dict[int, Path]) -> None:
    with pytest.raises(InputError, match=r"100 x 64 pixels.*multiples of 8"):
        text.run(models, {}, settings(folders[1], width=100), quiet)
    with pytest.raises(InputError, match="crop it to 56 x 64"):
        encode.run(models, {"picture": torch.zeros(64, 63, 3)}, settings(folders[1]), quiet)


def test_steps_that_a_scheduler_cannot_run_are_refused(models: Models, folders: dict[int, Path]) -> None:
    chosen = settings(folders[1], scheduler="lcm", steps=60)
    with pytest.raises(InputError, match="the scheduler lcm cannot run 60 steps"):
        diffuse.run(models, start(models, chosen), chosen, quiet)


def test_values_that_are_not_finite_are_refused(models: Models, folders: dict[int, Path]) -> None:
    chosen = settings(folders[1])
    with pytest.raises(InputError, match="not finite"):
        decode.run(models, {"latents": torch.full((4, 8, 8), float("inf"))}, chosen, quiet)


def test_a_missing_model_is_named_with_its_path(models: Models, tmp_path: Path) -> None:
    with pytest.raises(ModelMissing, match=r"'tiny' cannot be used.*no such folder or file as .*; correct the path in config.yaml"):
        text.run(models, {}, settings(tmp_path / "nothing"), quiet)


def test_a_model_of_another_family_is_named(models: Models, tmp_path: Path) -> None:
    (tmp_path / "model_index.json").write_text('{"_class_name": "StableCascadeCombinedPipeline"}')
    with pytest.raises(ModelMissing, match="is a StableCascadeCombinedPipeline, which is not supported"):
        text.run(models, {}, settings(tmp_path), quiet)


def test_damaged_weights_are_named(tmp_path: Path) -> None:
    folder = tiny.stable_diffusion(tmp_path / "tiny")
    weights = folder / "vae" / "diffusion_pytorch_model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ModelMissing, match="its vae is not readable"):
        Models(1 << 30).component(ModelSpec("tiny", str(folder)), "vae")


def test_weights_that_exist_in_half_precision_only_are_found(folders: dict[int, Path], tmp_path: Path) -> None:
    shutil.copytree(folders[1], tmp_path / "half")
    weights = tmp_path / "half" / "unet" / "diffusion_pytorch_model.safetensors"
    weights.rename(weights.with_name("diffusion_pytorch_model.fp16.safetensors"))
    unet = Models(1 << 30).component(ModelSpec("half", str(tmp_path / "half"), dtype="float16"), "unet")
    assert unet.dtype is torch.float16


def test_a_hub_id_is_not_asked_for_without_leave() -> None:
    with pytest.raises(ModelMissing, match="allow the network for a hub id"):
        Models(1 << 30).component(ModelSpec("far", "nobody/nothing"), "vae")


def test_components_are_kept_within_the_budget(folders: dict[int, Path]) -> None:
    model = ModelSpec("tiny", str(folders[1]))
    wide = Models(1 << 30)
    assert wide.component(model, "unet") is wide.component(model, "unet")
    narrow = Models(1)
    first = narrow.component(model, "unet")
    assert narrow.component(model, "unet") is first
    narrow.component(model, "vae")
    assert narrow.component(model, "unet") is not first


def test_a_gpu_has_a_budget_of_its_own_which_is_most_of_what_is_free_there_unless_it_is_said() -> None:
    asked: list[str] = []

    def free(device: str) -> int:
        asked.append(device)
        return 1000

    def fill(models: Models) -> list[str]:
        """Load what takes 400 bytes each, in turns on two GPUs and the CPU; what is there at the end."""
        for number, device in enumerate(["cuda", "cuda:1", "cpu"] * 3):
            key = _Key(number, "unet", device, torch.float32, fast=False, compiled=False)
            models._make_room(device, 400)
            models._warm[key] = (None, 400)
        return [f"{key.device} {key.identity}" for key in models._warm]

    assert fill(Models(400, free_bytes=free)) == ["cuda 3", "cuda:1 4", "cuda 6", "cuda:1 7", "cpu 8"]
    assert asked == ["cuda:0", "cuda:1"]
    assert fill(Models(800, gpu_bytes=400, free_bytes=free)) == ["cpu 5", "cuda 6", "cuda:1 7", "cpu 8"]


def test_another_vae_replaces_the_models_own(models: Models, folders: dict[int, Path], tmp_path: Path) -> None:
    other = tiny.stable_diffusion(tmp_path / "other", seed=1)
    chosen = settings(folders[1])
    latents = {"latents": torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(3))}
    own, _ = decode.run(models, latents, settings(other), quiet)
    for vae in (other, other / "vae"):
        replaced = {**chosen, "model": {**chosen["model"], "vae": str(vae)}}
        picture, _ = decode.run(models, latents, replaced, quiet)
        assert np.array_equal(picture["picture"].numpy(), own["picture"].numpy())
