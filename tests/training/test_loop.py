"""The loop of the training: an interruption costs nothing, and the latents come out as the denoiser wants them."""

import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from training.data import drawn, encode, latents
from training.loop import Phase, generator, learning_rate, run
from training.scenes import random_scene
from training.vae import build, to_tensor


class Counting:
    """A phase of a single number, which asks for the end after some step."""

    name, steps = "counting", 12

    def __init__(self, *, interrupted_at: int | None = None) -> None:
        self.weight, self.seen = torch.zeros(()), list[int]()
        self._interrupted_at = interrupted_at

    def train_step(self, step: int) -> dict[str, float]:
        self.seen.append(step)
        self.weight = self.weight * 0.9 + torch.randn((), generator=generator(7, step))
        if step == self._interrupted_at:
            signal.raise_signal(signal.SIGTERM)
        return {"weight": float(self.weight)}

    def state(self) -> dict[str, Any]:
        return {"weight": self.weight}

    def load_state(self, state: dict[str, Any]) -> None:
        self.weight = state["weight"]


def trained(phase: Phase, out: Path) -> None:
    out.mkdir(exist_ok=True)
    run(phase, out, log_every=4, save_every=5)


def test_a_training_that_was_interrupted_ends_as_one_that_ran_through(tmp_path: Path) -> None:
    straight = Counting()
    trained(straight, tmp_path / "straight")
    first, second = Counting(interrupted_at=6), Counting()
    with pytest.raises(SystemExit, match="interrupted: counting stopped and saved after step 7"):
        trained(first, tmp_path / "stopped")
    trained(second, tmp_path / "stopped")
    assert (first.seen, second.seen) == (list(range(7)), list(range(7, 12)))
    assert torch.equal(second.weight, straight.weight)


def test_a_training_that_is_done_does_nothing_more(tmp_path: Path) -> None:
    trained(Counting(), tmp_path)
    again = Counting()
    trained(again, tmp_path)
    assert again.seen == []
    assert again.weight != 0


def test_the_rate_rises_stays_and_falls_nearly_to_nothing() -> None:
    rates = [learning_rate(step, 100, 2.0, 10, 0.3) for step in range(100)]
    assert rates[0] == pytest.approx(0.2)
    assert rates[9:70] == [2.0] * 61
    assert 0 < rates[-1] < 0.1
    assert rates[70:] == sorted(rates[70:], reverse=True)


def test_latents_have_mean_0_and_spread_1_and_the_pictures_stay(tmp_path: Path) -> None:
    torch.manual_seed(0)
    scenes = [random_scene(seed) for seed in range(3)]
    pictures, vae = drawn(tmp_path / "scenes.npy", scenes, 1), build().eval()
    assert np.array_equal(drawn(tmp_path / "scenes.npy", scenes, 1), pictures)
    with torch.no_grad():
        before = vae.decode(encode(vae, pictures)[0]).sample
        means, _ = latents(tmp_path / "latents.pt", vae, pictures)
        found, _ = encode(vae, pictures)
        after = vae.decode(found).sample
    torch.testing.assert_close(found.mean((0, 2, 3)), torch.zeros(4), atol=1e-2, rtol=0)
    torch.testing.assert_close(found.std((0, 2, 3)), torch.ones(4), atol=1e-2, rtol=0)
    torch.testing.assert_close(found, means.float(), atol=1e-2, rtol=0)
    torch.testing.assert_close(after, before, atol=1e-2, rtol=1e-2)


def test_pictures_become_numbers_from_minus_one_to_one() -> None:
    levels = np.array([[[[0, 255, 51]]]], np.uint8)
    torch.testing.assert_close(to_tensor(levels), torch.tensor([-1.0, 1.0, -0.6]).view(1, 3, 1, 1))
