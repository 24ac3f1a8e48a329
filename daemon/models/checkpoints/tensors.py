"""Where the tensors of a file lie: their names, shapes, types and offsets, told without loading one of them, and without torch.

It is the same answer for safetensors, whose header says it, and for torch's own files, whose pickle does (`pickles`)."""

import functools
import json
from collections.abc import Mapping
from dataclasses import dataclass
from math import prod
from pathlib import Path
from types import MappingProxyType

SIZES: Mapping[str, int] = {
    **dict.fromkeys(("F64", "I64", "U64", "C64"), 8),
    **dict.fromkeys(("F32", "I32", "U32"), 4),
    **dict.fromkeys(("F16", "BF16", "I16", "U16"), 2),
    **dict.fromkeys(("F8_E4M3", "F8_E5M2", "I8", "U8", "BOOL"), 1),
}
"""Bytes of one number of each type, under the names that safetensors gives them."""

SAFETENSORS = ".safetensors"
SUFFIXES = (SAFETENSORS, ".ckpt", ".pt", ".pth", ".bin")
"""The names that files of weights have; what is in one is told from its first bytes."""

_LFS = b"version https://git-lfs"
_LONGEST_HEADER_BYTES = 100 * 2**20


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


def index_of(path: Path) -> Index:
    """Return the tensors of a file by name. Raises ValueError with a sentence where it holds none, is not whole, or is not safe."""
    try:
        status = path.stat()
        return _index(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise ValueError(f"{path} cannot be read ({error.strerror or error})") from error


# A job asks several times, and the pickle of a large file takes a while.
@functools.lru_cache(maxsize=32)
def _index(path: Path, changed_ns: int, size: int) -> Index:
    from daemon.models.checkpoints.pickles import index_of_pickle

    del changed_ns
    with path.open("rb") as stream:
        start = stream.read(len(_LFS))
    if start == _LFS:
        raise ValueError(f"{path} is a pointer of git-lfs; fetch the weights themselves")
    pickled = path.suffix.lower() != SAFETENSORS and start.startswith((b"PK", b"\x80"))
    tensors = index_of_pickle(path) if pickled else _safetensors(path)
    end = max((tensor.end for tensor in tensors.values()), default=0)
    if end > size:
        raise ValueError(f"{path} is cut off: {size} bytes, and should be {end}; fetch it again")
    return MappingProxyType(tensors)


def _safetensors(path: Path) -> dict[str, Stored]:
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length <= _LONGEST_HEADER_BYTES else b""
    try:
        named = {name: tensor for name, tensor in json.loads(header).items() if name != "__metadata__"}
        return {name: _stored(tensor, 8 + length) for name, tensor in named.items()}
    except (ValueError, AttributeError, TypeError, KeyError, IndexError):
        raise ValueError(f"{path} is damaged, or no file of weights; fetch it again") from None


def _stored(tensor: Mapping[str, list[int]], data: int) -> Stored:
    start, end = tensor["data_offsets"]
    stored = Stored(str(tensor["dtype"]), tuple(map(int, tensor["shape"])), data + int(start))
    if min(start, *stored.shape, 0) < 0 or stored.size_bytes != end - start:
        raise ValueError("the header contradicts itself")
    return stored
