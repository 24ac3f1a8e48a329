"""Prompts become embeddings: the bits of diffusers where it knows how; weights, chunks and BREAK where it does not."""

from pathlib import Path
from typing import Any

import pytest
import torch

from daemon.models.checkpoints.vocabulary import clip_tokenizer
from daemon.models.conditioning import CENTRED, COMMA
from daemon.models.registry import Models
from daemon.stages import diffuse
from tests import tiny
from tests.parts import Tensors, generator, one_piece, quiet, settings, start, unpacked

MAKERS = {
    "sd1": tiny.stable_diffusion,
    "sd2": lambda path: tiny.stable_diffusion(path, version=2),
    "sdxl": tiny.stable_diffusion_xl,
    "refiner": lambda path: tiny.stable_diffusion_xl(path, refiner=True),
    "sd3": tiny.stable_diffusion_3,
    "sd3-without-t5": lambda path: tiny.stable_diffusion_3(path, with_t5=False),
    "flux": tiny.flux,
}
SEVENTY_FIVE = "red cat " * 37 + "cat"
LONG = "red cat, " * 30

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]


def encoded(models: Models, folder: Path, prompt: str, **more: Any) -> Tensors:
    return start(models, settings(folder, prompt=prompt, **{"negative_prompt": "", **more}))


@torch.no_grad()
def of_diffusers(folder: Path, prompt: str) -> Tensors:
    pipe = one_piece(folder)
    options: dict[str, dict[str, Any]] = {
        "StableDiffusionPipeline": {"num_images_per_prompt": 1, "do_classifier_free_guidance": False},
        "StableDiffusionXLPipeline": {"do_classifier_free_guidance": False},
        "StableDiffusionXLImg2ImgPipeline": {"do_classifier_free_guidance": False},
        "StableDiffusion3Pipeline": {"prompt_2": None, "prompt_3": None, "do_classifier_free_guidance": False},
        "FluxPipeline": {"prompt_2": None},
    }
    kind = type(pipe).__name__
    found = pipe.encode_prompt(prompt=prompt, device="cpu", **options[kind])
    pooled = None if kind == "StableDiffusionPipeline" else found[1] if kind == "FluxPipeline" else found[2]
    return {"prompt_embeds": found[0][0], **({} if pooled is None else {"pooled_prompt_embeds": pooled[0]})}


def assert_equal(ours: Tensors, theirs: Tensors) -> None:
    for name, tensor in theirs.items():
        assert torch.equal(ours[name], tensor), name


@pytest.mark.parametrize("family", MAKERS)
@pytest.mark.parametrize("prompt", ["", "a red cat", r"a red cat \(the dog\)", SEVENTY_FIVE])
def test_a_prompt_of_one_chunk_without_weights_has_the_bits_of_diffusers(
    models: Models, folders: dict[str, Path], family: str, prompt: str
) -> None:
    ours = encoded(models, folders[family], prompt)
    assert_equal(ours, of_diffusers(folders[family], prompt.replace("\\", "")))


@pytest.mark.parametrize("prompt", ["(a red cat:1.0)", "a red (cat:1)", "[(a red cat:1.1)]"])
def test_a_weight_of_one_is_none(models: Models, folders: dict[str, Path], prompt: str) -> None:
    assert_equal(encoded(models, folders["sd1"], prompt), of_diffusers(folders["sd1"], "a red cat"))


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_each_chunk_is_encoded_as_a_prompt_of_its_own(models: Models, folders: dict[str, Path], family: str) -> None:
    ours = encoded(models, folders[family], LONG)
    first, second = of_diffusers(folders[family], "red cat, " * 25), of_diffusers(folders[family], "red cat, " * 5)
    assert ours["prompt_embeds"].shape[0] == ours["negative_prompt_embeds"].shape[0] == 2 * 77
    assert torch.equal(ours["prompt_embeds"], torch.cat([first["prompt_embeds"], second["prompt_embeds"]]))
    if family == "sdxl":
        assert torch.equal(ours["pooled_prompt_embeds"], first["pooled_prompt_embeds"])


def test_a_chunk_ends_after_a_comma_that_is_near_and_in_the_middle_of_words_otherwise(
    models: Models, folders: dict[str, Path]
) -> None:
    for words, cut in (("cat " * 55 + ", " + "red " * 40, 56), ("cat " * 54 + ", " + "red " * 40, 75), ("cat " * 75 + ", red", 75)):
        ours, tokens = encoded(models, folders["sd1"], words)["prompt_embeds"], words.split()
        chunks = [of_diffusers(folders["sd1"], " ".join(part))["prompt_embeds"] for part in (tokens[:cut], tokens[cut:])]
        assert torch.equal(ours, torch.cat(chunks)), cut


def test_the_comma_is_that_of_the_real_vocabulary() -> None:
    words = clip_tokenizer({})
    assert words("a cat,", add_special_tokens=False).input_ids[-1] == words.convert_tokens_to_ids(COMMA) == 267


def test_break_begins_a_new_chunk(models: Models, folders: dict[str, Path]) -> None:
    for prompt, sections in (("a cat BREAK a dog", ["a cat", "a dog"]), ("a cat BREAK", ["a cat"]), ("BREAK a cat", ["", "a cat"])):
        ours = encoded(models, folders["sd1"], prompt)["prompt_embeds"]
        assert torch.equal(ours, torch.cat([of_diffusers(folders["sd1"], words)["prompt_embeds"] for words in sections]))


def test_the_shorter_half_is_filled_up_with_chunks_of_no_words(models: Models, folders: dict[str, Path]) -> None:
    none = of_diffusers(folders["sd1"], "")["prompt_embeds"]
    ours = encoded(models, folders["sd1"], "a cat", negative_prompt="a dog BREAK red")
    assert torch.equal(ours["prompt_embeds"], torch.cat([of_diffusers(folders["sd1"], "a cat")["prompt_embeds"], none]))
    assert ours["negative_prompt_embeds"].shape == ours["prompt_embeds"].shape
    ours = encoded(models, folders["sd1"], LONG, negative_prompt="a dog")
    assert torch.equal(ours["negative_prompt_embeds"], torch.cat([of_diffusers(folders["sd1"], "a dog")["prompt_embeds"], none]))


@pytest.mark.parametrize("family", ["sd1", "sdxl"])
def test_a_weight_multiplies_its_tokens_and_the_mean_stays(models: Models, folders: dict[str, Path], family: str) -> None:
    plain, ours = of_diffusers(folders[family], "a red cat"), encoded(models, folders[family], "a (red:1.5) cat")
    for width in ((0, 16),) if family == "sd1" else ((0, 16), (16, 48)):
        hidden = plain["prompt_embeds"][:, slice(*width)].contiguous()
        weighted = hidden.clone()
        weighted[2] *= 1.5
        centred = hidden.mean().abs() < CENTRED * hidden.abs().mean() or weighted.mean().abs() < CENTRED * weighted.abs().mean()
        expected = weighted if centred or hidden.mean() * weighted.mean() < 0 else weighted * (hidden.mean() / weighted.mean())
        assert torch.equal(ours["prompt_embeds"][:, slice(*width)], expected)
    if family == "sdxl":
        assert torch.equal(ours["pooled_prompt_embeds"], plain["pooled_prompt_embeds"])


def test_negative_prompts_take_weights_too(models: Models, folders: dict[str, Path]) -> None:
    ours = encoded(models, folders["sd1"], "a cat", negative_prompt="a (red:1.5) cat")
    assert torch.equal(ours["negative_prompt_embeds"], encoded(models, folders["sd1"], "a (red:1.5) cat")["prompt_embeds"])


def test_weights_and_clip_skip_go_together(models: Models, folders: dict[str, Path]) -> None:
    plain, skipped, both = (
        encoded(models, folders["sd1"], prompt, clip_skip=skip)["prompt_embeds"]
        for prompt, skip in (("a (red:1.5) cat", 1), ("a red cat", 2), ("a (red:1.5) cat", 2))
    )
    ratio = both / skipped
    assert torch.allclose(ratio[2] / ratio[1], torch.tensor(1.5))
    assert not torch.equal(both, plain)


def test_sd3_shows_long_prompts_to_its_clips_in_chunks_and_to_its_t5_whole(models: Models, folders: dict[str, Path]) -> None:
    ours, theirs = encoded(models, folders["sd3"], LONG), of_diffusers(folders["sd3"], LONG)
    first = of_diffusers(folders["sd3"], "red cat, " * 25)
    assert ours["prompt_embeds"].shape == ours["negative_prompt_embeds"].shape == (2 * 77 + 256, 32)
    assert torch.equal(ours["prompt_embeds"][:77], first["prompt_embeds"][:77])
    assert torch.equal(ours["prompt_embeds"][2 * 77 :], theirs["prompt_embeds"][77:])
    assert torch.equal(ours["pooled_prompt_embeds"], first["pooled_prompt_embeds"])


def test_flux_is_that_of_diffusers_also_with_long_prompts(models: Models, folders: dict[str, Path]) -> None:
    for prompt in (LONG, 8 * LONG):
        assert_equal(encoded(models, folders["flux"], prompt), of_diffusers(folders["flux"], prompt))
    assert_equal(encoded(models, folders["flux"], "a red BREAK cat"), of_diffusers(folders["flux"], "a red cat"))


@pytest.mark.parametrize("family", ["sd3", "flux"])
def test_weights_count_in_a_t5(models: Models, folders: dict[str, Path], family: str) -> None:
    plain, heavy = (
        encoded(models, folders[family], prompt)["prompt_embeds"][-256 if family == "sd3" else 0 :]
        for prompt in ("red cat", "red (cat:2)")
    )
    ratio = (heavy / plain)[:4]
    assert torch.allclose(ratio[1] / ratio[0], torch.tensor(2.0), rtol=1e-4)


@pytest.mark.parametrize("family", ["sd1", "sdxl", "sd3"])
def test_a_long_prompt_goes_through_the_loop_as_in_the_pipeline(models: Models, folders: dict[str, Path], family: str) -> None:
    chosen = settings(folders[family], prompt=f"(red:1.3) cat BREAK {LONG}", scheduler=None, steps=2)
    tensors = start(models, chosen)
    denoised, _ = diffuse.run(models, tensors, chosen, quiet)
    given = {key: tensor[None] for key, tensor in tensors.items() if key.endswith("_embeds")}
    size = {"width": 64, "height": 64, "guidance_scale": 5.0, "num_inference_steps": 2}
    whole = one_piece(folders[family])(**given, **size, generator=generator(), output_type="latent").images
    assert torch.equal(denoised["latents"], unpacked(whole))
