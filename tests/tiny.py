"""Tiny random Stable Diffusion models in diffusers layout, with a tokenizer of their own: for tests, without network.

Version 1 predicts the noise and comes with PNDM, version 2 predicts v and comes with DDIM, as the real ones do.
"""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, DDIMScheduler, PNDMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789,.!'-"
MERGES = [("c", "a"), ("ca", "t</w>"), ("r", "e"), ("re", "d</w>")]
SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "steps_offset": 1}


def tokenizer(pad_token: str = "<|endoftext|>") -> CLIPTokenizer:
    words = [letter + end for end in ("", "</w>") for letter in LETTERS] + ["".join(pair) for pair in MERGES]
    vocab = {word: index for index, word in enumerate([*words, "<|startoftext|>", "<|endoftext|>"])}
    return CLIPTokenizer(vocab=vocab, merges=MERGES, model_max_length=77, pad_token=pad_token)


def text_encoder(words: CLIPTokenizer, width: int) -> CLIPTextModel:
    config = CLIPTextConfig(
        vocab_size=len(words),
        hidden_size=width,
        intermediate_size=2 * width,
        num_hidden_layers=3,
        num_attention_heads=4,
        bos_token_id=words.bos_token_id,
        eos_token_id=words.eos_token_id,
        pad_token_id=words.pad_token_id,
    )
    return CLIPTextModel(config)


def unet(width: int, channels: int = 4) -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        out_channels=channels,
        block_out_channels=(8, 16),
        layers_per_block=1,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=width,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
    )


def vae(channels: int = 4) -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(4, 4, 8, 8),
        norm_num_groups=2,
        latent_channels=channels,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=64,
        scaling_factor=0.18215,
    )


def stable_diffusion(path: Path, *, version: int = 1, seed: int = 0, width: int | None = None) -> Path:
    """Write a tiny model of Stable Diffusion 1 or 2 into the folder `path`, and return the folder; `width` is of its embeddings."""
    width = width or {1: 16, 2: 32}[version]
    words = tokenizer(pad_token="<|endoftext|>" if version == 1 else "!</w>")
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts = {"text_encoder": text_encoder(words, width), "unet": unet(width), "vae": vae()}
    scheduler = (
        PNDMScheduler(**SCHEDULE, skip_prk_steps=True)
        if version == 1
        else DDIMScheduler(**SCHEDULE, clip_sample=False, set_alpha_to_one=False, prediction_type="v_prediction")
    )
    StableDiffusionPipeline(
        **parts,
        tokenizer=words,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(path)
    return path
