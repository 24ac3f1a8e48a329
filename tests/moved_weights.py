"""Whether a layer gives the same bits wherever its weights lie in memory; as a program it prints at how many places it does not.

It needs torch alone, so that a slow, emulated processor can run it: `qemu-x86_64 -cpu EPYC-Milan python -m tests.moved_weights`.
"""

import sys

import torch
from torch.nn.functional import linear

# Rows, columns and outputs of layers of the tiny models; one row is where AMD's processors showed it.
SIZES = [(1, 32, 128), (4, 64, 64), (77, 32, 37)]
ALIGNED_BYTES, FLOAT_BYTES = 64, 4


def moved(tensor: torch.Tensor, floats: int) -> torch.Tensor:
    """The same values, so many floats behind a multiple of 64 bytes."""
    room = torch.empty(tensor.numel() + 2 * ALIGNED_BYTES // FLOAT_BYTES)
    start = -room.data_ptr() % ALIGNED_BYTES // FLOAT_BYTES + floats
    return room[start : start + tensor.numel()].view(tensor.shape).copy_(tensor)


def differing(rows: int, columns: int, outputs: int) -> int:
    """At how many of 15 other places of its weights a layer gives other bits."""
    random = torch.Generator().manual_seed(0)
    x, weight, bias = (torch.randn(size, generator=random) for size in ((rows, columns), (outputs, columns), (outputs,)))
    return sum(not torch.equal(linear(x, moved(weight, n), moved(bias, n)), linear(x, weight, bias)) for n in range(1, 16))


if __name__ == "__main__":
    torch.set_num_threads(1)
    sys.stdout.write(f"{sum(differing(*size) for size in SIZES)}\n")
