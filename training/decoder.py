"""Phase `decoder`: sharpens the decoder alone, on latents as imperfect as those the U-Net makes."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from training.loop import descend, generator, learning_rate, set_learning_rate
from training.vae import Pictures, edges, to_tensor

PEAK_RATE = 1.5e-3
WARMUP = 100
DECAY_SHARE = 0.6
BATCH = 4
EDGE_WEIGHT = 1.0
NOISE = 0.15


class DecoderPhase:
    """Learns to redraw pictures from their finished latents plus noise; the latents themselves stay as they are."""

    name = "decoder"

    def __init__(self, vae: AutoencoderKL, latents: Tensor, pictures: Pictures, steps: int, seed: int) -> None:
        self.vae, self.latents, self.pictures, self.steps, self.seed = vae, latents, pictures, steps, seed
        weights = [*vae.decoder.parameters(), *vae.post_quant_conv.parameters()]
        self.optimiser = torch.optim.AdamW(weights, lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=1e-4)

    def train_step(self, step: int) -> dict[str, float]:
        set_learning_rate(self.optimiser, learning_rate(step, self.steps, PEAK_RATE, WARMUP, DECAY_SHARE))
        source = generator(self.seed + 1, step)
        chosen = torch.randint(len(self.pictures), (BATCH,), generator=source)
        picture, latent = to_tensor(self.pictures[chosen.numpy()]), self.latents[chosen].float()
        redrawn = self.vae.decode(latent + NOISE * torch.randn(latent.shape, generator=source)).sample
        l1, l2 = F.l1_loss(redrawn, picture), F.mse_loss(redrawn, picture)
        edge = torch.stack([F.l1_loss(a, b) for a, b in zip(edges(redrawn), edges(picture), strict=True)]).sum()
        loss = l1 + l2 + EDGE_WEIGHT * edge
        descend(loss, self.optimiser, norm_limit=1.0)
        return {"l1": l1.item(), "l2": l2.item(), "edge": edge.item()}

    def state(self) -> dict[str, Any]:
        return {"vae": self.vae.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.vae.load_state_dict(state["vae"])
        self.optimiser.load_state_dict(state["optimiser"])
