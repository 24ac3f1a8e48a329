"""Phase `vae`: the autoencoder that turns a 128 x 128 picture into 4 x 16 x 16 latents and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from training.loop import descend, generator, learning_rate, set_learning_rate

PEAK_RATE = 2e-3
WARMUP = 100
DECAY_SHARE = 0.4
BATCH = 4
KL_WEIGHT = 5e-4
EDGE_WEIGHT = 0.5
THUMBNAIL_WEIGHT = 1.0


Pictures = np.ndarray[Any, np.dtype[np.uint8]]


def build() -> AutoencoderKL:
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(16, 16, 32, 64),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=128,
        scaling_factor=1.0,
    )


def to_tensor(pictures: Pictures) -> Tensor:
    """Returns pictures (n, height, width, 3), 0..255, as a tensor (n, 3, height, width), -1..1."""
    return torch.tensor(pictures).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def edges(picture: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the differences between neighbouring pixels, across and down."""
    return picture[..., :, 1:] - picture[..., :, :-1], picture[..., 1:, :] - picture[..., :-1, :]


class VaePhase:
    """Learns to reproduce pictures: L1 + L2 + L1 of the edges, and a small KL term.

    A linear map, thrown away afterwards, must also read a 16 x 16 thumbnail off the latents: without it the encoder
    takes thousands of steps to tell yellow from red, and the U-Net is glad of colours that lie in plain sight.
    """

    name = "vae"

    def __init__(self, pictures: Pictures, steps: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.pictures, self.steps, self.seed = pictures, steps, seed
        self.vae = build()
        self.thumbnail = nn.Conv2d(4, 3, 1)
        weights = [*self.vae.parameters(), *self.thumbnail.parameters()]
        self.optimiser = torch.optim.AdamW(weights, lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=1e-4)

    def train_step(self, step: int) -> dict[str, float]:
        set_learning_rate(self.optimiser, learning_rate(step, self.steps, PEAK_RATE, WARMUP, DECAY_SHARE))
        source = generator(self.seed, step)
        chosen = torch.randint(len(self.pictures), (BATCH,), generator=source).numpy()
        picture = to_tensor(self.pictures[chosen])
        posterior = self.vae.encode(picture).latent_dist
        noise = torch.randn(posterior.mean.shape, generator=source)
        redrawn = self.vae.decode(posterior.mean + posterior.std * noise).sample
        l1, l2 = F.l1_loss(redrawn, picture), F.mse_loss(redrawn, picture)
        edge = torch.stack([F.l1_loss(a, b) for a, b in zip(edges(redrawn), edges(picture), strict=True)]).sum()
        thumbnail = F.l1_loss(self.thumbnail(posterior.mean), F.avg_pool2d(picture, 8))
        kl = 0.5 * (posterior.mean**2 + posterior.var - 1 - posterior.logvar).mean()
        loss = l1 + l2 + EDGE_WEIGHT * edge + THUMBNAIL_WEIGHT * thumbnail + KL_WEIGHT * kl
        descend(loss, self.optimiser, norm_limit=1.0)
        spread = posterior.mean.detach().std()
        return {
            "l1": l1.item(),
            "l2": l2.item(),
            "edge": edge.item(),
            "kl": kl.item(),
            "thumbnail": thumbnail.item(),
            "latent_std": spread.item(),
            "posterior_std": posterior.std.mean().item(),
        }

    def state(self) -> dict[str, Any]:
        parts = {"vae": self.vae, "thumbnail": self.thumbnail, "optimiser": self.optimiser}
        return {name: part.state_dict() for name, part in parts.items()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.vae.load_state_dict(state["vae"])
        self.thumbnail.load_state_dict(state["thumbnail"])
        self.optimiser.load_state_dict(state["optimiser"])
