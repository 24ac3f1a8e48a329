"""The one-piece pipeline of diffusers as a person would script it: a loop in one process, with the models loaded once.

It is a program of its own, so that its threads and memory are not shared with what is measured beside it: OnePiece starts it and
asks for rounds, `main` is what runs in there. A round makes one PNG for each prompt.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self

REPOSITORY = Path(__file__).resolve().parents[1]
SCHEDULERS = {
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
}


@dataclass(frozen=True)
class Setting:
    """What all pictures of a folder have in common; `model` is a folder in diffusers layout."""

    model: str
    width: int
    height: int
    steps: int
    threads: int
    guidance_scale: float = 4.0
    scheduler: str = "dpmpp_2m_karras"


class OnePiece:
    """The program, while it runs; a context."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting

    def __enter__(self) -> Self:
        command = [sys.executable, "-m", "benchmarks.one_piece", json.dumps(asdict(self._setting))]
        self._process = subprocess.Popen(
            command, cwd=REPOSITORY, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.wait()

    def make(self, prompts: Sequence[str], folder: Path) -> None:
        """Make the pictures 0.png, 1.png, ... of these prompts, each with its number as its seed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([list(prompts), str(folder)]) + "\n")
        self._process.stdin.flush()
        if not self._process.stdout.readline():
            raise RuntimeError("the one-piece pipeline ended; run python -m benchmarks.one_piece by hand to see why")


def main() -> None:
    setting = Setting(**json.loads(sys.argv[1]))
    pipe = load(setting)
    for line in sys.stdin:
        prompts, folder = json.loads(line)
        make(pipe, setting, prompts, Path(folder))
        sys.stdout.write("done\n")
        sys.stdout.flush()


def load(setting: Setting) -> Any:
    """The pipeline, with the scheduler and the threads of a setting."""
    import diffusers
    import torch

    torch.set_num_threads(setting.threads)
    name, options = SCHEDULERS[setting.scheduler]
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(setting.model, torch_dtype=torch.float32, safety_checker=None)
    pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config, **options)
    pipe.set_progress_bar_config(disable=True)
    return pipe


def make(pipe: Any, setting: Setting, prompts: Sequence[str], folder: Path) -> None:
    """One round."""
    import torch

    for number, prompt in enumerate(prompts):
        pipe(
            prompt,
            width=setting.width,
            height=setting.height,
            num_inference_steps=setting.steps,
            guidance_scale=setting.guidance_scale,
            generator=torch.Generator("cpu").manual_seed(number),
        ).images[0].save(folder / f"{number}.png")


if __name__ == "__main__":
    main()
