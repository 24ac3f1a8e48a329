"""Models of full size and real structure, with random weights, in diffusers layout: what they cost does not depend on the weights.

They are made from the configurations that come with the program, and the vocabulary of CLIP. Stable Diffusion 1 takes 4.3 GB in
float32, XL 6.9 GB in bfloat16.
"""

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

import diffusers
import torch
import transformers

from daemon.models.checkpoints.kinds import CONFIGS
from daemon.models.checkpoints.vocabulary import clip_tokenizer
from daemon.models.registry import DTYPES

SD1, SDXL = "stable-diffusion-1", "stable-diffusion-xl"
SHARED, COMPLETE = Path(tempfile.gettempdir()) / "tiffsd-benchmark-sd1", "complete"


def shared_stable_diffusion_1() -> Path:
    """The folder of the one that several benchmarks use, made once among the system's temporary files, in float32."""
    if not (SHARED / COMPLETE).exists():
        shutil.rmtree(SHARED, ignore_errors=True)
        write_model(SD1, SHARED, "float32")
        (SHARED / COMPLETE).touch()
    return SHARED


def write_model(name: str, folder: Path, dtype: str) -> Path:
    """Write the model that `name` says, a folder of the shipped configurations, in a dtype of the registry; one part at a time."""
    shutil.copytree(CONFIGS / name, folder)
    index = json.loads((folder / "model_index.json").read_text())
    for part, (library, cls) in ((key, said) for key, said in index.items() if isinstance(said, list) and said[0]):
        if part.startswith("tokenizer"):
            clip_tokenizer(json.loads((folder / part / "tokenizer_config.json").read_text())).save_pretrained(folder / part)
        elif part != "scheduler":
            _random(getattr({"diffusers": diffusers, "transformers": transformers}[library], cls), folder / part, dtype)
    return folder


def _random(cls: Any, folder: Path, dtype: str) -> None:
    torch.manual_seed(0)
    usual = torch.get_default_dtype()
    torch.set_default_dtype(DTYPES[dtype])  # so that the weights are never there in another
    try:
        config = json.loads((folder / "config.json").read_text())
        own = cls.__module__.startswith("diffusers")
        part = cls.from_config(config) if own else cls(cls.config_class.from_dict(config))
    finally:
        torch.set_default_dtype(usual)
    part.to(DTYPES[dtype]).save_pretrained(folder)
