"""All stages, schedulers and families on a device whose tensors do not mix with those of the CPU, as on a GPU.

What comes of it is what the CPU gives, which computes here too; only the ways of the tensors are others."""

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.models import registry, schedulers, strips
from daemon.models.copies import copies_for
from daemon.models.registry import Models, ModelSpec
from daemon.stages import apply, decode, diffuse, encode, invert, text
from daemon.stages.loop import BLOCKS, ESTIMATE, PAINTED, SHOWN
from tests import second_device, tiny
from tests.adapters import ATTENTION, kohya, matrices, written
from tests.parts import SIZE, Tensors, embeddings, quiet, settings, start, through_numpy

MAKERS = {
    "sd1": tiny.stable_diffusion,
    "sd1-inpainting": lambda path: tiny.stable_diffusion(path, inpainting=True),
    "sd2": lambda path: tiny.stable_diffusion(path, version=2),
    "sdxl": tiny.stable_diffusion_xl,
    "sdxl-refiner": lambda path: tiny.stable_diffusion_xl(path, refiner=True),
    "sd3": tiny.stable_diffusion_3,
    "flux": tiny.flux,
}
FLOW = ("sd3", "flux")
PAIRS = [("sd3" if recipe.flow else "sd1", name) for name, recipe in schedulers.RECIPES.items() if recipe.spacing is None]
STEPS = 4

pytestmark = pytest.mark.usefixtures("fixed_threads")


@pytest.fixture(scope="module")
def elsewhere() -> Models:
    """The models that are loaded into the second device."""
    return Models(budget_bytes=1 << 30)


@pytest.fixture
def device() -> Iterator[None]:
    with second_device.second_device():
        yield


def there(chosen: Mapping[str, Any]) -> dict[str, Any]:
    return {**chosen, "model": {**chosen["model"], "device": str(second_device.CUDA)}}


def noise(seed: int, *shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def a_picture() -> torch.Tensor:
    return torch.rand((SIZE, SIZE, 3), generator=torch.Generator().manual_seed(1))


def a_mask(size: int) -> torch.Tensor:
    mask = torch.zeros(size, size)
    mask[size // 4 :, : size // 2] = 1
    mask[:, size // 2] = 0.5
    return mask


def same(here: Tensors, made: Tensors) -> None:
    assert made.keys() == here.keys()
    assert not any(isinstance(tensor, second_device.Tensor) for tensor in made.values())
    for name, tensor in here.items():
        torch.testing.assert_close(made[name], tensor, rtol=0, atol=1e-4, msg=lambda said, name=name: f"{name}: {said}")


def masked_in_two_parts(models: Models, tensors: Tensors, chosen: dict[str, Any]) -> tuple[Tensors, Tensors]:
    """Image-to-image under a mask that dumps its steps and stops, and what goes on from there."""
    half, facts = diffuse.run(models, tensors, {**chosen, "state": "final", "strength": 0.8, "stop_at": 2}, quiet)
    on = {**chosen, "state": "partial", "step": facts["step"]}
    return half, diffuse.run(models, through_numpy(half) | embeddings(tensors), on, quiet)[0]


@pytest.mark.parametrize(("family", "name"), PAIRS)
def test_every_scheduler_stops_under_a_mask_and_goes_on(
    models: Models, elsewhere: Models, folders: dict[str, Path], family: str, name: str
) -> None:
    chosen = settings(folders[family], scheduler=name, steps=STEPS)
    tensors = start(models, chosen)
    tensors |= {"latents": noise(3, *tensors["latents"].shape), "mask": a_mask(8)}
    here = masked_in_two_parts(models, tensors, chosen)
    with second_device.second_device():
        made = masked_in_two_parts(elsewhere, tensors, there(chosen))
    same(here[0], made[0])
    same(here[1], made[1])


def with_all(maker: str, chosen: dict[str, Any]) -> dict[str, Any]:
    return {**chosen, "scheduler": "flow_euler" if maker in FLOW else "euler_a", "dump_every": 2, "preview_every": 2}


@pytest.mark.parametrize("family", MAKERS)
def test_every_family_writes_draws_inverts_and_comes_back(
    models: Models, elsewhere: Models, folders: dict[str, Path], family: str
) -> None:
    chosen = with_all(family, settings(folders[family], steps=STEPS, guidance_scale=2.0))
    texts = both(text, models, elsewhere, {}, chosen)
    words = {name: tensor[0] if name in ("latents", "generator_state") else tensor for name, tensor in texts.items()}
    seen = {"picture": a_picture(), "mask": a_mask(SIZE)}
    encoded = both(encode, models, elsewhere, seen, {**chosen, "strength": 0.7})
    latents = both(diffuse, models, elsewhere, words | encoded, {**chosen, "state": "final", "strength": 0.7})["latents"]
    overlay = {name: tensor for name, tensor in encoded.items() if name.startswith("overlay")}
    both(decode, models, elsewhere, {"latents": latents, **overlay}, chosen)
    if "inpainting" not in family:
        both(diffuse, models, elsewhere, words, chosen)
    if family in ("sd1", "sd3"):
        both(invert, models, elsewhere, {**words, "latents": 0.2 * latents}, {**chosen, "guidance_scale": 1.0, "steps": 2})


@pytest.mark.parametrize(("family", "name"), [("sd1", "dpmpp_2m"), ("flux", "flow_euler")])
def test_paint_is_put_into_latents_and_held(
    models: Models, elsewhere: Models, folders: dict[str, Path], family: str, name: str
) -> None:
    chosen = settings(folders[family], scheduler=name, steps=STEPS)
    tensors = start(models, chosen)
    half = {**diffuse.run(models, tensors, {**chosen, "stop_at": 2}, quiet)[0], **embeddings(tensors)}
    shown = decode.run(models, {"latents": half[ESTIMATE]}, chosen, quiet)[0]["picture"].clamp(0, 1)
    blocks, painted = torch.zeros(8, 8, dtype=torch.bool), shown.clone()
    blocks[1:3, 1:4], painted[8:24, 8:32] = True, torch.tensor([1.0, 0.0, 0.0])
    paint = {SHOWN: shown, PAINTED: painted, BLOCKS: blocks}
    on = {**chosen, "state": "partial", "step": 2}
    applied = both(apply, models, elsewhere, {**half, **paint}, on)
    both(diffuse, models, elsewhere, {**applied, **embeddings(tensors)}, {**on, "stop_at": 3})
    both(decode, models, elsewhere, {"latents": half[ESTIMATE], **paint}, chosen)


def test_loras_textual_inversions_and_larger_latents_come_to_the_device(
    models: Models, elsewhere: Models, folders: dict[str, Path], tmp_path: Path
) -> None:
    chosen = settings(folders["sd1"], scheduler="euler", steps=STEPS, prompt="a red cat, mine")
    unet = models.component(ModelSpec.of(chosen), "unet")
    lora = written(tmp_path / "lora.safetensors", kohya("lora_unet_", matrices(unet, ATTENTION)))
    words = written(tmp_path / "mine.safetensors", {"emb_params": noise(1, 2, 16)})
    more = {**chosen, "loras": [{"name": "l", "path": str(lora), "text": 0.5, "denoiser": 0.5}]}
    tensors = both(text, models, elsewhere, {}, {**more, "textual_inversions": {"mine": str(words)}})
    tensors = {name: tensor[0] if name in ("latents", "generator_state") else tensor for name, tensor in tensors.items()}
    larger = {"state": "final", "strength": 0.5, "enlarged": 1.5}
    assert both(diffuse, models, elsewhere, tensors, {**more, **larger})["latents"].shape == (4, 12, 12)


def both(stage: Any, models: Models, elsewhere: Models, tensors: Tensors, chosen: dict[str, Any]) -> Tensors:
    """What a stage makes on the CPU, where it makes the same on the second device."""
    here: Tensors = stage.run(models, tensors, chosen, quiet)[0]
    with second_device.second_device():
        made = stage.run(elsewhere, tensors, there(chosen), quiet)[0]
    same(here, made)
    return here


def test_pictures_are_made_together(models: Models, elsewhere: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"], steps=STEPS, scheduler="dpmpp_2m_sde")
    tensors, several = start(models, chosen), [{**chosen, "seed": seed} for seed in (1, 2)]
    here = diffuse.run_together(models, [tensors] * 2, several, quiet)
    with second_device.second_device():
        made = diffuse.run_together(elsewhere, [tensors] * 2, [there(each) for each in several], quiet)
    for one, other in zip(here, made, strict=True):
        same(one[0], other[0])


@pytest.mark.parametrize("family", ["sd1", "flux"])
def test_pictures_are_taken_in_strips(
    models: Models, elsewhere: Models, folders: dict[str, Path], family: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(second_device, "FREE_BYTES", 0)
    monkeypatch.setattr(strips, "STRIP_BYTES", 1)
    chosen = settings(folders[family], room={"memory_bytes": 0, "scratch": str(tmp_path)})
    latents = both(encode, models, elsewhere, {"picture": a_picture()}, chosen)["latents"]
    both(decode, models, elsewhere, {"latents": latents}, chosen)


@pytest.mark.usefixtures("device")
def test_main_memory_gives_back_what_a_model_lay_in_on_its_way(folders: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    trimmed: list[bool] = []
    monkeypatch.setattr(registry, "_trim_memory", lambda: trimmed.append(True))
    here, fresh = settings(folders["sd1"]), Models(budget_bytes=1 << 30)
    fresh.component(ModelSpec.of(here), "vae")
    assert not trimmed, "on the CPU it lies there still"
    fresh.component(ModelSpec.of(there(here)), "vae")
    assert trimmed


@pytest.mark.usefixtures("device")
def test_rows_are_fetched_one_ahead_and_written_one_behind() -> None:
    log: list[str] = []

    def read(number: int) -> torch.Tensor:
        log.append(f"read {number}")
        return torch.full((2, 3), float(number))

    copies = copies_for(second_device.CUDA)
    for number, rows in enumerate(copies.fetched(partial(read, number) for number in range(3))):
        assert rows.device == second_device.CUDA
        log.append(f"compute {number}")
        copies.put(lambda rows: log.append(f"write {float(rows.mean()):.0f}"), rows)
    copies.finish()
    assert log == [
        *("read 0", "read 1", "compute 0"),
        *("read 2", "compute 1", "write 0"),
        *("compute 2", "write 1", "write 2"),
    ]


@pytest.mark.usefixtures("device")
def test_it_refuses_what_a_gpu_refuses() -> None:
    ours, vector, number = torch.ones(3, device=second_device.CUDA), torch.ones(3), torch.tensor(2.0)
    assert (ours * number)[torch.tensor([0, 2])].tolist() == [2, 2]
    for mixed in (
        lambda: ours + vector,
        lambda: vector * ours[0],
        lambda: torch.allclose(ours, vector),
        lambda: torch.stack([ours[0], number]),
        lambda: vector[ours.long() - 1],
        lambda: torch.randn(3, device=ours.device, generator=torch.Generator()),
        ours.numpy,
    ):
        with pytest.raises(RuntimeError, match=r"at least two devices|Expected a 'cuda' device|numpy\(\) is not supported"):
            mixed()
