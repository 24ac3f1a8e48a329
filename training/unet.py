"""Phase `unet`: the network that predicts the velocity of noised latents from a caption."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from training.captions import random_caption
from training.export import scheduler
from training.loop import descend, generator, learning_rate, set_learning_rate
from training.scenes import Scene
from training.text import WIDTH, token_ids

PEAK_RATE = 6e-4
WARMUP = 200
DECAY_SHARE = 0.3
BATCH = 16
EMPTY_CAPTIONS = 0.10
EMA_DECAY = 0.999
WEIGHT_LIMIT = 5.0


def build() -> UNet2DConditionModel:
    return UNet2DConditionModel(
        sample_size=16,
        in_channels=4,
        out_channels=4,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(64, 96, 160),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=4,
        norm_num_groups=16,
    )


class CaptionStates:
    """The frozen text encoder, asked only once for each caption."""

    def __init__(self, tokenizer: CLIPTokenizer, encoder: CLIPTextModel) -> None:
        self.tokenizer, self.encoder = tokenizer, encoder.eval().requires_grad_(False)
        self.known: dict[str, Tensor] = {}

    def of(self, captions: list[str]) -> Tensor:
        """Returns the hidden states (n, 77, width) of the captions."""
        new = sorted(set(captions) - self.known.keys())
        if new:
            with torch.no_grad():
                hidden = self.encoder(token_ids(self.tokenizer, new)).last_hidden_state
            self.known.update(zip(new, hidden, strict=True))
        return torch.stack([self.known[caption] for caption in captions])


def loss_weights(signal_to_noise: Tensor) -> Tensor:
    """Returns the weight of the velocity loss at each signal-to-noise ratio (n,).

    Velocity loss is the loss of the clean latents times (1 + ratio). Limiting that factor keeps the almost clean
    steps, where only texture is left to guess, from drowning the noisy ones; plain min-SNR would instead give the
    noisiest steps, where object and colour are decided, next to no weight.
    """
    return torch.clamp(WEIGHT_LIMIT / (1 + signal_to_noise), max=1.0)


class Average:
    """An exponential moving average of weights; it follows faster while it is young."""

    def __init__(self, module: torch.nn.Module) -> None:
        self.weights = {name: value.detach().clone() for name, value in module.state_dict().items()}

    @torch.no_grad()
    def follow(self, module: torch.nn.Module, step: int) -> None:
        decay = min(EMA_DECAY, (1 + step) / (10 + step))
        ours, theirs = list(self.weights.values()), list(module.state_dict().values())
        torch._foreach_lerp_(ours, theirs, 1 - decay)


class UnetPhase:
    """Learns to remove noise from latents, given their caption."""

    name = "unet"

    def __init__(
        self, latents: Tensor, spreads: Tensor, scenes: list[Scene], captions: CaptionStates, steps: int, seed: int
    ) -> None:
        torch.manual_seed(seed)
        self.latents, self.spreads, self.scenes, self.captions = latents, spreads, scenes, captions
        self.steps, self.seed = steps, seed
        self.unet = build().to(memory_format=torch.channels_last)
        self.average = Average(self.unet)
        self.optimiser = torch.optim.AdamW(self.unet.parameters(), lr=PEAK_RATE, betas=(0.9, 0.99), weight_decay=1e-2, fused=True)
        self.alphas = scheduler().alphas_cumprod

    def _examples(self, step: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Returns noised latents (n, 4, 16, 16), their time steps (n,), their captions' states and their velocities."""
        source, rng = generator(self.seed, step), np.random.default_rng([self.seed, step])
        chosen = torch.randint(len(self.latents), (BATCH,), generator=source)
        words = [random_caption(self.scenes[i], rng) if rng.random() >= EMPTY_CAPTIONS else "" for i in chosen.tolist()]
        jitter, noise = torch.randn((2, BATCH, *self.latents.shape[1:]), generator=source)
        clean = self.latents[chosen].float() + self.spreads[chosen].float() * jitter
        # One time step from each of BATCH equal stretches: the same distribution, a steadier loss.
        stretch = (torch.arange(BATCH) + torch.rand(BATCH, generator=source)) / BATCH
        time = (stretch * len(self.alphas)).long()
        keep, add = self.alphas[time].sqrt().view(-1, 1, 1, 1), (1 - self.alphas[time]).sqrt().view(-1, 1, 1, 1)
        return keep * clean + add * noise, time, self.captions.of(words), keep * noise - add * clean

    def train_step(self, step: int) -> dict[str, float]:
        rate = learning_rate(step, self.steps, PEAK_RATE, WARMUP, DECAY_SHARE)
        set_learning_rate(self.optimiser, rate)
        noised, time, states, velocity = self._examples(step)
        error = (self.unet(noised, time, states).sample - velocity).square().mean((1, 2, 3))
        alpha = self.alphas[time]
        loss = (loss_weights(alpha / (1 - alpha)) * error).mean()
        descend(loss, self.optimiser, norm_limit=1.0)
        self.average.follow(self.unet, step)
        noisy = error.detach()[BATCH // 2 :].mean()
        return {"loss": loss.item(), "velocity_error": error.mean().item(), "noisy_half": noisy.item(), "rate": rate}

    def state(self) -> dict[str, Any]:
        return {
            "unet": self.unet.state_dict(),
            "average": self.average.weights,
            "optimiser": self.optimiser.state_dict(),
        }

    def load_state(self, state: dict[str, Any]) -> None:
        self.unet.load_state_dict(state["unet"])
        self.average.weights = state["average"]
        self.optimiser.load_state_dict(state["optimiser"])
