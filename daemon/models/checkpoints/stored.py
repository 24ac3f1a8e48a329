"""Where one tensor lies in a file."""

from collections.abc import Mapping
from dataclasses import dataclass
from math import prod

SIZES: Mapping[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "F8_E8M0", "I8", "U8", "BOOL"), 1),
}
"""Bytes of one number of each type, under the names that safetensors gives them."""

BLOCKS: Mapping[str, tuple[int, int]] = {
    "Q4_0": (32, 18),
    "Q4_1": (32, 20),
    "Q5_0": (32, 22),
    "Q5_1": (32, 24),
    "Q8_0": (32, 34),
    "Q2_K": (256, 84),
    "Q3_K": (256, 110),
    "Q4_K": (256, 144),
    "Q5_K": (256, 176),
    "Q6_K": (256, 210),
    "IQ2_XXS": (256, 66),
    "IQ2_XS": (256, 74),
    "IQ2_S": (256, 82),
    "IQ3_XXS": (256, 98),
    "IQ3_S": (256, 110),
    "IQ4_NL": (32, 18),
    "IQ4_XS": (256, 136),
    "IQ1_S": (256, 50),
    "IQ1_M": (256, 56),
}
"""The types of GGUF whose numbers stand in blocks with a scale: how many numbers are in one, and its bytes (ggml)."""


@dataclass(frozen=True)
class Stored:
    """A tensor in a file: `offset` in bytes from the start of the file; `strides` in numbers, None where rows follow each other."""

    dtype: str
    shape: tuple[int, ...]
    offset: int
    strides: tuple[int, ...] | None = None

    @property
    def numbers(self) -> int:
        return prod(self.shape)

    @property
    def size_bytes(self) -> int:
        in_a_block, size = BLOCKS.get(self.dtype) or (1, SIZES[self.dtype])
        return self.numbers // in_a_block * size

    @property
    def end(self) -> int:
        """The offset behind its last byte."""
        if self.strides is None or not self.numbers:
            return self.offset + self.size_bytes
        furthest = sum((side - 1) * stride for side, stride in zip(self.shape, self.strides, strict=True))
        return self.offset + (furthest + 1) * SIZES[self.dtype]


Index = Mapping[str, Stored]
