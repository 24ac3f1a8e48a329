"""Running the stages one after the other without a daemon, and diffusers' pipelines in one piece beside them."""

import functools
import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch

from daemon.models import schedulers
from daemon.models.registry import Models
from daemon.stages import text

Tensors = dict[str, torch.Tensor]
STEPS, SEED, SIZE = 7, 42, 64
PROMPT, NEGATIVE = "a red cat", "a blue dog"


def settings(folder: Path, **more: Any) -> dict[str, Any]:
    model = {"name": "tiny", "path": str(folder), "dtype": "float32", "vae": None, "device": "cpu", "network": False}
    common = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "seed": SEED, "seeds": [SEED]}
    size = {"width": SIZE, "height": SIZE, "steps": STEPS, "guidance_scale": 5.0, "state": "noise"}
    return {**common, **size, "model": model, **more}


def quiet(step: int, steps: int, estimate: object = None, /) -> None:
    del step, steps, estimate


def start(models: Models, chosen: Mapping[str, Any]) -> Tensors:
    """Noise and embedding of one picture, as the text stage gives them."""
    out, _ = text.run(models, {}, chosen, quiet)
    return {key: tensor[0] if key in ("latents", "generator_state") else tensor for key, tensor in out.items()}


def embeddings(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    return {key: tensor for key, tensor in tensors.items() if key.endswith("_embeds")}


def through_numpy(tensors: Mapping[str, torch.Tensor]) -> Tensors:
    arrays = {key: tensor.numpy().copy() for key, tensor in tensors.items()}
    return {key: torch.from_numpy(array) for key, array in arrays.items()}


@functools.cache
def loaded(folder: Path, cls: Any) -> Any:
    index = json.loads((folder / "model_index.json").read_text())
    absent = {name: None for name, said in index.items() if isinstance(said, list) and said[0] is None}
    return cls.from_pretrained(folder, local_files_only=True, **absent)


def one_piece(folder: Path, name: str | None = None, cls: Any = diffusers.DiffusionPipeline, **options: Any) -> Any:
    """The pipeline of a model with the scheduler of that name; `options` change its configuration further."""
    pipe = loaded(folder, cls)
    recipe = schedulers.RECIPES[name] if name else None
    kind = getattr(diffusers, recipe.class_name) if recipe else type(pipe.scheduler)
    new = kind.from_config(pipe.scheduler.config, **{**(recipe.options if recipe else {}), **options})
    # Built anew and not only assigned, so that the pipeline corrects the configuration, and says so.
    with warnings.catch_warnings(action="ignore", category=FutureWarning):
        kept = {key: value for key, value in pipe.config.items() if not key.startswith("_") and not isinstance(value, tuple | list)}
        pipe = type(pipe)(**{**kept, **pipe.components, "scheduler": new})
    pipe.set_progress_bar_config(disable=True)
    return pipe


def generator() -> torch.Generator:
    return torch.Generator("cpu").manual_seed(SEED)


def unpacked(latents: torch.Tensor) -> torch.Tensor:
    """Latents of a pipeline as (C, h, w), also those that Flux gives."""
    if latents.ndim == 3:
        latents = diffusers.FluxPipeline._unpack_latents(latents, SIZE, SIZE, 8)
    return latents[0]
