"""Text: a prompt becomes its embedding, and unit noise to start from.

How words become an embedding stands in `daemon.models.conditioning`. The noise is drawn in float32 on the CPU, whatever the model
runs in and on: the draws of smaller types are roundings of it.

    N pictures   C latent channels   h, w latent height and width   T tokens   D width of a token   P width of the pooled embedding
"""

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import Any

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.adapters.loras import Lora
from daemon.models.adapters.textual_inversions import read_textual_inversions
from daemon.models.conditioning import T5, Clip, Encoders, NoT5
from daemon.models.families import Family
from daemon.models.families.family import T5 as T5_COMPONENT
from daemon.models.fits import check_clip_skip
from daemon.models.prompt_grammar import Sections, parse_weights
from daemon.models.registry import Models, ModelSpec
from daemon.models.remembered import Embedding
from daemon.models.scheduling import chosen_for
from daemon.models.seeding import Seeding
from daemon.models.stage_settings import StageFacts, StageSettings

Remembering = Callable[[Hashable, Callable[[], Embedding]], Embedding]
ONE_LAYER = 1
"""The `clip_skip` that skips nothing."""


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: StageSettings, progress: Progress
) -> tuple[dict[str, torch.Tensor], StageFacts]:
    """Encode `prompt` and `negative_prompt`, and draw the noise of each of `seeds` for `width` x `height` pixels.

    `rng` says by which generator, "cpu" or "nv"; `variation_seeds` and `variation_strength` draw the noise towards another. `loras`
    are merged into the text encoders, and `textual_inversions` (name to file) stand where the prompts name them.

    Gives latents (N, C, h, w), generator_state (N, n) uint8 as it is after the draw, prompt_embeds (T, D) and, as the family has
    them, negative_prompt_embeds (T, D), pooled_prompt_embeds (P,) and negative_pooled_prompt_embeds (P,). `clip_skip` 1 is the
    layer that the model was trained with, 2 the one before, as A1111 counts. An empty negative prompt is what the model was trained
    with: no words, or zeros. Without a size the model's own is taken; the facts hold the `width` and `height` used, and notes on
    what the model did not see."""
    del tensors
    model = ModelSpec.of(settings)
    family = models.family(model)
    # What the loop cannot take is refused before the encoders run.
    chosen_for(family, settings)
    width, height, shape = _size(models, model, settings)
    parts = models.text_parts(model, Lora.all_of(settings))
    encoders = _encoders(models, model, parts, settings)
    embeddings = _embeddings(encoders, family, models.index(model), settings, _remembering(models, parts, settings))
    latents, states = _noise(Seeding.each_of(settings), shape)
    progress(1, 1)
    skips = (settings.get("clip_skip") or ONE_LAYER) > ONE_LAYER
    given = {"negative_prompt": settings.get("negative_prompt"), "clip_skip": skips}
    ignored = family.notes_on(given, models.index(model))
    facts: StageFacts = {"width": width, "height": height, "notes": [*_unseen_words(encoders, family, settings), *ignored]}
    return {"latents": latents, "generator_state": states, **embeddings}, facts


def _size(models: Models, model: ModelSpec, settings: StageSettings) -> tuple[int, int, tuple[int, int, int]]:
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


def _encoders(models: Models, model: ModelSpec, parts: Mapping[str, Any], settings: StageSettings) -> Encoders:
    family = models.family(model)
    inversions = settings.get("textual_inversions") or {}
    names = [name for name in family.components if name.startswith("text_encoder")]
    of_t5 = [name for name in names if family.components[name] == T5_COMPONENT]
    clips = {
        name: Clip(parts[_tokenizer_of(name)], parts[name], read_textual_inversions(inversions, name, parts[name]))
        for name in names
        if name in parts and name not in of_t5
    }
    if not of_t5:
        return Encoders(clips, NoT5(0, 0))
    name, words = of_t5[0], _tokenizer_of(of_t5[0])
    if name not in parts:
        return Encoders(clips, NoT5(family.tokens[words], family.token_width(models.denoiser_config(model))))
    return Encoders(clips, T5(parts[words], parts[name], family.tokens[words], inversions))


def _tokenizer_of(encoder: str) -> str:
    return encoder.replace("text_encoder", "tokenizer")


def _remembering(models: Models, parts: Mapping[str, Any], settings: StageSettings) -> Remembering:
    """What makes an embedding, or finds it where the same encoders made it a moment ago."""
    if settings.get("textual_inversions"):
        return lambda _key, make: make()  # their files may change
    encoders = [part for part in parts.values() if isinstance(part, torch.nn.Module)]
    return lambda key, make: models.embeddings.recalled(encoders, key, make)


def _embeddings(
    encoders: Encoders, family: Family, index: Mapping[str, Any], settings: StageSettings, remembering: Remembering
) -> dict[str, torch.Tensor]:
    clip_skip = int(settings.get("clip_skip") or ONE_LAYER) if family.skippable else ONE_LAYER
    _check_clip_skip(encoders, family, clip_skip)
    prompts = _prompts(settings)
    positive, negative = (parse_weights(words) for words in prompts.values())
    if "negative_prompt" in family.unsupported:
        return dict(remembering((prompts["prompt"], clip_skip, 1), lambda: family.encode(encoders, positive, clip_skip, 1)))
    # Both halves go through the loop side by side, so that the shorter one is filled up to the longer.
    chunks = encoders.count_chunks(positive, negative)

    def encode(name: str, words: Sections) -> Embedding:
        key = (prompts[name], clip_skip, chunks)
        return remembering(key, lambda: family.encode(encoders, words, clip_skip, chunks))

    embeddings = encode("prompt", positive)
    zeros = not prompts["negative_prompt"] and family.empty_negative(index)
    encoded = {key: torch.zeros_like(half) for key, half in embeddings.items()} if zeros else encode("negative_prompt", negative)
    return {**embeddings, **{f"negative_{key}": half for key, half in encoded.items()}}


def _prompts(settings: StageSettings) -> dict[str, str]:
    return {"prompt": settings.get("prompt") or "", "negative_prompt": settings.get("negative_prompt") or ""}


def _check_clip_skip(encoders: Encoders, family: Family, clip_skip: int) -> None:
    layers = min((clip.layers for name, clip in encoders.clips.items() if name in family.skippable), default=clip_skip)
    check_clip_skip(clip_skip, layers)


def _unseen_words(encoders: Encoders, family: Family, settings: StageSettings) -> list[str]:
    """What the T5 leaves out, in sentences; the CLIPs whose words count see all of it."""
    # Without such a CLIP there is nobody else.
    whom = "model's T5" if family.skippable else "model"
    unseen = {name: encoders.t5.truncated_words(parse_weights(words)) for name, words in _prompts(settings).items()}
    return [
        f"the {name.replace('_', ' ')} is too long for the {whom}, which did not see the end of it: {words!r}"
        for name, words in unseen.items()
        if words
    ]


def _noise(seedings: Sequence[Seeding], shape: tuple[int, int, int]) -> tuple[torch.Tensor, torch.Tensor]:
    generators = [seeding.generator() for seeding in seedings]
    pairs = zip(seedings, generators, strict=True)
    latents = torch.cat([seeding.first((1, *shape), generator) for seeding, generator in pairs])
    return latents, torch.stack([generator.get_state() for generator in generators])
