"""Tiny random models of each family in diffusers layout, with tokenizers of their own: for tests, without network.

They have the real classes and the real structure, and the schedulers of the released ones (`tests/released.py`): Stable Diffusion 1
predicts the noise and comes with PNDM, version 2 predicts v and comes with DDIM. Version 3 and Flux have the real shifts of a VAE.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import diffusers
import torch
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    CLIPTokenizer,
    T5Config,
    T5EncoderModel,
    T5TokenizerFast,
)

from tests import released

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.!'-"
MERGES = [("c", "a"), ("ca", "t</w>"), ("r", "e"), ("re", "d</w>")]
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}
END, EXCLAMATION = "<|endoftext|>", "!</w>"


def tokenizer(pad_token: str = END) -> CLIPTokenizer:
    words = [letter + end for end in ("", "</w>") for letter in LETTERS] + ["".join(pair) for pair in MERGES]
    vocab = {word: index for index, word in enumerate([*words, "<|startoftext|>", END])}
    return CLIPTokenizer(vocab=vocab, merges=MERGES, model_max_length=77, pad_token=pad_token)


def t5_tokenizer() -> T5TokenizerFast:
    pieces = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -2.0), ("▁", -2.0), *((letter, -3.0) for letter in LETTERS)]
    return T5TokenizerFast(vocab=[*pieces, ("▁cat", -1.0), ("▁red", -1.0)], extra_ids=0, model_max_length=512)


def text_encoder(words: CLIPTokenizer, width: int, cls: Any = CLIPTextModel, projection: int = 16) -> Any:
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=4,
        projection_dim=projection,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return cls(config)


def t5(words: T5TokenizerFast, width: int) -> T5EncoderModel:
    return T5EncoderModel(T5Config(vocab_size=len(words), d_model=width, d_ff=2 * width, d_kv=4, num_layers=2, num_heads=2))


def unet(width: int, channels: int = 4, *, inpainting: bool = False, **more: Any) -> diffusers.UNet2DConditionModel:
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=2 * channels + 1 if inpainting else channels,
        out_channels=channels,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=width,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        **more,
    )


def vae(channels: int = 4, **more: Any) -> diffusers.AutoencoderKL:
    return diffusers.AutoencoderKL(
        block_out_channels=(4, 4, 8, 8),
        norm_num_groups=2,
        latent_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=64,
        **{"scaling_factor": 0.18215, **more},
    )


def stable_diffusion(
    path: Path,
    *,
    version: int = 1,
    seed: int = 0,
    width: int | None = None,
    zero_snr: bool = False,
    inpainting: bool = False,
) -> Path:
    """Write a tiny model of Stable Diffusion 1 or 2 into the folder `path`, and return the folder; `width` is of its embeddings.

    With `zero_snr` version 2 was trained down to a signal-to-noise ratio of zero; an `inpainting` model sees the mask.
    """
    width = width or {1: 16, 2: 32}[version]
    words = tokenizer(pad_token=END if version == 1 else EXCLAMATION)
    with _seeded(seed):
        parts = {"text_encoder": text_encoder(words, width), "unet": unet(width, inpainting=inpainting), "vae": vae()}
    zero = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if zero_snr else {}
    kind = "stable-diffusion-1" if version == 1 else "stable-diffusion-2-v"
    scheduler = released.scheduler(kind, **zero)
    none = {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
    diffusers.StableDiffusionPipeline(**parts, tokenizer=words, scheduler=scheduler, **none).save_pretrained(path)
    return released.configured(path, kind, **zero)


def stable_diffusion_xl(path: Path, *, refiner: bool = False, seed: int = 0, inpainting: bool = False) -> Path:
    """Write a tiny model of Stable Diffusion XL into `path`, base or refiner: the refiner has the second text encoder only."""
    words, words_2 = tokenizer(), tokenizer(pad_token=EXCLAMATION)
    numbers = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4}
    numbers["projection_class_embeddings_input_dim"] = 24 + 4 * (5 if refiner else 6)
    with _seeded(seed):
        first, second = text_encoder(words, 16), text_encoder(words_2, 32, CLIPTextModelWithProjection, projection=24)
        parts = {
            "unet": unet(32 if refiner else 48, inpainting=inpainting, **numbers),
            "vae": vae(scaling_factor=0.13025, force_upcast=True),
        }
    both = {"text_encoder": None, "tokenizer": None} if refiner else {"text_encoder": first, "tokenizer": words}
    beside = {"scheduler": released.scheduler("stable-diffusion-xl"), "add_watermarker": False}
    common = {**parts, **both, "text_encoder_2": second, "tokenizer_2": words_2, **beside}
    pipe = (
        diffusers.StableDiffusionXLImg2ImgPipeline(**common, requires_aesthetics_score=True, force_zeros_for_empty_prompt=False)
        if refiner
        else diffusers.StableDiffusionXLPipeline(**common)
    )
    pipe.save_pretrained(path)
    return released.configured(path, "stable-diffusion-xl")


def stable_diffusion_3(path: Path, *, with_t5: bool = True, dynamic: bool = False, seed: int = 0) -> Path:
    """Write a tiny model of Stable Diffusion 3 into `path`; `dynamic` lets the shift of its schedule follow the size."""
    words, words_2, words_3 = tokenizer(), tokenizer(pad_token=EXCLAMATION), t5_tokenizer()
    by_size = {"use_dynamic_shifting": True} if dynamic else {}
    with _seeded(seed):
        parts = {
            "text_encoder": text_encoder(words, 16, CLIPTextModelWithProjection, projection=8),
            "text_encoder_2": text_encoder(words_2, 16, CLIPTextModelWithProjection, projection=16),
            "text_encoder_3": t5(words_3, 32),
            "transformer": diffusers.SD3Transformer2DModel(
                sample_size=8,
                patch_size=2,
                in_channels=16,
                num_layers=2,
                attention_head_dim=8,
                num_attention_heads=4,
                joint_attention_dim=32,
                caption_projection_dim=32,
                pooled_projection_dim=24,
                out_channels=16,
                pos_embed_max_size=16,
            ),
            "vae": vae(16, scaling_factor=1.5305, shift_factor=0.0609),
        }
    diffusers.StableDiffusion3Pipeline(
        **{**parts, **({} if with_t5 else {"text_encoder_3": None})},
        tokenizer=words,
        tokenizer_2=words_2,
        tokenizer_3=words_3 if with_t5 else None,
        scheduler=released.scheduler("stable-diffusion-3-medium", **by_size),
    ).save_pretrained(path)
    return released.configured(path, "stable-diffusion-3-medium", **by_size)


def flux(path: Path, *, schnell: bool = False, seed: int = 0) -> Path:
    """Write a tiny model of Flux into `path`: one that was trained with guidance and a schedule by size, or `schnell`, without."""
    words, words_2 = tokenizer(), t5_tokenizer()
    with _seeded(seed):
        parts = {
            "text_encoder": text_encoder(words, 16),
            "text_encoder_2": t5(words_2, 32),
            "transformer": diffusers.FluxTransformer2DModel(
                in_channels=64,
                num_layers=1,
                num_single_layers=1,
                attention_head_dim=16,
                num_attention_heads=2,
                joint_attention_dim=32,
                pooled_projection_dim=16,
                guidance_embeds=not schnell,
                axes_dims_rope=(4, 4, 8),
            ),
            "vae": vae(16, scaling_factor=0.3611, shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False),
        }
    kind = "flux-schnell" if schnell else "flux-dev"
    scheduler = released.scheduler(kind)
    diffusers.FluxPipeline(**parts, tokenizer=words, tokenizer_2=words_2, scheduler=scheduler).save_pretrained(path)
    return released.configured(path, kind)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
