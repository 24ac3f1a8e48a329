"""The drawn scenes on disk, and their latents once there is an autoencoder."""

from __future__ import annotations

from collections.abc import Sequence
from multiprocessing import Pool
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from training.scenes import SIZE, Scene, draw
from training.vae import Pictures, to_tensor

ENCODED_AT_ONCE = 32


def _pixels(scene: Scene) -> Pictures:
    return np.asarray(draw(scene))


def drawn(path: Path, scenes: Sequence[Scene], processes: int) -> Pictures:
    """Returns the scenes' pictures (n, 128, 128, 3), 0..255, drawing them into the file on the first call."""
    if not path.exists():
        draft = path.with_suffix(".draft")
        shape = (len(scenes), SIZE, SIZE, 3)
        pictures = np.lib.format.open_memmap(draft, "w+", np.uint8, shape)
        with Pool(processes) as pool:
            for index, pixels in enumerate(pool.imap(_pixels, scenes, chunksize=64)):
                pictures[index] = pixels
        pictures.flush()
        draft.replace(path)
    stored: Pictures = np.load(path, mmap_mode="r")
    return stored


@torch.no_grad()
def encode(vae: AutoencoderKL, pictures: Pictures) -> tuple[Tensor, Tensor]:
    """Returns the mean and the standard deviation of every picture's latents, each (n, 4, 16, 16)."""
    means, spreads = [], []
    for start in range(0, len(pictures), ENCODED_AT_ONCE):
        posterior = vae.encode(to_tensor(pictures[start : start + ENCODED_AT_ONCE])).latent_dist
        means.append(posterior.mean)
        spreads.append(posterior.std)
    return torch.cat(means), torch.cat(spreads)


@torch.no_grad()
def standardise(vae: AutoencoderKL, mean: Tensor, spread: Tensor) -> None:
    """Rescales the latents so that a channel with this mean and spread (4,) gets mean 0 and spread 1.

    The 1x1 convolutions on both sides of the latents can absorb any such change, so pictures come out as before
    and the scaling factor of the autoencoder is 1.
    """
    before, after = vae.quant_conv, vae.post_quant_conv
    channels = len(mean)
    before.weight[:channels] /= spread.view(-1, 1, 1, 1)
    before.bias[:channels] = (before.bias[:channels] - mean) / spread
    before.bias[channels:] -= 2 * spread.log()
    after.bias += after.weight.flatten(1) @ mean
    after.weight *= spread.view(1, -1, 1, 1)


def latents(path: Path, vae: AutoencoderKL, pictures: Pictures) -> tuple[Tensor, Tensor]:
    """Returns every picture's latents as means and spreads (n, 4, 16, 16) in float16, and standardises the VAE."""
    if not path.exists():
        means, spreads = encode(vae, pictures)
        draft = path.with_suffix(".draft")
        torch.save({"means": means.half(), "spreads": spreads.half()}, draft)
        draft.replace(path)
    stored = torch.load(path)
    means, spreads = stored["means"], stored["spreads"]
    centre, scale = means.float().mean((0, 2, 3)), means.float().std((0, 2, 3))
    standardise(vae, centre, scale)
    shape = (1, -1, 1, 1)
    return ((means - centre.view(shape)) / scale.view(shape)).half(), (spreads / scale.view(shape)).half()
