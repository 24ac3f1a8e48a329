"""Stable Diffusion XL, base and refiner: two CLIP text encoders (the refiner has the second one only), pooled embeddings, and the
size of the picture as a condition of its own."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from daemon.models.families.family import CLIP, CLIP_TOKENIZER, CLIP_WITH_PROJECTION, UNET, VAE, Config
from daemon.models.families.stable_diffusion import StableDiffusion
from daemon.models.prompt_grammar import Sections

if TYPE_CHECKING:
    import torch

    from daemon.models.conditioning import Encoders


class StableDiffusionXL(StableDiffusion):
    """The ways of Stable Diffusion XL."""

    def options(self, index: Config) -> dict[str, Any]:
        said = {key: index[key] for key in ("force_zeros_for_empty_prompt", "requires_aesthetics_score") if key in index}
        return {**said, "add_watermarker": False}

    def unsupported_by(self, index: Config) -> frozenset[str]:
        return frozenset() if index.get("requires_aesthetics_score") else frozenset({"aesthetic_score"})

    def encode(self, encoders: "Encoders", prompt: Sections, clip_skip: int, chunks: int) -> "dict[str, torch.Tensor]":
        embeds, pooled = encoders.side_by_side(prompt, clip_skip + 1, chunks)
        return {"prompt_embeds": embeds, "pooled_prompt_embeds": pooled[-1]}

    def empty_negative(self, index: Config) -> bool:
        return bool(index.get("force_zeros_for_empty_prompt", True))

    def pooled_width(self, denoiser: Config, index: Config) -> int | None:
        # Height and width three times over, or twice and an aesthetic score.
        numbers = 5 if index.get("requires_aesthetics_score") else 6
        return int(denoiser["projection_class_embeddings_input_dim"]) - numbers * int(denoiser["addition_time_embed_dim"])

    def loop_arguments(self, settings: Config, latents: "torch.Tensor", size: Mapping[str, int]) -> dict[str, Any]:
        # The class takes the size from the latents; of the image it looks at the number of channels only.
        image = {"image": latents, "strength": 1.0}
        score = {"aesthetic_score": settings["aesthetic_score"]} if settings.get("aesthetic_score") is not None else {}
        knobs = super().loop_arguments(settings, latents, size)
        return {**{key: value for key, value in knobs.items() if key not in size}, **image, **score}


STABLE_DIFFUSION_XL = StableDiffusionXL(
    name="Stable Diffusion XL",
    # Its loop is that of text-to-image, which does not know the refiner's aesthetic score.
    pipeline="StableDiffusionXLImg2ImgPipeline",
    components={
        "tokenizer": CLIP_TOKENIZER,
        "tokenizer_2": CLIP_TOKENIZER,
        "text_encoder": CLIP,
        "text_encoder_2": CLIP_WITH_PROJECTION,
        "unet": UNET,
        "vae": VAE,
    },
    optional=frozenset({"tokenizer", "text_encoder"}),
    skippable=("text_encoder", "text_encoder_2"),
    native=128,
    overflows=True,
)
