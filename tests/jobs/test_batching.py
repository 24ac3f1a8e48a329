"""Pictures of one batch: which may go together, and that each comes out as it would alone."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.jobs.batching import batch_key
from daemon.jobs.request import StageCall
from daemon.models.compute_format import facts_of, fastest
from daemon.models.registry import Models, ModelSpec
from daemon.stages import diffuse, text
from daemon.stages.loop import HELD, PAINT
from tests import tiny

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]
Tensors = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.stable_diffusion(tmp_path_factory.mktemp("models") / "tiny")


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    model = {"name": "tiny", "path": str(folder), "dtype": "float32", "vae": None, "network": False, "device": "cpu"}
    words = {"prompt": "a red cat", "negative_prompt": "", "seeds": [1], "seed": 1, "width": 64, "height": 64}
    loop = {"steps": 3, "guidance_scale": 3.0, "scheduler": "euler_a", "state": "noise"}
    return {**words, **loop, "model": model, "fast": True, **more}


def begun(models: Models, chosen: dict[str, Any]) -> Tensors:
    tensors, _ = text.run(models, {}, chosen, lambda *_: None)
    return {name: tensor[0] if name in ("latents", "generator_state") else tensor for name, tensor in tensors.items()}


def most_apart(unet: torch.nn.Module, steps: int) -> float:
    """How far steps in another order of sums may lie apart, of the values: a sum of n terms by n units of the last place."""
    longest = max(weight[0].numel() for weight in unet.parameters() if weight.ndim > 1)
    return steps * longest * torch.finfo(torch.float32).eps


@pytest.mark.parametrize("scheduler", ["euler_a", "dpmpp_2m_karras", "dpmpp_2m_sde", "heun"])
def test_each_picture_of_a_batch_is_what_it_is_alone(folder: Path, scheduler: str) -> None:
    models = Models(1 << 30)
    chosen = [settings(folder, prompt=f"cat {n}", seed=n, seeds=[n], scheduler=scheduler) for n in (1, 2, 3)]
    apart = most_apart(models.component(ModelSpec.of(chosen[0]), "unet"), chosen[0]["steps"])
    tensors = [begun(models, own) for own in chosen]
    alone = [diffuse.run(models, own, said, lambda *_: None) for own, said in zip(tensors, chosen, strict=True)]
    together = diffuse.run_together(models, tensors, chosen, lambda *_: None)
    for (one, said), (other, told) in zip(alone, together, strict=True):
        assert float((one["latents"] - other["latents"]).abs().max()) <= apart * float(one["latents"].abs().max())
        assert said == told
    assert not torch.allclose(together[0][0]["latents"], together[1][0]["latents"], atol=0.1)


def test_those_that_differ_in_words_and_seed_go_together(folder: Path) -> None:
    arrays = {"latents": torch.zeros(4, 8, 8)}
    key = batch_key(StageCall("diffuse", arrays, settings(folder)))
    assert key is not None
    assert key == batch_key(StageCall("diffuse", arrays, settings(folder, prompt="a dog", seed=7, seeds=[7], priority=3)))
    assert key != batch_key(StageCall("diffuse", arrays, settings(folder, steps=4)))
    assert key != batch_key(StageCall("diffuse", {"latents": torch.zeros(4, 8, 16)}, settings(folder)))


@pytest.mark.parametrize(
    "more", [{"fast": None}, {"state": "partial"}, {"stop_at": 2}, {"dump_every": 1}, {"mask": "x.png"}, {"preview_every": 5}]
)
def test_what_is_a_pictures_own_runs_alone(folder: Path, more: dict[str, Any]) -> None:
    assert batch_key(StageCall("diffuse", {"latents": torch.zeros(4, 8, 8)}, settings(folder, **more))) is None
    assert batch_key(StageCall("decode", {"latents": torch.zeros(4, 8, 8)}, settings(folder))) is None


@pytest.mark.parametrize("name", [*PAINT, *HELD])
def test_what_was_painted_on_runs_alone(folder: Path, name: str) -> None:
    assert batch_key(StageCall("diffuse", {"latents": torch.zeros(4, 8, 8), name: torch.zeros(8, 8)}, settings(folder))) is None


def test_latents_under_a_mask_run_alone(folder: Path) -> None:
    assert batch_key(StageCall("diffuse", {"latents": torch.zeros(4, 8, 8), "mask": torch.ones(8, 8)}, settings(folder))) is None


def test_a_fast_model_runs_in_the_fastest_compute_format(folder: Path) -> None:
    models, chosen = Models(1 << 30), settings(folder)
    plain = ModelSpec.of(chosen)
    fast = ModelSpec.of({**chosen, "model": {**chosen["model"], "fast": True}})
    assert models.component(plain, "unet").dtype is torch.float32
    assert models.component(fast, "unet").dtype is fastest("cpu").dtype
    weight = models.component(fast, "unet").conv_in.weight
    assert weight.is_contiguous(memory_format=torch.channels_last)
    half = ModelSpec.of({**chosen, "model": {**chosen["model"], "fast": True, "dtype": "float16"}})
    assert models.dtype(half) is torch.float16, "what somebody chose stays"


def test_on_a_gpu_a_fast_model_runs_in_the_half_that_its_family_stands(folder: Path, tmp_path: Path) -> None:
    models = Models(1 << 30)
    wide = {"flux": tiny.flux(tmp_path / "flux"), "sd3": tiny.stable_diffusion_3(tmp_path / "sd3", with_t5=False)}
    for path, dtype in ((folder, torch.float16), *((path, torch.bfloat16) for path in wide.values())):
        fast = ModelSpec("m", str(path), device="cuda", fast=True)
        assert models.dtype(fast) is dtype
        assert models.dtype(replace(fast, fast=False)) is torch.float32
    told = facts_of({"model": {"name": "m", "path": "", "device": "cuda", "dtype": "float32", "fast": True}}, 1, wide=True)
    assert told == {"numbers": "bfloat16, channels last"}


def test_an_embedding_is_made_once_for_the_encoders_that_are_loaded(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    models = Models(1 << 30)
    encoder = models.component(ModelSpec.of(settings(folder)), "text_encoder")
    calls: list[int] = []
    forward = encoder.forward
    monkeypatch.setattr(encoder, "forward", lambda *args, **more: calls.append(1) or forward(*args, **more))
    first = begun(models, settings(folder, prompt="a red cat", negative_prompt="dog"))
    assert len(calls) == 2
    again = begun(models, settings(folder, prompt="a red cat", negative_prompt="dog", seed=5, seeds=[5]))
    assert len(calls) == 2
    assert torch.equal(first["prompt_embeds"], again["prompt_embeds"])
    assert torch.equal(first["negative_prompt_embeds"], again["negative_prompt_embeds"])
    begun(models, settings(folder, prompt="a red cat", negative_prompt="dog", clip_skip=2))
    assert len(calls) == 4, "another layer is another embedding"
    models.clear()
    assert torch.equal(begun(models, settings(folder))["prompt_embeds"], first["prompt_embeds"])
    assert len(calls) == 4, "and the encoders that were let go have no say"
