"""From quantized numbers to those that they stand for, a piece at a time: there is never a second whole copy of a weight.

Each number is what its form says in float32, and rounded once."""

from collections.abc import Callable
from math import prod

import numpy as np
import torch
from numpy.typing import NDArray

from daemon.extras import adding
from daemon.models.checkpoints.stored import BLOCKS
from daemon.models.unreadable import UnreadableModel

PIECE = 1 << 20
"""About how many numbers are worked on at a time."""

Unpack = Callable[[NDArray[np.uint8]], NDArray[np.float32]]


def scaled(numbers: torch.Tensor, scale: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return a weight times its scale: numbers (rows, ...), scale (rows, columns / b), one for b numbers beside each other."""
    made = torch.empty(numbers.shape, dtype=dtype)
    grid, into = (tensor.reshape(len(scale), scale.shape[1], -1) for tensor in (numbers, made))
    rows = max(1, PIECE // max(1, prod(grid.shape[1:])))
    for first in range(0, len(grid), rows):
        part = slice(first, first + rows)
        into[part] = grid[part].float() * scale[part, :, None].float()
    return made


def unpacked(data: NDArray[np.uint8], form: str, shape: tuple[int, ...], dtype: torch.dtype) -> torch.Tensor:
    """Return the numbers that stand in GGUF's blocks of a form of BLOCKS. Raises UnreadableModel without the package `gguf`."""
    unpack, (numbers, size) = _unpacking(form), BLOCKS[form]
    made = torch.empty(shape, dtype=dtype)
    flat, step = made.view(-1), PIECE // numbers
    for first in range(0, len(data) // size, step):
        blocks = data[first * size : (first + step) * size].reshape(1, -1)
        flat[first * numbers : (first + step) * numbers] = torch.from_numpy(unpack(blocks)[0])
    return made


def _unpacking(form: str) -> Unpack:
    try:
        import gguf
    except ImportError:
        raise UnreadableModel(
            f"its numbers are in {form}, which the package `gguf` reads, and that is not installed: run `{adding('gguf')}`"
        ) from None
    kind = gguf.GGMLQuantizationType[form]
    return lambda blocks: np.asarray(gguf.dequantize(blocks, kind), dtype=np.float32)
