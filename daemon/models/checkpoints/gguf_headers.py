"""Where the tensors of a GGUF file lie: read from its header alone, and without the package that knows what the numbers mean.

Source: docs/gguf.md of ggml, version 3, which in what is read here is that of version 2. ggml counts the sides of a tensor from the
innermost, and keeps no outermost sides of one; ComfyUI-GGUF cuts tensors whose rows fill no blocks into rows that do, and notes
their real shape as `comfy.gguf.orig_shape.NAME`."""

import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Any

from daemon.models.checkpoints.stored import BLOCKS, Stored
from daemon.models.unreadable import UnreadableModel

MAGIC = b"GGUF"
TYPES: Mapping[int, str] = {
    **dict(enumerate(("F32", "F16", "Q4_0", "Q4_1"))),
    **dict(enumerate(("Q5_0", "Q5_1", "Q8_0"), 6)),
    **dict(enumerate(("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K"), 10)),
    **dict(enumerate(("IQ2_XXS", "IQ2_XS", "IQ3_XXS", "IQ1_S", "IQ4_NL", "IQ3_S", "IQ2_S", "IQ4_XS"), 16)),
    **dict(enumerate(("I8", "I16", "I32", "I64", "F64", "IQ1_M", "BF16"), 24)),
}
"""The types of numbers by ggml's number; those of blocks have ggml's name, the others that of safetensors."""

_VERSIONS = (2, 3)
_ALIGNMENT, _SHAPE = "general.alignment", "comfy.gguf.orig_shape."
_SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
_STRING, _ARRAY = 8, 9
_MOST_SIDES = 8
_LONGEST_NAME_BYTES = 1 << 16
_BROKEN = (struct.error, ValueError, TypeError, KeyError, ZeroDivisionError, OverflowError, RecursionError, MemoryError)


def index_of_gguf(path: Path) -> dict[str, Stored]:
    """Return the tensors of a GGUF file by name. Raises UnreadableModel where it is damaged, or of a form that is not read."""
    try:
        with path.open("rb") as stream:
            return _index(path, _Header(stream))
    except UnreadableModel:
        raise
    except _BROKEN as error:
        raise UnreadableModel(f"{path} is damaged, or no file of weights; fetch it again") from error


class _Header:
    """The values of a header, one after the other; a header that ends too early raises struct.error."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream

    def one(self, letter: str) -> Any:
        return struct.unpack(f"<{letter}", self._stream.read(struct.calcsize(f"<{letter}")))[0]

    def several(self, letter: str, count: int) -> tuple[Any, ...]:
        return tuple(self.one(letter) for _ in range(count))

    def string(self) -> str:
        length = self.one("Q")
        if length > _LONGEST_NAME_BYTES:
            raise ValueError("a name is too long")
        return self._stream.read(length).decode("utf-8")

    def value(self, kind: int, *, wanted: bool) -> Any:
        """The value of a key; what is not `wanted` is passed over, so that a vocabulary is not kept."""
        if kind == _STRING:
            return self._passed(self.one("Q"))
        if kind != _ARRAY:
            return self.one(_SCALARS[kind])
        inner, count = self.one("I"), self.one("Q")
        if inner in _SCALARS and not wanted:
            return self._passed(count * struct.calcsize(f"<{_SCALARS[inner]}"))
        if inner in _SCALARS:
            return self.several(_SCALARS[inner], min(count, _MOST_SIDES))
        for _ in range(count):
            self.value(inner, wanted=False)
        return None

    def _passed(self, size: int) -> None:
        self._stream.seek(size, 1)

    def tell(self) -> int:
        return self._stream.tell()


def _index(path: Path, header: _Header) -> dict[str, Stored]:
    header.several("B", len(MAGIC))
    version = header.one("I")
    if version not in _VERSIONS:
        raise UnreadableModel(
            f"{path} is a GGUF file of version {version}, and read are {_VERSIONS}; get the model as .safetensors"
        )
    tensors, keys = header.one("Q"), header.one("Q")
    values = {}
    for _ in range(keys):
        key = header.string()
        wanted = key == _ALIGNMENT or key.startswith(_SHAPE)
        value = header.value(header.one("I"), wanted=wanted)
        if wanted:
            values[key] = value
    said = [_tensor(header) for _ in range(tensors)]
    alignment = int(values.get(_ALIGNMENT, 32))
    start = -(-header.tell() // alignment) * alignment
    index = {}
    for name, shape, number, offset in said:
        if number not in TYPES:
            raise UnreadableModel(f"{path} holds numbers of type {number} of GGUF, which cannot be read; get it in Q8_0 or Q4_K_M")
        index[name] = _stored(TYPES[number], shape, start + offset, values.get(_SHAPE + name))
    return index


def _tensor(header: _Header) -> tuple[str, tuple[int, ...], int, int]:
    """Name, shape as torch has it, type and offset."""
    name, sides = header.string(), header.one("I")
    if sides > _MOST_SIDES:
        raise ValueError("a tensor has too many sides")
    shape = header.several("Q", sides)[::-1]
    return name, shape, header.one("I"), header.one("Q")


def _stored(dtype: str, shape: tuple[int, ...], offset: int, real: tuple[int, ...] | None) -> Stored:
    numbers = BLOCKS.get(dtype, (1, 0))[0]
    if (shape[-1] if shape else 1) % numbers:
        raise ValueError("a row fills no blocks")
    if real is not None and (prod(real) != prod(shape) or min(real) < 0):
        raise ValueError("a tensor has two sizes")
    return Stored(dtype, shape if real is None else tuple(map(int, real)), offset)
