"""Stable Diffusion 3 and 3.5: two CLIP text encoders and a T5, which may be missing; a transformer that was trained by flow
matching; sixteen channels."""

from typing import TYPE_CHECKING

from daemon.models.families.family import CLIP_TOKENIZER, CLIP_WITH_PROJECTION, T5, T5_TOKENIZER, VAE, Config
from daemon.models.families.flow import Flow
from daemon.models.prompt_grammar import Sections

if TYPE_CHECKING:
    import torch

    from daemon.models.conditioning import Encoders


class StableDiffusion3(Flow):
    """The ways of Stable Diffusion 3 and 3.5."""

    def encode(self, encoders: "Encoders", prompt: Sections, clip_skip: int, chunks: int) -> "dict[str, torch.Tensor]":
        embeds, pooled = encoders.followed_by_t5(prompt, clip_skip + 1, chunks)
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled}

    def patch(self, denoiser: Config) -> int:
        return int(denoiser["patch_size"])


STABLE_DIFFUSION_3 = StableDiffusion3(
    name="Stable Diffusion 3",
    pipeline="StableDiffusion3Pipeline",
    components={
        "tokenizer": CLIP_TOKENIZER,
        "tokenizer_2": CLIP_TOKENIZER,
        "tokenizer_3": T5_TOKENIZER,
        "text_encoder": CLIP_WITH_PROJECTION,
        "text_encoder_2": CLIP_WITH_PROJECTION,
        "text_encoder_3": T5,
        "transformer": ("diffusers", "SD3Transformer2DModel"),
        "vae": VAE,
    },
    optional=frozenset({"tokenizer_3", "text_encoder_3"}),
    denoiser="transformer",
    skippable=("text_encoder", "text_encoder_2"),
    tokens={"tokenizer_3": 256},
    unsupported=frozenset({"guidance_rescale", "eta", "aesthetic_score"}),
    native=128,
    flow=True,
    wide=True,
    default_scheduler="flow_euler",
)
