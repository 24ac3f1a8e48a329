"""The random numbers of pictures: generators, the noise they draw, and how their state travels in files.

There are two kinds: torch's own on the CPU, and Philox 4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"),
which draws on the CPU what `torch.randn(..., device="cuda")` draws on a GPU that has a thread for each number, up to some 1e-6,
because the sine of a GPU is an approximation; the numbers are those of A1111's "NV" to the last bit. A GPU with fewer threads than
numbers goes round, and draws others from there on (`benchmarks/noise_of_cuda.py`): an H200 has 270,336, small cards some 40,000,
and the latents of 1024x1024 pixels are 65,536 numbers with four channels.

All noise of loops is drawn by `randn`, the noise within the steps of diffusers' schedulers by way of `stepped`.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch.overrides import TorchFunctionMode

CPU, NV = "cpu", "nv"
SEEDS = 2**64
"""So many seeds there are; sums of them wrap around."""

Words = NDArray[np.uint32]

# The constants of the paper, and the names that it has for them.
_M0, _M1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_W0, _W1 = 0x9E3779B9, 0xBB67AE85
_ROUNDS = 10
_WORD = 2**32
# curand has its factors in float32, and A1111 goes on from there in float64.
_STEP = float(np.float32(2.0**-32))
_TURN = float(np.float32(2.0**-32 * 2 * math.pi))
_AT_ONCE = 1 << 20  # numbers, so that a large picture needs no gigabyte beside it
_MAGIC = b"philox4x32-10\0\0\0"


def philox(counter: Words, key: tuple[int, int]) -> Words:
    """Return the four words that Philox 4x32-10 makes of each column of a counter (4, n) and a key of two words; (4, n) uint32."""
    x0, x1, x2, x3 = counter
    k0, k1 = key
    for _ in range(_ROUNDS):
        high0, low0 = _product(x0, _M0)
        high1, low1 = _product(x2, _M1)
        x0, x1, x2, x3 = high1 ^ x1 ^ np.uint32(k0), low1, high0 ^ x3 ^ np.uint32(k1), low0
        k0, k1 = (k0 + _W0) % _WORD, (k1 + _W1) % _WORD
    return np.stack([x0, x1, x2, x3])


def _product(words: Words, factor: np.uint64) -> tuple[Words, Words]:
    product = words.astype(np.uint64) * factor
    return (product >> np.uint64(32)).astype(np.uint32), product.astype(np.uint32)


def box_muller(u: Words, v: Words) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return two normal numbers for each pair of words, by sine and by cosine, with the constants of curand."""
    radius = np.sqrt(-2.0 * np.log(u * _STEP + _STEP / 2))
    angle = v * _TURN + _TURN / 2
    return (radius * np.sin(angle)).astype(np.float32), (radius * np.cos(angle)).astype(np.float32)


class PhiloxGenerator:
    """Draws what a GPU draws, on the CPU; has of torch.Generator what pipelines and files need.

    Each draw has a row of counters of its own, and of the four words at each counter the first two count, as on the GPU: nth
    number of draw k is that of the counter (k, 0, n, 0). torch.randn refuses it; `randn` and `stepped` take it."""

    device = torch.device("cpu")

    def __init__(self, seed: int = 0) -> None:
        self.manual_seed(seed)

    def manual_seed(self, seed: int) -> Self:
        """Begin anew, with any whole number; what lies outside of 64 bits wraps around."""
        self._seed, self._draws = seed % SEEDS, 0
        return self

    def randn(self, shape: Sequence[int]) -> torch.Tensor:
        """Return the next unit noise, float32 on the CPU."""
        n = math.prod(shape)
        numbers = np.empty(n, dtype=np.float32)
        for start in range(0, n, _AT_ONCE):
            numbers[start : start + _AT_ONCE] = self._numbers(start, min(n, start + _AT_ONCE))
        self._draws += 1
        return torch.from_numpy(numbers).reshape(tuple(shape))

    def _numbers(self, start: int, stop: int) -> NDArray[np.float32]:
        index = np.arange(start, stop, dtype=np.uint64)
        counter = np.zeros((4, stop - start), dtype=np.uint32)
        counter[0], counter[1] = self._draws % _WORD, self._draws // _WORD
        counter[2], counter[3] = index % _WORD, index // _WORD
        words = philox(counter, (self._seed % _WORD, self._seed // _WORD))
        return box_muller(words[0], words[1])[0]

    def get_state(self) -> torch.Tensor:
        """Return the state as (32,) uint8: a name of 16 bytes, the seed, and how many draws there were."""
        state = _MAGIC + self._seed.to_bytes(8, "little") + self._draws.to_bytes(8, "little")
        return torch.frombuffer(bytearray(state), dtype=torch.uint8)

    def set_state(self, state: torch.Tensor) -> Self:
        """Go on from a state that `get_state` gave. Raises ValueError for another."""
        found = _bytes(state)
        if len(found) != len(_MAGIC) + 16 or not found.startswith(_MAGIC):
            raise ValueError(f"a state of {len(found)} bytes is none of this generator")
        seed, draws = found[len(_MAGIC) : -8], found[-8:]
        self._seed, self._draws = int.from_bytes(seed, "little"), int.from_bytes(draws, "little")
        return self


Generator = torch.Generator | PhiloxGenerator


def generator_of(rng: str, seed: int) -> Generator:
    """Return the generator of a seed, torch's own for CPU and Philox for NV; seeds outside of 64 bits wrap around.

    Of those bits torch's generator on the CPU, a Mersenne twister, takes the lower 32 only."""
    return PhiloxGenerator(seed) if rng == NV else torch.Generator("cpu").manual_seed(seed % SEEDS)


def restored(state: torch.Tensor) -> Generator:
    """Return the generator whose state this is, of either kind. Raises ValueError for what is the state of neither."""
    if _bytes(state).startswith(_MAGIC):
        return PhiloxGenerator().set_state(state)
    generator = torch.Generator("cpu")
    try:
        generator.set_state(state)
    except (RuntimeError, TypeError) as error:
        raise ValueError(str(error)) from error
    return generator


def _bytes(state: torch.Tensor) -> bytes:
    return state.cpu().numpy().tobytes() if state.dtype is torch.uint8 and state.ndim == 1 else b""


def randn(
    shape: Sequence[int],
    generator: Generator | Sequence[Generator] | None,
    *,
    device: str | torch.device = "cpu",
    dtype: torch.dtype | None = torch.float32,
) -> torch.Tensor:
    """Return the next unit noise of a generator, or of one for each picture of a batch (N, ...), in the device and dtype.

    It is drawn on the device of the generator, by Philox in float32. Without a generator it is torch's own."""
    if isinstance(generator, Sequence):
        if len(generator) == 1:
            return randn(shape, generator[0], device=device, dtype=dtype)
        return torch.cat([randn((1, *shape[1:]), own, device=device, dtype=dtype) for own in generator])
    if isinstance(generator, PhiloxGenerator):
        return generator.randn(shape).to(device, dtype)
    where = device if generator is None else generator.device
    return torch.randn(tuple(shape), generator=generator, device=where, dtype=dtype).to(device)


def stepped(step: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Take a step of a scheduler, with all of its noise drawn by the `generator` among the arguments, whatever its kind.

    diffusers' schedulers draw with torch.randn, which takes torch's generators only. So a step with Philox is called without any,
    and what it draws comes from here."""
    generator: Any = kwargs.get("generator")
    if not any(isinstance(one, PhiloxGenerator) for one in (generator if isinstance(generator, Sequence) else [generator])):
        return step(*args, **kwargs)
    with _DrawnBy(generator):
        return step(*args, **{**kwargs, "generator": None})


class _DrawnBy(TorchFunctionMode):
    """While it is entered, and in this thread only, `torch.randn` without a generator draws by this one."""

    def __init__(self, generator: Generator | Sequence[Generator]) -> None:
        super().__init__()
        self._generator = generator

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        del types
        said = kwargs or {}
        if func is not torch.randn or said.get("generator") is not None:
            return func(*args, **said)
        shape = args[0] if isinstance(args[0], Sequence) else args
        return randn(shape, self._generator, device=said.get("device") or "cpu", dtype=said.get("dtype"))
