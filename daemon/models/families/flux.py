"""Flux: a CLIP for the pooled embedding and a T5 for the words; sixteen channels, of which the loop takes 2 x 2 pixels as one
token.

Artifacts hold latents as a picture (16, h, w); they are packed for the loop alone. Guidance is a condition that the model was
trained with, so there is no negative prompt."""

from typing import TYPE_CHECKING, Any

import numpy as np

from daemon.models.families.family import CLIP, CLIP_TOKENIZER, T5, T5_TOKENIZER, VAE, Config
from daemon.models.families.flow import Flow
from daemon.models.prompt_grammar import Sections

if TYPE_CHECKING:
    import torch

    from daemon.models.conditioning import Encoders

PATCH = 2


class Flux(Flow):
    """The ways of Flux."""

    def encode(self, encoders: "Encoders", prompt: Sections, clip_skip: int, chunks: int) -> "dict[str, torch.Tensor]":
        del clip_skip, chunks
        return {"prompt_embeds": encoders.t5.encode(prompt), "pooled_prompt_embeds": encoders.clips["text_encoder"].pooled(prompt)}

    def channels(self, denoiser: Config) -> int:
        return super().channels(denoiser) // PATCH**2

    def channels_in(self, denoiser: Config) -> int:
        return super().channels_in(denoiser) // PATCH**2

    def patch(self, denoiser: Config) -> int:
        del denoiser
        return PATCH

    def guided(self, guidance_scale: float) -> bool:
        del guidance_scale
        return False

    def packed(self, pipe: Any, latents: "torch.Tensor") -> "torch.Tensor":
        tokens: torch.Tensor = pipe._pack_latents(latents, *latents.shape)
        return tokens

    def unpacked(self, pipe: Any, latents: "torch.Tensor", size: tuple[int, int]) -> "torch.Tensor":
        factor = pipe.vae_scale_factor
        picture: torch.Tensor = pipe._unpack_latents(latents, size[0] * factor, size[1] * factor, factor)
        return picture

    def sigmas(self, steps: int) -> list[float] | None:
        return [float(sigma) for sigma in np.linspace(1.0, 1 / steps, steps)]


FLUX = Flux(
    name="Flux",
    pipeline="FluxPipeline",
    components={
        "tokenizer": CLIP_TOKENIZER,
        "tokenizer_2": T5_TOKENIZER,
        "text_encoder": CLIP,
        "text_encoder_2": T5,
        "transformer": ("diffusers", "FluxTransformer2DModel"),
        "vae": VAE,
    },
    denoiser="transformer",
    skippable=(),
    tokens={"tokenizer_2": 512},
    unsupported=frozenset({"guidance_rescale", "eta", "aesthetic_score", "clip_skip", "negative_prompt"}),
    native=128,
    flow=True,
    wide=True,
    default_scheduler="flow_euler",
)
