"""Whether `rng: nv` draws what a GPU draws: Philox beside `torch.randn(..., device="cuda")`, for shapes, seeds and further draws.

It needs a GPU, and nothing but torch and numpy. Two ways are compared with the GPU: `PhiloxGenerator`, which is A1111's way and has
a thread for each number, and `as_this_gpu`, which goes round as this GPU does where it has fewer threads than numbers.
"""

import math
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from benchmarks.figures import Figure, run
from daemon.models.noise import PhiloxGenerator, box_muller, philox

SHAPES = ((3,), (1, 4, 33, 17), (4, 64, 64), (1, 4, 96, 152), (1, 4, 128, 128), (16, 128, 128), (1, 4, 256, 256), (1, 16, 256, 320))
SEEDS = (0, 42, 2**32 + 1, 2**63 + 5, 2**64 - 1)
DRAWS = 4
BLOCK = 256
OF_A_COUNTER = 4
NEAR = 1e-5
"""The sine of a GPU is off by less, and another number is off by about one."""


def threads_of(n: int) -> int:
    """With how many threads this GPU draws n numbers (`calc_execution_policy` of ATen)."""
    gpu = torch.cuda.get_device_properties(0)
    most = gpu.multi_processor_count * (gpu.max_threads_per_multi_processor // BLOCK)
    return BLOCK * min(most, math.ceil(n / BLOCK))


def as_this_gpu(shape: Sequence[int], seed: int, draws: int, threads: int) -> list[NDArray[np.float32]]:
    """Successive draws of a GPU with so many threads: each takes all four numbers of a counter before the next."""
    n = math.prod(shape)
    rounds, numbers = math.ceil(n / (threads * OF_A_COUNTER)), list[NDArray[np.float32]]()
    for draw in range(draws):
        made = []
        for index in range(rounds):
            counter = np.zeros((4, threads), dtype=np.uint32)
            counter[0], counter[2] = draw * rounds + index, np.arange(threads)
            words = philox(counter, (seed % 2**32, seed // 2**32))
            made += [*box_muller(words[0], words[1]), *box_muller(words[2], words[3])]
        numbers.append(np.concatenate(made)[:n].reshape(shape))
    return numbers


def drawn_by_the_gpu(shape: Sequence[int], seed: int) -> tuple[list[NDArray[np.float32]], int]:
    """The same draws by torch, and the offset of its generator after them, in counters."""
    generator = torch.Generator("cuda").manual_seed(seed)
    drawn = [torch.randn(tuple(shape), generator=generator, device="cuda").cpu().numpy() for _ in range(DRAWS)]
    return drawn, generator.get_offset() // OF_A_COUNTER


def _difference(ours: Sequence[NDArray[np.float32]], theirs: Sequence[NDArray[np.float32]]) -> float:
    return max(float(np.abs(a - b).max()) for a, b in zip(ours, theirs, strict=True))


def _of_shape(shape: Sequence[int]) -> Iterator[Figure]:
    n, what = math.prod(shape), "x".join(map(str, shape))
    threads, a1111, gpu, near, offsets = threads_of(n), 0.0, 0.0, 0, set[int]()
    for seed in SEEDS:
        generator = PhiloxGenerator(seed)
        theirs, offset = drawn_by_the_gpu(shape, seed)
        ours = [generator.randn(shape).numpy() for _ in range(DRAWS)]
        a1111 = max(a1111, _difference(ours, theirs))
        gpu = max(gpu, _difference(as_this_gpu(shape, seed, DRAWS, threads), theirs))
        near += sum(int((np.abs(a - b) <= NEAR).sum()) for a, b in zip(ours, theirs, strict=True))
        offsets.add(offset)
    fits = n <= threads
    share = near / (n * DRAWS * len(SEEDS))
    note = f"{n} numbers, {threads} threads; the same to {NEAR:g}: {share:.2%}; counters after {DRAWS} draws: {sorted(offsets)}"
    yield Figure(17, f"{what}: rng nv and the GPU, largest difference", a1111, at_most=NEAR if fits else None, note=note)
    yield Figure(17, f"{what}: the same with the threads of this GPU", gpu, at_most=NEAR)


def figures() -> Iterator[Figure]:
    """Item 17."""
    if not torch.cuda.is_available():
        raise SystemExit("noise_of_cuda: there is no GPU here, and this compares with one")
    for shape in SHAPES:
        yield from _of_shape(shape)


if __name__ == "__main__":
    run(figures)
