"""The prototype's way: a prompt goes through three programs in a row, each of which starts, loads its model, and ends.

    python -m benchmarks.three_programs text|diffuse|decode FOLDER SETTING PROMPT

What lies between them are plain arrays, which cost less than the prototype's TIFF files did.
"""

import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.one_piece import REPOSITORY, SCHEDULERS, Setting

PROGRAMS = ("text", "diffuse", "decode")


def make_one(setting: Setting, prompt: str, folder: Path) -> None:
    """Make one picture; what the programs leave lies in the folder."""
    for program in PROGRAMS:
        command = [sys.executable, "-m", "benchmarks.three_programs", program, str(folder), json.dumps(asdict(setting)), prompt]
        subprocess.run(command, cwd=REPOSITORY, check=True, stderr=subprocess.DEVNULL)


def text(pipe: Any, _setting: Setting, folder: Path, prompt: str) -> None:
    import torch

    positive, negative = pipe.encode_prompt(prompt, "cpu", 1, True, "")[:2]
    shape = (1, 4, _setting.height // 8, _setting.width // 8)
    noise = torch.randn(shape, generator=torch.Generator("cpu").manual_seed(0))
    np.savez(folder / "text.npz", positive=positive, negative=negative, noise=noise)


def diffuse(pipe: Any, setting: Setting, folder: Path, _prompt: str) -> None:
    import torch

    with np.load(folder / "text.npz") as found:
        tensors = {name: torch.from_numpy(found[name]) for name in found}
    latents = pipe(
        prompt_embeds=tensors["positive"],
        negative_prompt_embeds=tensors["negative"],
        latents=tensors["noise"],
        width=setting.width,
        height=setting.height,
        num_inference_steps=setting.steps,
        guidance_scale=setting.guidance_scale,
        output_type="latent",
    ).images
    np.save(folder / "latents.npy", latents.numpy())


def decode(pipe: Any, _setting: Setting, folder: Path, _prompt: str) -> None:
    import torch

    latents = torch.from_numpy(np.load(folder / "latents.npy"))
    picture = pipe.vae.decode(latents / pipe.vae.config.scaling_factor, return_dict=False)[0]
    pipe.image_processor.postprocess(picture, output_type="pil")[0].save(folder / "picture.png")


NEEDS = {
    "text": ("text_encoder", "tokenizer"),
    "diffuse": ("unet", "scheduler"),
    "decode": ("vae",),
}


def main(program: str, folder: str, said: str, prompt: str) -> None:
    import diffusers
    import torch

    setting = Setting(**json.loads(said))
    torch.set_num_threads(setting.threads)
    torch.set_grad_enabled(False)
    parts = ("text_encoder", "tokenizer", "unet", "scheduler", "vae", "safety_checker", "feature_extractor")
    left_out = {name: None for name in parts if name not in NEEDS[program]}
    pipe = diffusers.StableDiffusionPipeline.from_pretrained(
        setting.model, torch_dtype=torch.float32, requires_safety_checker=False, **left_out
    )
    if program == "diffuse":
        name, options = SCHEDULERS[setting.scheduler]
        pipe.scheduler = getattr(diffusers, name).from_config(pipe.scheduler.config, **options)
    pipe.set_progress_bar_config(disable=True)
    {"text": text, "diffuse": diffuse, "decode": decode}[program](pipe, setting, Path(folder), prompt)


if __name__ == "__main__":
    main(*sys.argv[1:])
