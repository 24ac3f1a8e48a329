"""Text: a prompt becomes its embedding, and unit noise to start from.

Source: `encode_prompt` of diffusers' pipeline with only the tokenizer and the text encoder in it. The noise is drawn in
float32 on the CPU, whatever the model runs in and on: the draws of smaller types are roundings of it.

    N pictures   C latent channels   h, w latent height and width   T tokens   D width of the text encoder
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.registry import Model, Models


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], progress: Progress
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Encode `prompt` and `negative_prompt`, and draw the noise of each of `seeds` for `width` x `height` pixels.

    Gives latents (N, C, h, w), generator_state (N, n) uint8 as it is after the draw, prompt_embeds (T, D) and
    negative_prompt_embeds (T, D). `clip_skip` counts as A1111 does: 1 is the last layer, 2 the one before. Without a
    size the model's own is taken; the facts hold the `width` and `height` used, and notes on words that the model did
    not see."""
    del tensors
    model = Model.of(settings)
    prompts = [settings["prompt"], settings.get("negative_prompt") or ""]
    width, height, shape = _size(models, model, settings)
    notes = _unseen_words(models.component(model, "tokenizer"), prompts)
    positive, negative = _embeddings(models, model, prompts, int(settings.get("clip_skip") or 1))
    latents, states = _noise(settings["seeds"], shape)
    progress(1, 1)
    out = {"latents": latents, "generator_state": states, "prompt_embeds": positive, "negative_prompt_embeds": negative}
    return out, {"width": width, "height": height, "notes": notes}


def _size(models: Models, model: Model, settings: Mapping[str, Any]) -> tuple[int, int, tuple[int, int, int]]:
    factor, channels = models.scale_factor(model), models.config(model, "vae").get("latent_channels", 4)
    native = models.config(model, "unet").get("sample_size") or 64
    native_height, native_width = native if isinstance(native, Sequence) else (native, native)
    width = settings.get("width") or native_width * factor
    height = settings.get("height") or native_height * factor
    if width < factor or height < factor or width % factor or height % factor:
        raise InputError(
            f"a picture of {width} x {height} pixels is not possible with the model {model.name!r}; "
            f"width and height must be multiples of {factor}"
        )
    return width, height, (int(channels), height // factor, width // factor)


def _unseen_words(tokenizer: Any, prompts: Sequence[str]) -> list[str]:
    notes = []
    for name, text in zip(("prompt", "negative prompt"), prompts, strict=True):
        ids = tokenizer(text).input_ids
        if len(ids) > tokenizer.model_max_length:
            unseen = tokenizer.decode(ids[tokenizer.model_max_length - 1 : -1])
            notes.append(f"the {name} is too long for the model, which did not see the end of it: {unseen!r}")
    return notes


def _embeddings(models: Models, model: Model, prompts: Sequence[str], clip_skip: int) -> tuple[torch.Tensor, torch.Tensor]:
    tokenizer, encoder = models.component(model, "tokenizer"), models.component(model, "text_encoder")
    if clip_skip > 1:
        return _skipped(tokenizer, encoder, prompts[0], clip_skip), _skipped(tokenizer, encoder, prompts[1], clip_skip)
    pipe = models.pipeline(model, tokenizer=tokenizer, text_encoder=encoder)
    positive, negative = pipe.encode_prompt(prompts[0], encoder.device, 1, True, negative_prompt=prompts[1])
    return positive[0].float().cpu(), negative[0].float().cpu()


def _skipped(tokenizer: Any, encoder: Any, text: str, clip_skip: int) -> torch.Tensor:
    # The pipeline's own clip_skip reaches for an attribute that transformers 5.6 removed (diffusers #14124).
    if clip_skip > encoder.config.num_hidden_layers:
        raise InputError(
            f"clip_skip {clip_skip} leaves nothing of the text encoder, which has "
            f"{encoder.config.num_hidden_layers} layers; use a smaller one"
        )
    length = tokenizer.model_max_length
    tokens = tokenizer(text, padding="max_length", max_length=length, truncation=True, return_tensors="pt")
    layers = encoder(tokens.input_ids.to(encoder.device), output_hidden_states=True).hidden_states
    embedding: torch.Tensor = getattr(encoder, "text_model", encoder).final_layer_norm(layers[-clip_skip])  # (1, T, D)
    return embedding[0].float().cpu()


def _noise(seeds: Sequence[int], shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    latents = torch.cat([torch.randn((1, *shape), generator=generator) for generator in generators])
    return latents, torch.stack([generator.get_state() for generator in generators])
