"""Text: a prompt becomes its embedding, and unit noise to start from.

Source: `encode_prompt` of diffusers' pipeline with only the tokenizers and the text encoders in it. The noise is drawn in float32
on the CPU, whatever the model runs in and on: the draws of smaller types are roundings of it.

    N pictures   C latent channels   h, w latent height and width   T tokens   D width of a token   P width of the pooled embedding
"""

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.families import Family
from daemon.models.registry import Model, Models

ONE_LAYER = 1
"""The `clip_skip` that skips nothing."""


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], progress: Progress
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Encode `prompt` and `negative_prompt`, and draw the noise of each of `seeds` for `width` x `height` pixels.

    Gives latents (N, C, h, w), generator_state (N, n) uint8 as it is after the draw, prompt_embeds (T, D) and, as the family has
    them, negative_prompt_embeds (T, D), pooled_prompt_embeds (P,) and negative_pooled_prompt_embeds (P,). `clip_skip` 1 is the
    layer that the model was trained with, 2 the one before, as A1111 counts. An empty negative prompt is what the model was trained
    with: no words, or zeros. Without a size the model's own is taken; the facts hold the `width` and `height` used, and notes on
    what the model did not see."""
    del tensors
    model = Model.of(settings)
    family = models.family(model)
    width, height, shape = _size(models, model, settings)
    pipe = models.pipeline(model, **models.text_parts(model), **family.text_context(models.denoiser_config(model)))
    embeddings = _embeddings(pipe, family, settings)
    latents, states = _noise(settings["seeds"], shape)
    progress(1, 1)
    skips = (settings.get("clip_skip") or ONE_LAYER) > ONE_LAYER
    passed_over = family.notes_on({"negative_prompt": settings.get("negative_prompt"), "clip_skip": skips})
    facts = {"width": width, "height": height, "notes": [*_unseen_words(pipe, family, settings), *passed_over]}
    return {"latents": latents, "generator_state": states, **embeddings}, facts


def _size(models: Models, model: Model, settings: Mapping[str, Any]) -> tuple[int, int, tuple[int, int, int]]:
    family, denoiser = models.family(model), models.denoiser_config(model)
    factor, grid = models.scale_factor(model), models.grid(model)
    native = denoiser.get("sample_size") or family.native
    native_height, native_width = native if isinstance(native, Sequence) else (native, native)
    width = settings.get("width") or native_width * factor
    height = settings.get("height") or native_height * factor
    if width < grid or height < grid or width % grid or height % grid:
        raise InputError(
            f"a picture of {width} x {height} pixels is not possible with the model {model.name!r}; "
            f"width and height must be multiples of {grid}"
        )
    return width, height, (family.channels(denoiser), height // factor, width // factor)


def _embeddings(pipe: Any, family: Family, settings: Mapping[str, Any]) -> dict[str, torch.Tensor]:
    clip_skip = int(settings.get("clip_skip") or ONE_LAYER) if family.skippable else ONE_LAYER
    _check_clip_skip(pipe, family, clip_skip)
    prompt, negative = settings["prompt"], settings.get("negative_prompt") or ""
    positive = family.encode(pipe, prompt, clip_skip)
    embeddings = dict(positive)
    if "negative_prompt" not in family.passed_over:
        zeros = not negative and family.empty_negative(pipe)
        encoded = (
            {key: torch.zeros_like(half) for key, half in positive.items()} if zeros else family.encode(pipe, negative, clip_skip)
        )
        embeddings |= {f"negative_{key}": half for key, half in encoded.items()}
    return {key: half.float().cpu() for key, half in embeddings.items()}


def _check_clip_skip(pipe: Any, family: Family, clip_skip: int) -> None:
    encoders = [encoder for name in family.skippable if (encoder := getattr(pipe, name)) is not None]
    layers = min((encoder.config.num_hidden_layers for encoder in encoders), default=clip_skip)
    if clip_skip > layers:
        raise InputError(f"clip_skip {clip_skip} leaves nothing of the text encoder, which has {layers} layers; use a smaller one")


def _unseen_words(pipe: Any, family: Family, settings: Mapping[str, Any]) -> list[str]:
    """What even the tokenizer that takes the longest prompts leaves out, in sentences."""
    names = [name for name in family.text_parts if name.startswith("tokenizer") and getattr(pipe, name) is not None]
    longest = {name: family.tokens.get(name, getattr(pipe, name).model_max_length) for name in names}
    name, most = max(longest.items(), key=lambda item: item[1])
    tokenizer, notes = getattr(pipe, name), []
    for setting in ("prompt", "negative_prompt"):
        ids = tokenizer(settings.get(setting) or "").input_ids
        if len(ids) > most:
            what, unseen = setting.replace("_", " "), tokenizer.decode(ids[most - 1 : -1])
            notes.append(f"the {what} is too long for the model, which did not see the end of it: {unseen!r}")
    return notes


def _noise(seeds: Sequence[int], shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
    latents = torch.cat([torch.randn((1, *shape), generator=generator) for generator in generators])
    return latents, torch.stack([generator.get_state() for generator in generators])
