"""Whether latents, an embedding and settings belong to a model, by their shapes and its configurations: torch is not needed.

C latent channels   h, w latent height and width   T tokens   D width of a token   P width of the pooled embedding
"""

from collections.abc import Collection, Mapping
from typing import Any

from daemon.errors import InputError
from daemon.models.families import Family

Config = Mapping[str, Any]
Shape = tuple[int, ...]


def check_latents(shape: Shape, model: str, family: Family, denoiser: Config) -> None:
    """Raise InputError for latents (C, h, w) that the denoiser of a model does not take."""
    channels, patch = family.channels(denoiser), family.patch(denoiser)
    if len(shape) != 3 or shape[0] != channels:
        raise InputError(
            f"the latents are {shape}, and the model {model!r} ({family.name}) takes {channels} channels; "
            "use the model they were made with"
        )
    if shape[1] % patch or shape[2] % patch:
        raise InputError(
            f"the latents are {shape}, and the model {model!r} ({family.name}) takes heights and widths that "
            f"are multiples of {patch}; crop them to one"
        )


def check_decodable(shape: Shape, model: str, vae: Config) -> None:
    """Raise InputError for latents (C, h, w) that the VAE of a model does not decode."""
    channels = vae.get("latent_channels", 4)
    if len(shape) != 3 or shape[0] != channels:
        raise InputError(
            f"the latents are {shape}, and the VAE of the model {model!r} decodes {channels} channels; "
            "decode them with the model they were made with"
        )


def check_embedding(shapes: Mapping[str, Shape], model: str, family: Family, denoiser: Config, index: Config) -> None:
    """Raise InputError for embeddings (T, D) and pooled ones (P,), by their names, that were made with another kind of model."""
    pooled_width = family.pooled_width(denoiser, index)
    for name, shape in shapes.items():
        is_pooled = "pooled" in name
        width = pooled_width if is_pooled else family.token_width(denoiser)
        if len(shape) != 1 + (not is_pooled) or shape[-1] != width:
            what = "a pooled part" if is_pooled else "tokens"
            raise InputError(
                f"the embedding's {name} is {shape}, and the model {model!r} takes {what} of width "
                f"{width}; make the embedding with the same model"
            )
    lengths = {shape[0] for name, shape in shapes.items() if "pooled" not in name}
    if len(lengths) > 1:
        raise InputError(
            f"the two halves of the embedding have {' and '.join(map(str, sorted(lengths)))} tokens, and must have the same "
            "number; make both with the same model"
        )


def wanted_of_embedding(family: Family, denoiser: Config, index: Config, guidance_scale: float) -> list[str]:
    """The names of the embeddings that the loop of a model needs."""
    sides = ("", "negative_") if family.guided(guidance_scale) else ("",)
    parts = ("prompt_embeds", "pooled_prompt_embeds") if family.pooled_width(denoiser, index) is not None else ("prompt_embeds",)
    return [f"{side}{part}" for side in sides for part in parts]


def check_whole(there: Collection[str], wanted: Collection[str]) -> None:
    """Raise InputError where one of the embeddings that the loop needs is not there."""
    missing = next((name for name in wanted if name not in there), None)
    if missing is None:
        return
    if "pooled" in missing:
        raise InputError(
            f"the embedding comes without its pooled part ({missing}), which this model needs; "
            "it was made with another kind of model: make it anew from the prompt"
        )
    if missing == "prompt_embeds":
        raise InputError("the latents come without the embedding; add the prompt they are to follow")
    raise InputError(
        "the latents come without the negative half of an embedding; add the prompt they are to follow, or guidance_scale: 1, "
        "which needs none"
    )


def check_clip_skip(clip_skip: int, layers: int) -> None:
    """Raise InputError where nothing is left of a text encoder of so many layers."""
    if clip_skip > layers:
        raise InputError(f"clip_skip {clip_skip} leaves nothing of the text encoder, which has {layers} layers; use a smaller one")
