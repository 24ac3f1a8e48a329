"""Compute formats (dtype and memory order): `fast: true` runs a model in the one that the device computes fastest in.

Without it nothing here counts but `set_tf32`. A CPU with instructions for bfloat16 (AMX, AVX512-BF16) multiplies in it several
times as fast, a GPU in either half: float16 has three bits more, and some models leave its range. Channels last spares convolutions
their copies; its results are those of the usual order, up to the rounding of sums.
"""

from dataclasses import dataclass, replace
from functools import cache

import torch

from daemon.models.stage_settings import StageFacts, StageSettings


@dataclass(frozen=True)
class ComputeFormat:
    """The type that weights and activations have, and the order of their memory."""

    dtype: torch.dtype
    memory_format: torch.memory_format

    def __str__(self) -> str:
        order = ", channels last" if self.memory_format is torch.channels_last else ""
        return f"{str(self.dtype).removeprefix('torch.')}{order}"


@cache
def fastest(device: str, *, wide: bool = False) -> ComputeFormat:
    """What a device computes fastest in, for a model that is `wide` (leaves the range of float16) or is not."""
    if not device.startswith("cpu"):
        return ComputeFormat(torch.bfloat16 if wide else torch.float16, torch.channels_last)
    return ComputeFormat(torch.bfloat16 if _multiplies_bfloat16() else torch.float32, torch.channels_last)


def format_of(device: str, dtype: str, *, wide: bool = False) -> ComputeFormat:
    """What a model of the configured `dtype` runs in where it is to be fast: a half that somebody chose stays."""
    fast = fastest(device, wide=wide)
    return fast if dtype == "float32" else replace(fast, dtype=getattr(torch, dtype))


def set_tf32(allowed: bool) -> None:
    """Let NVIDIA's libraries cut the factors of float32 products to TF32's ten bits, or keep them from it.

    cuDNN's convolutions do so where nobody says otherwise, and then neither is float32 what it is elsewhere, nor does an inversion
    come to its end."""
    # The names of before torch 2.9, which go on, because it refuses to mix old and new ones, and others read the old.
    torch.backends.cudnn.allow_tf32 = allowed
    torch.backends.cuda.matmul.allow_tf32 = allowed


def _multiplies_bfloat16() -> bool:
    # The names are private, and a torch without them tells nothing.
    asked = [getattr(torch.cpu, name, None) for name in ("_is_amx_tile_supported", "_is_avx512_bf16_supported")]
    return any(ask() for ask in asked if ask is not None)


def facts_of(settings: StageSettings, batch: int, *, wide: bool) -> StageFacts:
    """The fact that tells what a fast job was computed with, by a `wide` model or another; nothing for a bit-reproducible one."""
    model = settings["model"]
    if not model.get("fast"):
        return {}
    together = f", one of {batch} in a batch" if batch > 1 else ""
    return {"numbers": f"{format_of(model['device'], model['dtype'], wide=wide)}{together}"}
