"""Decode: denoised latents become a picture.

Source: the last lines of diffusers' pipeline, without its clamping, so that nothing above white or below black is lost.
"""

from collections.abc import Mapping
from typing import Any

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.autoencoder import precise, to_vae, weight
from daemon.models.registry import Models, ModelSpec
from daemon.models.stage_settings import StageFacts, StageSettings
from daemon.models.strips import Room, decode
from daemon.stages.overlay import with_picture_of_before


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: StageSettings, progress: Progress
) -> tuple[dict[str, torch.Tensor], StageFacts]:
    """Decode latents (C, h, w), scaled as the denoiser sees them, into a picture (H, W, 3), float32, 0..1, unclamped.

    With an overlay_mask (H, W), and overlay (H, W, 3) or overlay_latents (C, h, w), the picture is laid over that of before.
    Where half precision overflows, float32 is used instead, and a note says so. Raises InputError where the latents are not of this
    model's VAE, or where the picture is not finite.
    """
    model, notes = ModelSpec.of(settings), list[str]()

    def decoded(latents: torch.Tensor) -> torch.Tensor:
        checked = _checked(latents, model, models.config(model, "vae"))

        def by(vae: Any) -> torch.Tensor:
            picture: torch.Tensor = decode(vae, to_vae(checked.to(weight(vae)), vae.config), Room.of(settings), progress)
            return picture / 2 + 0.5  # (1, 3, H, W)

        picture = precise(models, model, by, notes)
        return picture[0].permute(1, 2, 0).float().cpu()

    picture = with_picture_of_before(decoded(tensors["latents"]), tensors, settings, decoded=decoded, notes=notes)
    return {"picture": picture}, {"notes": notes}


def _checked(latents: torch.Tensor, model: ModelSpec, vae: Mapping[str, Any]) -> torch.Tensor:
    channels = vae.get("latent_channels", 4)
    if latents.ndim != 3 or latents.shape[0] != channels:
        raise InputError(
            f"the latents are {tuple(latents.shape)}, and the VAE of the model {model.name!r} decodes {channels} channels; "
            "decode them with the model they were made with"
        )
    return latents[None]  # (1, C, h, w)
