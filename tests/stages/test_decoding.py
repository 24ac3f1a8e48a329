"""Decoding: the picture as the VAE gives it, which may be whiter than white."""

from pathlib import Path

import pytest
import torch

from daemon.models.registry import Models
from daemon.stages import decode
from tests import tiny
from tests.parts import quiet, settings

MAKERS = {"sd1": tiny.stable_diffusion}

pytestmark = [pytest.mark.exact, pytest.mark.usefixtures("fixed_threads")]


def test_what_is_beyond_black_and_white_is_kept(models: Models, folders: dict[str, Path]) -> None:
    chosen = settings(folders["sd1"])
    latents = 20 * torch.randn((4, 8, 8), generator=torch.Generator().manual_seed(3))
    picture, _ = decode.run(models, {"latents": latents}, chosen, quiet)
    assert float(picture["picture"].min()) < 0
    assert float(picture["picture"].max()) > 1
