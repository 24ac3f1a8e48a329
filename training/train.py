"""Trains the demo model from nothing: draws, vae, text, latents, unet, decoder, export.

python -m training.train --out DIR                                   # everything, resuming what DIR holds
python -m training.train --out DIR --export-only --model FOLDER      # what the checkpoints hold by now
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

from training import tokenizer
from training.data import drawn, latents
from training.decoder import DecoderPhase
from training.export import export
from training.loop import Phase, restore, run
from training.scenes import random_scene
from training.text import TextPhase
from training.unet import CaptionStates, UnetPhase
from training.vae import VaePhase


@dataclass(frozen=True)
class Plan:
    """How much of everything; the defaults are those of the shipped model."""

    scenes: int = 16384
    vae_steps: int = 2400
    text_steps: int = 400
    unet_steps: int = 4400
    decoder_steps: int = 1500
    seed: int = 0
    threads: int = 2


class Training:
    """The phases in their order, each on top of what the one before left in the folder."""

    def __init__(self, out: Path, plan: Plan) -> None:
        out.mkdir(parents=True, exist_ok=True)
        torch.set_num_threads(plan.threads)
        self.out, self.plan = out, plan
        self.scenes = [random_scene(seed) for seed in range(plan.scenes)]
        self.tokenizer = tokenizer.build(out / "tokenizer")
        self.pictures = drawn(out / "scenes.npy", self.scenes, plan.threads)
        self.vae = VaePhase(self.pictures, plan.vae_steps, plan.seed)
        self.text = TextPhase(self.tokenizer, self.scenes, plan.text_steps, plan.seed)

    def phases(self) -> Iterator[Phase]:
        """Yields one phase after the other; each has to be brought to its end before the next is asked for."""
        plan = self.plan
        yield self.vae
        yield self.text
        means, spreads = latents(self.out / "latents.pt", self.vae.vae, self.pictures)
        captions = CaptionStates(self.tokenizer, self.text.encoder)
        self.unet = UnetPhase(means, spreads, self.scenes, captions, plan.unet_steps, plan.seed)
        yield self.unet
        yield DecoderPhase(self.vae.vae, means, self.pictures, plan.decoder_steps, plan.seed)

    def finish(self) -> None:
        """Trains whatever is not trained yet."""
        for phase in self.phases():
            run(phase, self.out)

    def export(self, folder: Path) -> None:
        """Writes the model as it stands in the checkpoints, with the averaged weights of the U-Net."""
        for phase in self.phases():
            restore(phase, self.out)
        self.unet.unet.load_state_dict(self.unet.average.weights)
        export(folder, self.vae.vae, self.text.encoder, self.unet.unet)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder for pictures, checkpoints and logs")
    parser.add_argument("--model", type=Path, help="folder to write the model to (default: OUT/model)")
    parser.add_argument("--export-only", action="store_true", help="train no further")
    for name, default in vars(Plan()).items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
    return parser.parse_args()


def main() -> None:
    options = arguments()
    training = Training(options.out, Plan(**{name: getattr(options, name) for name in vars(Plan())}))
    if not options.export_only:
        training.finish()
    training.export(options.model or options.out / "model")


if __name__ == "__main__":
    main()
