"""Textual inversions: vectors that were learned for a name, and stand in a prompt where the embeddings of words would.

Source: Gal et al. 2022. Read are the files of A1111 (`string_to_param` in a .pt, `emb_params` in a .safetensors), of diffusers (the
vectors under their name), and of Stable Diffusion XL and 3 (`clip_l` and `clip_g`, or `text_encoders_0` and `text_encoders_1`)."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from daemon.errors import InputError
from daemon.models.checkpoints.reading import read_tensors
from daemon.models.unreadable import UnreadableModel

# The encoders of Stable Diffusion XL and 3, as files call them: those of A1111 and ComfyUI, and those of diffusers' trainers.
_KEYS: Mapping[str, tuple[str, str]] = {
    "text_encoder": ("clip_l", "text_encoders_0"),
    "text_encoder_2": ("clip_g", "text_encoders_1"),
}


def read_textual_inversions(paths: Mapping[str, str], component: str, encoder: Any) -> dict[str, torch.Tensor]:
    """Return the vectors (n, D) of textual inversions (name to file) for a text encoder of the width D, in float32.

    Raises InputError where a file cannot be read, or was made for an encoder of another width."""
    width = encoder.get_input_embeddings().weight.shape[1]
    return {name: _vectors(name, Path(path), component, width) for name, path in paths.items()}


def _vectors(name: str, path: Path, component: str, width: int) -> torch.Tensor:
    try:
        tensors = read_tensors(path)
    except (UnreadableModel, OSError) as error:
        raise InputError(f"the textual inversion {name!r} cannot be used: {error}") from error
    by_encoder = {key for keys in _KEYS.values() for key in keys} & tensors.keys()
    own = next((tensors[key] for key in _KEYS[component] if key in tensors), None)
    found = own if by_encoder else _only(name, tensors)
    if found is None:
        raise InputError(
            f"the textual inversion {name!r} has vectors for {' and '.join(sorted(by_encoder))} alone, and the model's {component} "
            f"takes those of {_KEYS[component][0]}; use one that was made for this kind of model"
        )
    vectors = found.float().reshape(-1, found.shape[-1]) if found.ndim in (1, 2) else found
    if vectors.ndim != 2 or vectors.shape[1] != width or not len(vectors):
        raise InputError(
            f"the textual inversion {name!r} has vectors of the shape {tuple(found.shape)}, and the model's {component} takes some "
            f"of {width} numbers; use one that was made for this kind of model"
        )
    if not bool(torch.isfinite(vectors).all()):
        raise InputError(f"the textual inversion {name!r} holds numbers that are not finite; fetch it again")
    return vectors


def _only(name: str, tensors: Mapping[str, torch.Tensor]) -> torch.Tensor:
    if len(tensors) != 1:
        held = ", ".join(sorted(tensors)[:3]) or "nothing"
        way_out = "write each into a file of its own" if tensors else "fetch it again"
        raise InputError(f"the file of the textual inversion {name!r} holds {held}, and should hold the vectors of one; {way_out}")
    return next(iter(tensors.values()))
