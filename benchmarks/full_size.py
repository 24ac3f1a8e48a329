"""A model of the size and structure of Stable Diffusion 1.5 with random weights, in diffusers layout; speed depends on no weight.

About 4 GB in float32; made once in a folder of the system's temporary files, and made again where that is gone.
"""

import tempfile
from pathlib import Path
from typing import Any

from tests import tiny

FOLDER = Path(tempfile.gettempdir()) / "tiffsd-benchmark-sd15"
DONE = "complete"


def stable_diffusion_15() -> Path:
    """The folder of the model."""
    if not (FOLDER / DONE).exists():
        _pipeline().save_pretrained(FOLDER)
        (FOLDER / DONE).touch()
    return FOLDER


def _pipeline() -> Any:
    import diffusers
    import torch
    from transformers import CLIPTextConfig, CLIPTextModel

    words = tiny.tokenizer()
    with torch.random.fork_rng():
        torch.manual_seed(0)
        text = CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(words),
                hidden_size=768,
                intermediate_size=3072,
                num_hidden_layers=12,
                num_attention_heads=12,
                bos_token_id=words.bos_token_id,
                eos_token_id=words.eos_token_id,
                pad_token_id=words.pad_token_id,
            )
        )
        unet = diffusers.UNet2DConditionModel(
            sample_size=64, cross_attention_dim=768, attention_head_dim=8, block_out_channels=(320, 640, 1280, 1280)
        )
        vae = diffusers.AutoencoderKL(
            block_out_channels=(128, 256, 512, 512),
            down_block_types=("DownEncoderBlock2D",) * 4,
            up_block_types=("UpDecoderBlock2D",) * 4,
            layers_per_block=2,
            sample_size=512,
            scaling_factor=0.18215,
        )
    return diffusers.StableDiffusionPipeline(
        vae=vae,
        text_encoder=text,
        tokenizer=words,
        unet=unet,
        scheduler=diffusers.PNDMScheduler(**tiny.SCHEDULE, skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
