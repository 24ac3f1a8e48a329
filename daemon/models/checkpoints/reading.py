"""Reading the weights of one component out of a single file: what it needs is read, and nothing else.

Its numbers are read and not mapped: a model that somebody replaces on the disk while it is loaded must not change in memory."""

import functools
import json
import os
from collections.abc import Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from math import prod
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from accelerate import init_empty_weights
from numpy.typing import NDArray

from daemon.models.checkpoints.dequantizing import scaled, unpacked
from daemon.models.checkpoints.layouts import Incomplete, pieces_of, placed
from daemon.models.checkpoints.pieces import Piece
from daemon.models.checkpoints.scales import scales_of
from daemon.models.checkpoints.stored import BLOCKS, Index, Stored
from daemon.models.checkpoints.tensors import index_of
from daemon.models.folders import WEIGHTS
from daemon.models.unreadable import UnreadableModel

TYPES: Mapping[str, torch.dtype] = {
    "F64": torch.float64,
    "F32": torch.float32,
    "F16": torch.float16,
    "BF16": torch.bfloat16,
    "F8_E4M3": torch.float8_e4m3fn,
    "F8_E5M2": torch.float8_e5m2,
    "I64": torch.int64,
    "I32": torch.int32,
    "I16": torch.int16,
    "I8": torch.int8,
    "U8": torch.uint8,
    "BOOL": torch.bool,
}
READERS = 4
"""How many weights are read at a time: one thread copies less than a disk or the memory can give."""


def read_tensors(path: Path, names: Collection[str] | None = None) -> dict[str, torch.Tensor]:
    """Return the tensors of a file by name, as they are stored: those of these names, or all. Raises UnreadableModel."""
    index = index_of(path)
    with path.open("rb") as stream:
        return {name: _tensor(stream.fileno(), stored) for name, stored in index.items() if names is None or name in names}


def read_component(path: Path, component: str, cls: Any, config: Mapping[str, Any], dtype: torch.dtype) -> Any:
    """Return a component of this class and configuration with its weights out of a single file, on the CPU in `dtype`.

    Raises UnreadableModel where the file does not hold all of it, or cannot be read."""
    index, scales = index_of(path), scales_of(path)
    part = _empty(cls, config)
    wanted, pieces = part.state_dict(), _pieces(path, component, _shapes(part), config)
    kept = _kept_in_float32(part, dtype)
    dtypes = {name: torch.float32 if kept & set(name.split(".")) else dtype for name in wanted}
    with path.open("rb") as stream, ThreadPoolExecutor(READERS) as readers:
        read = functools.partial(_weight, stream.fileno(), index, scales)
        weights = readers.map(
            read, [pieces[name] for name in wanted], [tensor.shape for tensor in wanted.values()], dtypes.values()
        )
        part.load_state_dict(dict(zip(wanted, weights, strict=True)), assign=True)
    if hasattr(part, "tie_weights"):
        # Weights that are one in the model must be one again, so that they are there once.
        part.tie_weights()
    return part.eval()


def check_component(path: Path, component: str, cls: Any, config: Mapping[str, Any]) -> None:
    """Raise UnreadableModel where a single file does not hold the weights of a component of this class and configuration."""
    scales_of(path)
    _pieces(path, component, _shapes_of(cls, config), config)


def check_folder(folder: Path, component: str, cls: Any, config: Mapping[str, Any]) -> None:
    """Raise UnreadableModel where the files of weights in a folder do not hold those of a component."""
    files = [path for pattern in WEIGHTS for path in sorted(folder.glob(pattern))]
    index = {name: stored for path in reversed(files) for name, stored in index_of(path).items()}
    try:
        placed(component, _shapes_of(cls, config), config, index)
    except Incomplete as incomplete:
        raise UnreadableModel(f"{folder}: {incomplete}") from None


def _empty(cls: Any, config: Mapping[str, Any]) -> Any:
    """A component without memory for its weights, but with the tables that a model computes for itself."""
    with init_empty_weights(include_buffers=False):
        return _built(cls, config)


def _built(cls: Any, config: Mapping[str, Any]) -> Any:
    return cls(cls.config_class.from_dict(dict(config))) if hasattr(cls, "config_class") else cls.from_config(config)


def _shapes(part: Any) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in part.state_dict().items()}


def _shapes_of(cls: Any, config: Mapping[str, Any]) -> Mapping[str, tuple[int, ...]]:
    return _shapes_of_class(cls, json.dumps(config, sort_keys=True))


# Several models have the same text encoders, and building the largest takes a while.
@functools.lru_cache(maxsize=32)
def _shapes_of_class(cls: Any, config: str) -> Mapping[str, tuple[int, ...]]:
    with torch.device("meta"):  # not even the tables, of which some take a while
        return MappingProxyType(_shapes(_built(cls, json.loads(config))))


def _pieces(path: Path, component: str, shapes: Mapping[str, tuple[int, ...]], config: Mapping[str, Any]) -> dict[str, Piece]:
    try:
        return pieces_of(component, shapes, config, index_of(path))
    except Incomplete as incomplete:
        raise UnreadableModel(f"{path}: {incomplete}") from None


def _kept_in_float32(part: Any, dtype: torch.dtype) -> set[str]:
    """The layers that overflow in float16, as both libraries keep them apart when they read a folder."""
    return set(getattr(part, "_keep_in_fp32_modules", None) or ()) if dtype is torch.float16 else set()


def _weight(file: int, index: Index, scales: Index, piece: Piece, shape: torch.Size, dtype: torch.dtype) -> torch.Tensor:
    if piece.key not in index:
        return torch.eye(*shape, dtype=dtype)
    whole = index[piece.key]
    stored = _rows(whole, piece, shape)
    if stored.dtype in BLOCKS:
        weight = unpacked(_bytes(file, stored.offset, stored.end), stored.dtype, stored.shape, dtype)
    elif piece.key in scales:
        scale = _scale(file, scales[piece.key], whole.shape[0])[_first(whole, piece, shape) :][: stored.shape[0]]
        weight = scaled(_tensor(file, stored), scale, dtype)
    else:
        weight = _tensor(file, stored).to(dtype)
    if piece.transposed:
        weight = weight.T.contiguous()
    if piece.swapped:
        weight = torch.cat([*reversed(weight.chunk(2))])
    return weight.reshape(shape)


def _rows(stored: Stored, piece: Piece, shape: torch.Size) -> Stored:
    """Of several matrices below each other only the one that is meant, so that the others are not even read."""
    if piece.nth is None:
        return stored
    if stored.strides is not None or (stored.dtype in BLOCKS and stored.numbers // stored.shape[0] % BLOCKS[stored.dtype][0]):
        raise Incomplete(f"its {piece.key} is not stored row by row")
    row_bytes = stored.size_bytes // stored.shape[0]
    return Stored(stored.dtype, (shape[0], *stored.shape[1:]), stored.offset + _first(stored, piece, shape) * row_bytes)


def _first(stored: Stored, piece: Piece, shape: torch.Size) -> int:
    """The row at which a piece begins."""
    if piece.nth is None:
        return 0
    return stored.shape[0] - shape[0] if piece.nth < 0 else piece.nth * shape[0]


def _scale(file: int, scale: Stored, rows: int) -> torch.Tensor:
    """The scale of each row, (rows, n)."""
    return _tensor(file, scale).repeat_interleave(rows // scale.shape[0], dim=0)


def _tensor(file: int, stored: Stored) -> torch.Tensor:
    if stored.dtype not in TYPES:
        raise UnreadableModel(f"its numbers are of the type {stored.dtype}, which cannot be read")
    if not prod(stored.shape):
        return torch.empty(stored.shape, dtype=TYPES[stored.dtype])
    numbers = torch.from_numpy(_bytes(file, stored.offset, stored.end)).view(TYPES[stored.dtype])
    if stored.strides is None:
        return numbers.reshape(stored.shape)
    return numbers.as_strided(stored.shape, stored.strides).contiguous()


def _bytes(file: int, start: int, end: int) -> NDArray[np.uint8]:
    # Numpy's memory, because that comes in large pages.
    data = np.empty(end - start, dtype=np.uint8)
    whole, read = memoryview(data), 0  # type: ignore[arg-type]
    while read < len(whole):
        got = os.preadv(file, [whole[read:]], start + read)
        if not got:
            raise UnreadableModel("the file ended while it was read; fetch it again")
        read += got
    return data
