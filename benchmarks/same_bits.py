"""What it costs that results do not hang on where weights lie in memory: the UNet of SD1's size with MKL_CBWR and without.

The variable counts when torch is loaded, so each round is two processes, one after the other; each maps the model from its files,
as a worker does.
"""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import torch

from benchmarks.figures import Figure, run
from benchmarks.folder import CORES, full_size
from benchmarks.parts import plain_settings
from benchmarks.timing import ratio, seconds_of, spread
from daemon.compute.process import SAME_BITS, environment
from daemon.models.registry import Models, ModelSpec

ROUNDS = 4
PASSES = 3


@torch.inference_mode()
def forward_seconds() -> float:
    """The median of some passes of the denoiser, in this process's environment."""
    torch.set_num_threads(CORES)
    setting = full_size()
    unet = Models(1 << 40).component(ModelSpec.of(plain_settings(setting)), "unet")
    latents = torch.zeros(2, 4, setting.height // 8, setting.width // 8)
    words = torch.zeros(2, 77, unet.config.cross_attention_dim)

    def forward() -> None:
        unet(latents, torch.tensor(500), encoder_hidden_states=words)

    forward()
    return spread([seconds_of(forward) for _ in range(PASSES)]).median


def measured(env: dict[str, str]) -> float:
    """The same in a process of its own."""
    command = [sys.executable, "-c", "from benchmarks import same_bits; print(same_bits.forward_seconds())"]
    return float(subprocess.check_output(command, cwd=Path(__file__).parents[1], env=env, text=True).split()[-1])


def figures() -> Iterator[Figure]:
    """Item 13."""
    ours = {**environment(), **SAME_BITS}
    usual = {**ours, **dict.fromkeys(SAME_BITS, "")}
    full_size()  # made here, once
    times = [(measured(ours), measured(usual)) for _ in range(ROUNDS)]
    found = ratio(*zip(*times, strict=True))
    what = "UNet of the size of SD1, 256 pixels: time with MKL_CBWR=AUTO, without = 1"
    yield Figure(13, what, found.median, "x", found.low, found.high, at_most=1.05)


if __name__ == "__main__":
    run(figures)
