"""Random LoRAs and textual inversions for tiny models, as trainers write them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import nn

Matrices = dict[str, tuple[torch.Tensor, torch.Tensor]]

ATTENTION = (".to_q", ".to_k", ".to_v", ".to_out.0", ".ff.net.0.proj", ".ff.net.2", ".proj_in", ".proj_out")
CONVOLUTIONS = (".conv1", ".conv2", ".conv_shortcut", ".time_emb_proj", ".0.conv")
TEXT = (".q_proj", ".k_proj", ".v_proj", ".out_proj", ".fc1", ".fc2")


def matrices(part: nn.Module, endings: tuple[str, ...], *, rank: int = 4, seed: int = 0) -> Matrices:
    """Random matrices (down, up) for the layers of a component whose names end so."""
    generator = torch.Generator().manual_seed(seed)
    found = {}
    for name, module in part.named_modules():
        if name.endswith(endings) and isinstance(module, nn.Linear | nn.Conv2d):
            weight = module.weight
            down = torch.randn((rank, *weight.shape[1:]), generator=generator) * 0.1
            up = torch.randn((weight.shape[0], rank, *[1] * (weight.ndim - 2)), generator=generator) * 0.1
            found[name] = (down, up)
    assert found
    return found


def kohya(prefix: str, layers: Matrices, alpha: float | None = 2.0, named: Callable[[str], str] = str) -> dict[str, torch.Tensor]:
    """The names of kohya's trainers: layers with underscores, and an alpha; `named` renames the layers first."""
    file: dict[str, torch.Tensor] = {}
    for name, (down, up) in layers.items():
        key = prefix + named(name).replace(".", "_")
        file |= {f"{key}.lora_down.weight": down, f"{key}.lora_up.weight": up}
        if alpha is not None:
            file[f"{key}.alpha"] = torch.tensor(alpha)
    return file


def peft(prefix: str, layers: Matrices, down: str = "lora_A", up: str = "lora_B") -> dict[str, torch.Tensor]:
    """The names of diffusers and peft."""
    pairs = [(f"{prefix}{name}", both) for name, both in layers.items()]
    return {f"{key}.{role}.weight": both[role == up] for key, both in pairs for role in (down, up)}


def written(path: Path, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> Path:
    """The tensors as a file: of safetensors, or of torch where the name says so."""
    contiguous = {name: tensor.contiguous() for name, tensor in tensors.items()}
    if path.suffix == ".safetensors":
        save_file(contiguous, path, metadata=dict(metadata or {"format": "pt"}))
    else:
        torch.save(contiguous, path)
    return path


def text_layers(encoder: nn.Module, **options: Any) -> Matrices:
    """Matrices for a CLIP, its layers named as files name them."""
    return {f"text_model.{name.removeprefix('text_model.')}": both for name, both in matrices(encoder, TEXT, **options).items()}
