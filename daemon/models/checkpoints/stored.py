"""Where one tensor lies in a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

SIZES: Mapping[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1),
}
"""Bytes of one number of each type, under the names that safetensors gives them."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: `offset` in bytes from the start of the file; `strides` in numbers, None where rows follow each other."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...] | None = None

    @property
    def size_bytes(self) -> int:
        return prod(self.shape) * SIZES[self.dtype]

    @property
    def end(self) -> int:
        """The offset behind its last byte."""
        if self.strides is None or not prod(self.shape):
            return self.offset + self.size_bytes
        furthest = sum((side - 1) * stride for side, stride in zip(self.shape, self.strides, strict=True))
        return self.offset + (furthest + 1) * SIZES[self.dtype]


Index = Mapping[str, Stored]
