"""Where the tensors lie in a file that torch.save wrote (.ckpt, .pt, .bin), in its zip format and in the one before it.

Such a file is a pickle, which is a program. It is run here with nothing in its reach: a tensor becomes a note of where its numbers
are, what trainers leave behind becomes an empty stand-in, and a pickle that asks for anything else is refused by the name of what it
asked for. Nothing of torch is needed, and no weight is loaded."""

import pickle
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from math import prod
from pathlib import Path
from typing import IO, Any

from daemon.models.checkpoints.tensors import SIZES, Stored

MAGIC, PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
"""The first two pickles of the older format (torch.serialization)."""

_STORAGES = {
    "DoubleStorage": "F64",
    "FloatStorage": "F32",
    "HalfStorage": "F16",
    "BFloat16Storage": "BF16",
    "LongStorage": "I64",
    "IntStorage": "I32",
    "ShortStorage": "I16",
    "CharStorage": "I8",
    "ByteStorage": "U8",
    "BoolStorage": "BOOL",
    "UntypedStorage": "U8",
}
_DTYPES = {
    "float64": "F64",
    "float32": "F32",
    "float16": "F16",
    "bfloat16": "BF16",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2": "F8_E5M2",
    "int64": "I64",
    "int32": "I32",
    "int16": "I16",
    "int8": "I8",
    "uint8": "U8",
    "bool": "BOOL",
}
# What PyTorch Lightning and other trainers leave beside the weights. No code of it is ever run, whatever it is called.
_LEFT_BEHIND = ("pytorch_lightning.", "lightning.", "lightning_fabric.", "lightning_utilities.", "omegaconf.", "torch.optim.")
_HARMLESS = frozenset(
    {
        *(f"builtins.{name}" for name in ("bool", "bytearray", "complex", "dict", "float", "frozenset", "int", "list")),
        *(f"builtins.{name}" for name in ("object", "range", "set", "slice", "str", "tuple")),
        *(f"numpy.{core}.multiarray.{name}" for core in ("core", "_core") for name in ("scalar", "_reconstruct")),
        *("numpy.dtype", "numpy.ndarray", "_codecs.encode", "copyreg._reconstructor"),
        *("argparse.Namespace", "collections.Counter", "collections.defaultdict", "collections.deque", "typing.Any"),
        *("datetime.datetime", "datetime.timedelta", "pathlib.Path", "pathlib.PosixPath", "pathlib.PurePosixPath"),
        *("torch.Size", "torch.device"),
    }
)
_BROKEN = (
    *(pickle.UnpicklingError, struct.error, zipfile.BadZipFile, EOFError, ValueError, TypeError, KeyError, IndexError),
    *(AttributeError, ImportError, OverflowError, MemoryError, RuntimeError),
)


class Refused(ValueError):
    """A pickle that asks for more than weights."""


@dataclass(frozen=True)
class _Storage:
    dtype: str
    key: str
    first: int = 0


@dataclass(frozen=True)
class _Tensor:
    storage: _Storage
    first: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    dtype: str

    def stored(self, starts: Mapping[str, int]) -> Stored:
        first = self.first + self.storage.first
        if min((first, *self.shape, *self.strides), default=0) < 0:
            raise ValueError("a tensor lies outside of its storage")
        # The offset counts numbers of the tensor's own type, also in a storage of plain bytes.
        offset = starts[self.storage.key] + first * SIZES[self.dtype]
        rows = tuple(prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))
        plain = all(side == 1 or stride == row for side, stride, row in zip(self.shape, self.strides, rows, strict=True))
        return Stored(self.dtype, self.shape, offset, None if plain else self.strides)


class _LeftBehind:
    """Stands in for an object that is no weight; whatever a pickle does to it has no effect."""

    def __new__(cls, *_: Any, **__: Any) -> "_LeftBehind":
        return super().__new__(cls)

    def __call__(self, *_: Any, **__: Any) -> "_LeftBehind":
        return self

    def __setstate__(self, _: Any) -> None: ...

    def __setitem__(self, _: Any, __: Any) -> None: ...

    def append(self, _: Any) -> None: ...

    def extend(self, _: Any) -> None: ...

    def add(self, _: Any) -> None: ...


def _tensor(storage: _Storage, first: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, int(first), tuple(map(int, shape)), tuple(map(int, strides)), storage.dtype)


def _tensor_of_type(storage: _Storage, first: int, shape: Any, strides: Any, _: Any, __: Any, dtype: str, *___: Any) -> _Tensor:
    return _Tensor(storage, int(first), tuple(map(int, shape)), tuple(map(int, strides)), dtype)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_MAKERS: Mapping[str, Any] = {
    "collections.OrderedDict": OrderedDict,
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
    **{f"torch.{name}": dtype for name, dtype in _DTYPES.items()},
    **{f"torch.{place}{name}": dtype for name, dtype in _STORAGES.items() for place in ("", "storage.", "cuda.")},
}


@dataclass
class _Storages:
    """The storages that a pickle has named, by key, with the type of their numbers."""

    dtypes: dict[str, str] = field(default_factory=dict)

    def named(self, said: Any) -> _Storage:
        """Source: `persistent_id` in torch.serialization; the older format may add a view into another storage."""
        kind, dtype, key, _, _, *view = said
        if kind != "storage" or dtype not in SIZES:
            raise ValueError(f"it names a {kind!r} instead of a storage")
        self.dtypes[str(key)] = dtype
        return _Storage(dtype, str(key), int(view[0][1]) if view and view[0] else 0)


class _Unpickler(pickle.Unpickler):
    """Runs a pickle with nothing but the makers above in its reach."""

    def __init__(self, stream: IO[bytes], storages: _Storages) -> None:
        super().__init__(stream, encoding="latin1")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        asked = f"{module}.{name}"
        if asked in _MAKERS:
            return _MAKERS[asked]
        if asked in _HARMLESS or asked.startswith(_LEFT_BEHIND):
            return _LeftBehind
        raise Refused(asked)

    def persistent_load(self, pid: Any) -> _Storage:
        return self._storages.named(pid)


def index_of_pickle(path: Path) -> dict[str, Stored]:
    """Return the tensors of a file of torch.save by name, those in its "state_dict" where it has one.

    Raises ValueError with a sentence where the file is damaged, and where it is more than weights."""
    try:
        with path.open("rb") as stream:
            found, starts = _zipped(stream) if zipfile.is_zipfile(stream) else _in_a_row(stream)
        return {name: tensor.stored(starts) for name, tensor in _tensors(found).items()}
    except Refused as refused:
        raise ValueError(
            f"{path} is refused, because it holds more than weights: reading it would run {refused}; get the model as .safetensors "
            "from somebody you trust"
        ) from None
    except _BROKEN as error:
        raise ValueError(f"{path} is damaged, or no file of weights ({str(error) or type(error).__name__}); fetch it again") from error


def _tensors(found: Any) -> dict[str, _Tensor]:
    while isinstance(found, dict) and isinstance(found.get("state_dict"), dict):
        found = found["state_dict"]
    if not isinstance(found, dict):
        raise ValueError("it holds no weights by name")
    return {name: tensor for name, tensor in found.items() if isinstance(name, str) and isinstance(tensor, _Tensor)}


def _zipped(stream: IO[bytes]) -> tuple[Any, Mapping[str, int]]:
    """The zip format: the pickle `data.pkl`, and each storage as a member `data/KEY` that is not compressed."""
    stream.seek(0)
    with zipfile.ZipFile(stream) as archive:
        (pickled,) = (member for member in archive.infolist() if member.filename.split("/")[1:] == ["data.pkl"])
        root, storages = pickled.filename.removesuffix("data.pkl"), _Storages()
        with archive.open(pickled) as file:
            found = _Unpickler(file, storages).load()
        members = {key: archive.getinfo(f"{root}data/{key}") for key in storages.dtypes}
        if f"{root}byteorder" in archive.namelist() and archive.read(f"{root}byteorder") != b"little":
            raise ValueError("its numbers are big-endian")
    if any(member.compress_type != zipfile.ZIP_STORED for member in members.values()):
        raise ValueError("its weights are compressed")
    return found, {key: _start(stream, member.header_offset) for key, member in members.items()}


def _start(stream: IO[bytes], header: int) -> int:
    """Where the data of a member begin: behind a header of 30 bytes, its name and its extra field."""
    stream.seek(header)
    name, extra = struct.unpack("<26xHH", stream.read(30))
    return header + 30 + int(name) + int(extra)


def _in_a_row(stream: IO[bytes]) -> tuple[Any, Mapping[str, int]]:
    """The older format: three pickles about the file, that of the weights, the keys of the storages, and the storages themselves."""
    stream.seek(0)
    storages = _Storages()
    magic, protocol, system, found, keys = (_Unpickler(stream, storages).load() for _ in range(5))
    if (magic, protocol) != (MAGIC, PROTOCOL) or not system.get("little_endian", True):
        raise ValueError("it does not begin as torch writes it")
    starts = {}
    for key in keys:
        (count,) = struct.unpack("<q", stream.read(8))
        starts[str(key)] = stream.tell()
        stream.seek(count * SIZES[storages.dtypes[str(key)]], 1)
    return found, starts
