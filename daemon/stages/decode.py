"""Decode: denoised latents become a picture.

Source: the last lines of diffusers' pipeline, without its clamping, so that nothing above white or below black is lost.
"""

from collections.abc import Mapping
from typing import Any

import torch

from daemon.models import Progress
from daemon.models.autoencoder import precise, to_vae, weight
from daemon.models.fits import check_decodable
from daemon.models.registry import Models, ModelSpec
from daemon.models.stage_settings import StageFacts, StageSettings
from daemon.models.strips import Room, decode
from daemon.stages.conditions import in_units_of_the_denoiser
from daemon.stages.holding import told, with_paint
from daemon.stages.overlay import with_picture_of_before
from daemon.stages.painting import paint_of


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: StageSettings, progress: Progress
) -> tuple[dict[str, torch.Tensor], StageFacts]:
    """Decode latents (C, h, w), scaled as the denoiser sees them, into a picture (H, W, 3), float32, 0..1, unclamped.

    The latents that were decoded come with it, those that were painted on with the paint in them. With an overlay_mask (H, W), and
    overlay (H, W, 3) or overlay_latents (C, h, w), the picture is laid over that of before.
    Where half precision overflows, float32 is used instead, and a note says so. Raises InputError where the latents are not of this
    model's VAE, or where the picture is not finite.
    """
    model, notes = ModelSpec.of(settings), list[str]()
    tensors, settings = in_units_of_the_denoiser(models, model, tensors, settings)
    marked = StageFacts()
    if (paint := paint_of(models, tensors, settings, progress)) is not None:
        tensors = with_paint(paint, tensors, settings)
        notes.append(told(paint))
        marked = {"painted_blocks": int(paint.blocks.sum())}

    def decoded(latents: torch.Tensor) -> torch.Tensor:
        checked = _checked(latents, model, models.config(model, "vae"))

        def by(vae: Any) -> torch.Tensor:
            picture: torch.Tensor = decode(vae, to_vae(checked.to(weight(vae)), vae.config), Room.of(settings), progress)
            return picture / 2 + 0.5  # (1, 3, H, W)

        picture = precise(models, model, by, notes)
        return picture[0].permute(1, 2, 0).float().cpu()

    latents = tensors["latents"]
    picture = with_picture_of_before(decoded(latents), tensors, settings, decoded=decoded, notes=notes)
    return {"picture": picture, "latents": latents.float().cpu()}, {"notes": notes, **marked}


def _checked(latents: torch.Tensor, model: ModelSpec, vae: Mapping[str, Any]) -> torch.Tensor:
    check_decodable(tuple(latents.shape), model.name, vae)
    return latents[None]  # (1, C, h, w)
