"""Judges generated pictures with a small network that has seen nothing but the script's own drawings.

python -m training.judge --out DIR --model daemon/models/demo
"""

from __future__ import annotations

import argparse
import json
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDIMScheduler, DPMSolverMultistepScheduler, StableDiffusionPipeline
from PIL import Image
from torch import Tensor, nn

from training.captions import full_caption
from training.data import drawn
from training.loop import descend, generator, learning_rate, run, set_learning_rate
from training.scenes import HELD_OUT, Scene, contact_sheet, random_scene
from training.text import PARTS
from training.vae import Pictures, to_tensor

DRAWINGS, TESTS = 6144, 1024
STEPS, BATCH = 900, 32
PEAK_RATE, WARMUP, DECAY_SHARE = 2e-3, 50, 0.5
# Seeds far from those of the training scenes and from each other.
FIRST_DRAWING, FIRST_TEST, FIRST_GENERATED = 2_000_000, 3_000_000, 4_000_000
REQUIRED = 0.98


class Judge(nn.Module):
    """Reads the four parts of a scene off a picture (n, 3, 128, 128), -1..1."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for before, after in ((3, 16), (16, 32), (32, 64), (64, 64), (64, 64)):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
        self.features = nn.Sequential(*layers, nn.Flatten(), nn.Linear(64 * 4 * 4, 128), nn.ReLU())
        self.heads = nn.ModuleDict({part: nn.Linear(128, len(words)) for part, words in PARTS.items()})

    def forward(self, pictures: Tensor) -> dict[str, Tensor]:
        features = self.features(pictures)
        return {part: head(features) for part, head in self.heads.items()}


def labels(scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """Returns the number of each scene's word, part by part, each (n,)."""
    return {part: torch.tensor([words.index(getattr(scene, part)) for scene in scenes]) for part, words in PARTS.items()}


def weathered(pictures: Tensor, source: torch.Generator) -> Tensor:
    """Returns the pictures with noise, some of them blurred: what the judge sees has been through an autoencoder."""
    blurred = F.avg_pool2d(pictures, 3, stride=1, padding=1, count_include_pad=False)
    share = torch.rand((len(pictures), 1, 1, 1), generator=source)
    noise = torch.randn(pictures.shape, generator=source) * 0.05
    return pictures + (blurred - pictures) * share + noise


class JudgePhase:
    """Learns to read drawings, the held-out pairs among them."""

    name, steps = "judge", STEPS

    def __init__(self, scenes: Sequence[Scene], pictures: Pictures, seed: int) -> None:
        torch.manual_seed(seed)
        self.pictures, self.labels, self.seed = pictures, labels(scenes), seed
        self.judge = Judge()
        self.optimiser = torch.optim.AdamW(self.judge.parameters(), lr=PEAK_RATE, weight_decay=1e-2)

    def train_step(self, step: int) -> dict[str, float]:
        set_learning_rate(self.optimiser, learning_rate(step, self.steps, PEAK_RATE, WARMUP, DECAY_SHARE))
        source = generator(self.seed, step)
        chosen = torch.randint(len(self.pictures), (BATCH,), generator=source)
        scores = self.judge(weathered(to_tensor(self.pictures[chosen.numpy()]), source))
        loss = torch.stack([F.cross_entropy(scores[part], self.labels[part][chosen]) for part in PARTS]).sum()
        descend(loss, self.optimiser)
        return {"loss": loss.item()}

    def state(self) -> dict[str, Any]:
        return {"judge": self.judge.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.judge.load_state_dict(state["judge"])
        self.optimiser.load_state_dict(state["optimiser"])


def trained_judge(out: Path, processes: int) -> Judge:
    scenes = [random_scene(FIRST_DRAWING + index, held_out=True) for index in range(DRAWINGS)]
    phase = JudgePhase(scenes, drawn(out / "judge_drawings.npy", scenes, processes), seed=1)
    run(phase, out)
    return phase.judge.eval()


@torch.no_grad()
def verdicts(judge: Judge, pictures: Pictures, scenes: Sequence[Scene]) -> dict[str, Tensor]:
    """Returns for each part and picture whether the judge sees what the scene says, each (n,)."""
    seen: dict[str, list[Tensor]] = {part: [] for part in PARTS}
    for start in range(0, len(pictures), 64):
        for part, scores in judge(to_tensor(pictures[start : start + 64])).items():
            seen[part].append(scores.argmax(1))
    return {part: torch.cat(seen[part]) == label for part, label in labels(scenes).items()}


def shares(right: dict[str, Tensor]) -> dict[str, float]:
    """Returns the share of right pictures by part, and of those right in every part."""
    every = torch.stack(list(right.values())).all(0)
    return {part: round(value.float().mean().item(), 4) for part, value in {**right, "all four": every}.items()}


@dataclass(frozen=True)
class Setting:
    """How the pictures are generated."""

    sampler: str = "dpmpp_2m_karras"
    steps: int = 20
    guidance: float = 4.0


def pipeline(folder: Path, sampler: str) -> StableDiffusionPipeline:
    """Returns the shipped float16 weights, computing in float32."""
    pipe = StableDiffusionPipeline.from_pretrained(folder, safety_checker=None, torch_dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    config = pipe.scheduler.config
    if sampler == "dpmpp_2m_karras":
        pipe.scheduler = DPMSolverMultistepScheduler.from_config(config, use_karras_sigmas=True)
    else:
        pipe.scheduler = DDIMScheduler.from_config(config)
    return pipe


def generate(folder: Path, scenes: Sequence[Scene], setting: Setting, at_once: int = 20) -> Pictures:
    """Returns one picture (128, 128, 3) for each scene's caption; the noise comes from the scene's seed."""
    pipe = pipeline(folder, setting.sampler)
    pictures: list[Image.Image] = []
    for start in range(0, len(scenes), at_once):
        some = scenes[start : start + at_once]
        pictures += pipe(
            [full_caption(scene) for scene in some],
            num_inference_steps=setting.steps,
            guidance_scale=setting.guidance,
            generator=[torch.Generator().manual_seed(scene.seed) for scene in some],
        ).images
    return np.stack([np.asarray(picture) for picture in pictures])


def generated_scenes(count: int) -> list[Scene]:
    return [random_scene(FIRST_GENERATED + index) for index in range(count)]


def held_out_scenes(count: int) -> list[Scene]:
    """Returns scenes of the pairs the model has never seen, each equally often."""
    pairs = sorted(HELD_OUT)
    scenes = generated_scenes(count)
    return [
        replace(scene, object=pairs[i % len(pairs)][0], colour=pairs[i % len(pairs)][1], seed=scene.seed + 500_000)
        for i, scene in enumerate(scenes)
    ]


def save_sheet(pictures: Pictures, path: Path) -> None:
    contact_sheet([Image.fromarray(pixels) for pixels in pictures[:48]]).save(path)


def mistakes(right: dict[str, Tensor], scenes: Sequence[Scene]) -> dict[str, dict[str, int]]:
    """Returns how often each word was missed."""
    return {
        part: dict(Counter(getattr(scene, part) for scene, hit in zip(scenes, right[part], strict=True) if not hit))
        for part in PARTS
    }


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True, help="folder of the training, or a new one")
    parser.add_argument("--model", type=Path, required=True, help="the model to judge")
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--held-out-pictures", type=int, default=80)
    parser.add_argument("--sampler", choices=("dpmpp_2m_karras", "ddim"), default=Setting.sampler)
    parser.add_argument("--steps", type=int, default=Setting.steps)
    parser.add_argument("--guidance", type=float, default=Setting.guidance)
    parser.add_argument("--figures", type=Path, help="where to write the figures (default: OUT/figures.json)")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    torch.set_num_threads(options.threads)

    judge = trained_judge(options.out, options.threads)
    tests = [random_scene(FIRST_TEST + index, held_out=True) for index in range(TESTS)]
    on_drawings = shares(verdicts(judge, drawn(options.out / "judge_tests.npy", tests, options.threads), tests))
    say(f"drawings: {on_drawings}")
    if min(on_drawings[part] for part in PARTS) < REQUIRED:
        raise SystemExit(f"the judge itself is below {REQUIRED:.0%} on held-out drawings")

    setting = Setting(options.sampler, options.steps, options.guidance)
    figures: dict[str, Any] = {"setting": vars(setting), "judge on drawings": on_drawings}
    groups = {
        "generated": generated_scenes(options.pictures),
        "held-out pairs": held_out_scenes(options.held_out_pictures),
    }
    for name, scenes in groups.items():
        if scenes:
            pictures = generate(options.model, scenes, setting)
            right = verdicts(judge, pictures, scenes)
            figures[name] = {"pictures": len(scenes), **shares(right)}
            say(f"{name}: {figures[name]}, missed {mistakes(right, scenes)}")
            save_sheet(pictures, options.out / f"{name.replace(' ', '_')}.png")
    path = options.figures or options.out / "figures.json"
    path.write_text(json.dumps(figures, indent=2) + "\n")


if __name__ == "__main__":
    main()
