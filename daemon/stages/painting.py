"""Painting on pictures in the middle of the pipeline: only latents whose blocks were painted change, by what the VAE makes of it.

    x' = x + a D,    D = E(painted) - E(shown) in painted blocks, 0 elsewhere

x are latents with noise in them, a the factor of the finished latents in them, E the middle of what the VAE's encoder gives. A
second pass takes what D itself decodes to for what was shown, which brings the result nearer to the paint.

    C latent channels   H, W height and width of the picture   h, w of the latents
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.autoencoder import from_vae, to_vae, weight
from daemon.models.masking import Inpainting
from daemon.models.registry import Models, ModelSpec
from daemon.models.stage_settings import StageSettings
from daemon.models.strips import Room, decode, encode
from daemon.stages.loop import BLOCKS, ESTIMATE, PAINTED, SHOWN

PASSES = 2


class Paint(NamedTuple):
    """What a person painted: `difference` D (1, C, h, w) of the finished latents `clean` (1, C, h, w) that were shown, in `blocks`
    (h, w), bool."""

    difference: torch.Tensor
    clean: torch.Tensor
    blocks: torch.Tensor

    def on(self, latents: torch.Tensor, a: float = 1.0) -> torch.Tensor:
        """Return latents (1, C, h, w) with the paint in them; those of other blocks are the same to the bit."""
        return torch.where(self.blocks.to(latents.device), latents + a * self.difference.to(latents), latents)

    def held(self, latents: torch.Tensor, a: float, s: float) -> Inpainting:
        """Return what keeps the paint on latents that are a x0 + s n, before it came on them, through the rest of the loop."""
        noise = (latents - a * self.clean.to(latents)) / s
        return Inpainting((~self.blocks).to(latents).expand(latents.shape), self.on(self.clean).to(latents), noise)


@torch.no_grad()
def paint_of(models: Models, tensors: Mapping[str, torch.Tensor], settings: StageSettings, progress: Progress) -> Paint | None:
    """What was painted on the picture that was shown of these latents; None where nothing was.

    proof_shown and proof_painted are pictures (H, W, 3), 0..1; painted_blocks (h, w) says where they count; `estimate` (C, h, w)
    are the finished latents that were shown of half-done ones. Raises InputError where sizes differ, or the VAE gives no finite
    values."""
    if BLOCKS not in tensors:
        return None
    model = replace(ModelSpec.of(settings), dtype="float32", fast=False)
    vae, room = models.component(model, "vae"), Room.of(settings)
    clean = tensors.get(ESTIMATE, tensors["latents"])[None].to(weight(vae))
    blocks = tensors[BLOCKS].to(clean.device, torch.bool)
    factor = models.scale_factor(model)
    if blocks.shape != clean.shape[2:] or any(tensors[name].shape[:2] != _sides(blocks, factor) for name in (SHOWN, PAINTED)):
        raise InputError(
            "the picture that was painted on is not of the size of these latents; paint on the proof that lies beside them"
        )

    def encoded(pixels: torch.Tensor) -> torch.Tensor:
        moments = encode(vae, pixels.to(weight(vae)), room, progress)
        return from_vae(moments.mode(), vae.config)

    painted = encoded(_pixels(tensors[PAINTED]))
    difference = torch.where(blocks, painted - encoded(_pixels(tensors[SHOWN])), 0.0)
    for _ in range(PASSES - 1):
        reached = decode(vae, to_vae(clean + difference, vae.config), room, progress)
        difference += torch.where(blocks, painted - encoded(reached.clamp(-1, 1)), 0.0)
    return Paint(model.finite(difference), clean, blocks)


def _sides(blocks: torch.Tensor, factor: int) -> tuple[int, ...]:
    return tuple(side * factor for side in blocks.shape)


def _pixels(picture: torch.Tensor) -> torch.Tensor:
    return picture.permute(2, 0, 1)[None].float() * 2 - 1  # (1, 3, H, W)
