"""Stable Diffusion 1 and 2, which differ in their configurations only: one CLIP text encoder, a UNet, four channels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daemon.models.families.family import CLIP, CLIP_TOKENIZER, UNET, VAE, Config, Family
from daemon.models.prompt_grammar import Sections

if TYPE_CHECKING:
    import torch

    from daemon.models.conditioning import Encoders


class StableDiffusion(Family):
    """The ways of Stable Diffusion 1 and 2."""

    def options(self, index: Config) -> dict[str, Any]:
        del index
        return {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}

    def encode(self, encoders: "Encoders", prompt: Sections, clip_skip: int, chunks: int) -> "dict[str, torch.Tensor]":
        embeds, _ = encoders.clips["text_encoder"].encode(prompt, clip_skip, chunks, normed=True)
        return {"prompt_embeds": embeds}

    def loop_arguments(self, settings: Config, latents: "torch.Tensor", size: Mapping[str, int]) -> dict[str, Any]:
        knobs = {"guidance_rescale": settings.get("guidance_rescale") or 0.0, "eta": settings.get("eta") or 0.0}
        return {**super().loop_arguments(settings, latents, size), **knobs}


STABLE_DIFFUSION = StableDiffusion(
    name="Stable Diffusion 1 or 2",
    pipeline="StableDiffusionPipeline",
    components={"tokenizer": CLIP_TOKENIZER, "text_encoder": CLIP, "unet": UNET, "vae": VAE},
    unsupported=frozenset({"aesthetic_score"}),
    # The pipelines of Stable Diffusion force these upon their scheduler when they are built, but could not reach through a
    # PartialSchedule.
    forced={"steps_offset": 1, "clip_sample": False},
)
