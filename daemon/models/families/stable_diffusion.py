"""Stable Diffusion 1 and 2, which differ in their configurations only: one CLIP text encoder, a UNet, four channels."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daemon.models.families.family import CLIP, CLIP_TOKENIZER, UNET, VAE, Config, Family

if TYPE_CHECKING:
    import torch


class StableDiffusion(Family):
    """The ways of Stable Diffusion 1 and 2."""

    def options(self, index: Config) -> dict[str, Any]:
        del index
        return {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}

    def encode(self, pipe: Any, text: str, clip_skip: int) -> "dict[str, torch.Tensor]":
        if clip_skip > 1:
            return {"prompt_embeds": _skipped(pipe, text, clip_skip)[0]}
        return {"prompt_embeds": pipe.encode_prompt(text, pipe.text_encoder.device, 1, False)[0][0]}

    def loop_arguments(self, settings: Config, latents: "torch.Tensor", size: Mapping[str, int]) -> dict[str, Any]:
        knobs = {"guidance_rescale": settings.get("guidance_rescale") or 0.0, "eta": settings.get("eta") or 0.0}
        return {**super().loop_arguments(settings, latents, size), **knobs}


def _skipped(pipe: Any, text: str, clip_skip: int) -> Any:
    # The pipeline's own clip_skip reaches for an attribute that transformers 5.6 removed (diffusers #14124).
    tokenizer, encoder = pipe.tokenizer, pipe.text_encoder
    length = tokenizer.model_max_length
    tokens = tokenizer(text, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    layers = encoder(tokens.input_ids.to(encoder.device), output_hidden_states=True).hidden_states
    return getattr(encoder, "text_model", encoder).final_layer_norm(layers[-clip_skip])


STABLE_DIFFUSION = StableDiffusion(
    name="Stable Diffusion 1 or 2",
    pipeline="StableDiffusionPipeline",
    components={"tokenizer": CLIP_TOKENIZER, "text_encoder": CLIP, "unet": UNET, "vae": VAE},
    # The pipelines of Stable Diffusion force these upon their scheduler when they are built, but could not reach through a Segment.
    forced={"steps_offset": 1, "clip_sample": False},
)
