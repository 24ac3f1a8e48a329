"""What goes into the loop, checked to belong together: the latents, the embedding, and the model.

C latent channels   h, w latent height and width   T tokens   D width of a token   P width of the pooled embedding
"""

from collections.abc import Mapping
from types import SimpleNamespace

import torch

from daemon.errors import InputError
from daemon.models.autoencoder import from_vae
from daemon.models.fits import check_embedding, check_latents, check_whole, wanted_of_embedding
from daemon.models.registry import Models, ModelSpec
from daemon.models.stage_settings import StageSettings
from daemon.models.vae_units import USUAL_FACTOR


def latents_for(models: Models, model: ModelSpec, tensors: Mapping[str, torch.Tensor], settings: StageSettings) -> torch.Tensor:
    """Return the latents as (1, C, h, w) in the device and dtype of the denoiser. Raises InputError where they do not fit it."""
    latents, family, config = of_denoiser(models, model, tensors, settings), models.family(model), models.denoiser_config(model)
    check_latents(tuple(latents.shape), model.name, family, config)
    # Half-done latents were multiplied when their loop began.
    factor = 1.0 if settings["state"] == "partial" else _factor(settings.get("latent_influence"))
    return (latents.float() * factor)[None].to(model.device, models.dtype(model))


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


def in_units_of_the_denoiser(
    models: Models, model: ModelSpec, tensors: Mapping[str, torch.Tensor], settings: StageSettings
) -> tuple[Mapping[str, torch.Tensor], StageSettings]:
    """Return tensors and settings of latents as `of_denoiser` gives them."""
    if not settings.get("of_vae"):
        return tensors, settings
    return {**tensors, "latents": of_denoiser(models, model, tensors, settings)}, {**settings, "of_vae": False}


def embeddings_for(
    models: Models, model: ModelSpec, tensors: Mapping[str, torch.Tensor], settings: StageSettings
) -> dict[str, torch.Tensor]:
    """Return the embeddings that the loop needs, (1, T, D) and pooled (1, P), in the device and dtype of the denoiser.

    Raises InputError where one is missing or was made with another kind of model."""
    family, config = models.family(model), models.denoiser_config(model)
    wanted = wanted_of_embedding(family, config, models.index(model), settings["guidance_scale"])
    check_whole(tensors.keys(), wanted)
    found = {name: tensors[name].float() for name in wanted}
    shapes = {name: tuple(embedding.shape) for name, embedding in found.items()}
    check_embedding(shapes, model.name, family, config, models.index(model))
    found["prompt_embeds"] = found["prompt_embeds"] * _factor(settings.get("prompt_influence"))
    return {name: embedding[None].to(model.device, models.dtype(model)) for name, embedding in found.items()}


def _factor(influence: float | None) -> float:
    return 1.0 if influence is None else float(influence)
