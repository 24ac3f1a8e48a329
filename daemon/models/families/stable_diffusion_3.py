"""Stable Diffusion 3 and 3.5: two CLIP text encoders and a T5, which may be missing; a transformer that was trained by flow
matching; sixteen channels."""

from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from daemon.models.families.family import CLIP_TOKENIZER, CLIP_WITH_PROJECTION, T5, T5_TOKENIZER, VAE, Config
from daemon.models.families.flow import Flow

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class _Configured:
    """A component of which there is nothing but its configuration."""

    config: SimpleNamespace


class StableDiffusion3(Flow):
    """The ways of Stable Diffusion 3 and 3.5."""

    def text_context(self, denoiser: Config) -> dict[str, Any]:
        # Without a T5 the pipeline makes zeros in its place, of the width that the transformer's configuration names.
        return {"transformer": _Configured(SimpleNamespace(**denoiser))}

    def encode(self, pipe: Any, text: str, clip_skip: int) -> "dict[str, torch.Tensor]":
        given = {"prompt_2": None, "prompt_3": None, "device": pipe.text_encoder.device, "clip_skip": clip_skip - 1 or None}
        embeds, _, pooled, _ = pipe.encode_prompt(prompt=text, do_classifier_free_guidance=False, **given)
        return {"prompt_embeds": embeds[0], "pooled_prompt_embeds": pooled[0]}

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
    passed_over=frozenset({"guidance_rescale"}),
    native=128,
    flow=True,
)
