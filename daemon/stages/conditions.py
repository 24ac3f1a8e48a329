"""What goes into the loop, checked to belong together: the latents, the embedding, and the model.

C latent channels   h, w latent height and width   T tokens   D width of a token   P width of the pooled embedding
"""

from collections.abc import Mapping
from types import SimpleNamespace

import torch

from daemon.errors import InputError
from daemon.models.autoencoder import from_vae
from daemon.models.registry import Models, ModelSpec
from daemon.models.stage_settings import StageSettings
from daemon.models.vae_units import USUAL_FACTOR

PROMPT, NEGATIVE = ("prompt_embeds", "pooled_prompt_embeds"), ("negative_prompt_embeds", "negative_pooled_prompt_embeds")


def latents_for(models: Models, model: ModelSpec, tensors: Mapping[str, torch.Tensor], settings: StageSettings) -> torch.Tensor:
    """Return the latents as (1, C, h, w) in the device and dtype of the denoiser. Raises InputError where they do not fit it."""
    latents, family, config = of_denoiser(models, model, tensors, settings), models.family(model), models.denoiser_config(model)
    channels, patch = family.channels(config), family.patch(config)
    if latents.ndim != 3 or latents.shape[0] != channels:
        raise InputError(
            f"the latents are {tuple(latents.shape)}, and the model {model.name!r} ({family.name}) takes {channels} channels; "
            "use the model they were made with"
        )
    if latents.shape[1] % patch or latents.shape[2] % patch:
        raise InputError(
            f"the latents are {tuple(latents.shape)}, and the model {model.name!r} ({family.name}) takes heights and widths that "
            f"are multiples of {patch}; crop them to one"
        )
    # Half-done latents were multiplied when their loop began.
    factor = 1.0 if settings["state"] == "partial" else _factor(settings.get("latent_influence"))
    return (latents.float() * factor)[None].to(model.device, model.torch_dtype)


def of_denoiser(models: Models, model: ModelSpec, tensors: Mapping[str, torch.Tensor], settings: StageSettings) -> torch.Tensor:
    """Return the latents (C, h, w) as the denoiser sees them, also where they came in the units of the model's VAE.

    Raises InputError where they have other channels than that VAE."""
    latents = tensors["latents"]
    if not settings.get("of_vae"):
        return latents
    config = models.config(model, "vae")
    if latents.ndim != 3 or latents.shape[0] != config.get("latent_channels", 4):
        raise InputError(
            f"the latents are {tuple(latents.shape)}, and the VAE of the model {model.name!r} has "
            f"{config.get('latent_channels', 4)} channels; use the model they were made with"
        )
    units = {"scaling_factor": USUAL_FACTOR, **config}
    return from_vae(latents.float()[None], SimpleNamespace(**units, get=units.get))[0]


def embeddings_for(
    models: Models, model: ModelSpec, tensors: Mapping[str, torch.Tensor], settings: StageSettings
) -> dict[str, torch.Tensor]:
    """Return the embeddings that the loop needs, (1, T, D) and pooled (1, P), in the device and dtype of the denoiser.

    Raises InputError where one is missing or was made with another kind of model."""
    family, config = models.family(model), models.denoiser_config(model)
    pooled_width = family.pooled_width(config, models.index(model))
    wanted = [*PROMPT, *NEGATIVE] if family.guided(settings["guidance_scale"]) else list(PROMPT)
    found = {name: _found(tensors, name) for name in wanted if pooled_width is not None or "pooled" not in name}
    _check_widths(found, {name: pooled_width if "pooled" in name else family.token_width(config) for name in found}, model)
    found["prompt_embeds"] = found["prompt_embeds"] * _factor(settings.get("prompt_influence"))
    return {name: embedding[None].to(model.device, model.torch_dtype) for name, embedding in found.items()}


def _found(tensors: Mapping[str, torch.Tensor], name: str) -> torch.Tensor:
    if name in tensors:
        return tensors[name].float()
    if "pooled" in name:
        raise InputError(
            f"the embedding comes without its pooled part ({name}), which this model needs; "
            "it was made with another kind of model: make it anew from the prompt"
        )
    if name == "prompt_embeds":
        raise InputError("the latents come without the embedding; add the prompt they are to follow")
    raise InputError(
        "the latents come without the negative half of an embedding; add the prompt they are to follow, or guidance_scale: 1, "
        "which needs none"
    )


def _check_widths(found: Mapping[str, torch.Tensor], widths: Mapping[str, int | None], model: ModelSpec) -> None:
    for name, embedding in found.items():
        if embedding.ndim != 1 + ("pooled" not in name) or embedding.shape[-1] != widths[name]:
            what = "a pooled part" if "pooled" in name else "tokens"
            raise InputError(
                f"the embedding's {name} is {tuple(embedding.shape)}, and the model {model.name!r} takes {what} of width "
                f"{widths[name]}; make the embedding with the same model"
            )
    lengths = {len(embedding) for name, embedding in found.items() if "pooled" not in name}
    if len(lengths) > 1:
        raise InputError(
            f"the two halves of the embedding have {' and '.join(map(str, sorted(lengths)))} tokens, and must have the same "
            "number; make both with the same model"
        )


def _factor(influence: float | None) -> float:
    return 1.0 if influence is None else float(influence)
