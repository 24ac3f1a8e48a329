"""Where the tensors lie in a file that torch.save wrote (.ckpt, .pt, .bin), in its zip format and in the one before it.

Such a file is a pickle, which is a program. It is run here with nothing in its reach: a tensor becomes a note of where its numbers
are, what trainers leave behind becomes an empty stand-in, and a pickle that asks for anything else is refused by the name of it.
Nothing of torch is needed, and no weight is loaded."""

import functools
import pickle
import struct
import zipfile
from _compat_pickle import IMPORT_MAPPING, NAME_MAPPING
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from io import SEEK_CUR
from math import prod
from pathlib import Path
from typing import IO, Any

from daemon.models.checkpoints.stored import SIZES, Stored
from daemon.models.unreadable import UnreadableModel

ENCRYPTED = 0x1
"""The flag of a member of a zip file."""
BIG_ENDIAN = "numbers are big-endian"
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
# And what Python and numpy do, in whichever module they keep it.
_HARMLESS = frozenset(
    {
        *(f"builtins.{name}" for name in ("bool", "bytearray", "bytes", "complex", "dict", "float", "frozenset", "int", "list")),
        *(f"builtins.{name}" for name in ("object", "range", "set", "slice", "str", "tuple")),
        *(f"numpy.{name}" for name in ("_frombuffer", "_reconstruct", "dtype", "ndarray", "scalar")),
        *("codecs.encode", "copyreg._reconstructor", "argparse.Namespace", "typing.Any"),
        *("collections.Counter", "collections.defaultdict", "collections.deque"),
        *(f"datetime.{name}" for name in ("date", "datetime", "time", "timedelta", "timezone")),
        *(f"pathlib.{name}" for name in ("Path", "PosixPath", "WindowsPath", "PurePath", "PurePosixPath", "PureWindowsPath")),
        *("torch.Size", "torch.device"),
    }
)
# These move things between their modules from one release to the next: pathlib._local is of Python 3.13, numpy._core of numpy 2.
_MOVING = frozenset({"argparse", "builtins", "codecs", "collections", "copyreg", "datetime", "numpy", "pathlib", "typing"})
# Where the weights of a model and the vectors of a textual inversion lie among other things.
_WITHIN = ("state_dict", "string_to_param")
_BROKEN = (
    *(pickle.UnpicklingError, struct.error, zipfile.BadZipFile, EOFError, ValueError, TypeError, KeyError, IndexError),
    *(AttributeError, ImportError, OverflowError, MemoryError, RuntimeError),
)


class _Refused(Exception):
    """The pickle asks for more than weights; the text is the name of what it asked for."""


class _Foreign(Exception):
    """The file is whole, and of a form that is not read; the text completes a sentence that begins with "its"."""


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

    def stored(self, places: Mapping[str, range]) -> Stored:
        first, place = self.first + self.storage.first, places[self.storage.key]
        # The offset counts numbers of the tensor's own type, also in a storage of plain bytes.
        offset = place.start + first * SIZES[self.dtype]
        rows = tuple(prod(self.shape[axis + 1 :]) for axis in range(len(self.shape)))
        plain = all(side == 1 or stride == row for side, stride, row in zip(self.shape, self.strides, rows, strict=True))
        stored = Stored(self.dtype, self.shape, offset, None if plain else self.strides)
        if min(first, *self.shape, *self.strides, 0) < 0 or stored.end > place.stop:
            raise ValueError("a tensor lies outside of its storage")
        return stored


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


class _Parameters(dict[str, Any]):
    """Stands in for a ParameterDict, in which the first trainer of textual inversions keeps its vectors."""

    def __setstate__(self, state: Any) -> None:
        self.update(state["_parameters"])


def _tensor(storage: _Storage, first: int, shape: Any, strides: Any, *_: Any) -> _Tensor:
    return _Tensor(storage, int(first), tuple(map(int, shape)), tuple(map(int, strides)), storage.dtype)


def _tensor_of_type(storage: _Storage, first: int, shape: Any, strides: Any, _: Any, __: Any, dtype: str, *___: Any) -> _Tensor:
    return _Tensor(storage, int(first), tuple(map(int, shape)), tuple(map(int, strides)), dtype)


def _parameter(tensor: Any, *_: Any) -> Any:
    return tensor


_MAPPINGS: Mapping[str, type[Any]] = {
    "collections.OrderedDict": OrderedDict,
    "torch.nn.modules.container.ParameterDict": _Parameters,
}
_MAKERS: Mapping[str, Callable[..., Any]] = {
    "torch._utils._rebuild_tensor": _tensor,
    "torch._utils._rebuild_tensor_v2": _tensor,
    "torch._utils._rebuild_tensor_v3": _tensor_of_type,
    "torch._utils._rebuild_parameter": _parameter,
    "torch._utils._rebuild_parameter_with_state": _parameter,
}
# Types are named by what safetensors calls them.
_WORDS: Mapping[str, str] = {
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


def _in_python_3(module: str, name: str) -> str:
    """Pickles of torch are of a protocol that knows some things by the names of Python 2."""
    return ".".join(NAME_MAPPING.get((module, name), (IMPORT_MAPPING.get(module, module), name)))


def _in_public(said: str) -> str:
    """The one name of what Python and numpy keep in another module with each release."""
    package = said.split(".")[0].lstrip("_")
    return f"{package}.{said.rpartition('.')[2]}" if package in _MOVING else said


# Python's own and not the one in C, which sets aside memory for as many things as a pickle says it will number.
class _Unpickler(pickle._Unpickler):
    """Runs a pickle with nothing but the makers above in its reach."""

    def __init__(self, stream: IO[bytes], storages: _Storages) -> None:
        super().__init__(stream, encoding="latin1")
        self._storages = storages

    def find_class(self, module: str, name: str) -> Any:
        said = _in_python_3(module, name)
        asked = _in_public(said)
        if asked in _MAPPINGS:
            return _MAPPINGS[asked]
        if asked in _WORDS:
            return _WORDS[asked]
        if asked in _MAKERS:
            # A pickle may change what it is given, so it gets one of its own.
            return functools.partial(_MAKERS[asked])
        if asked in _HARMLESS or asked.startswith(_LEFT_BEHIND):
            return _LeftBehind
        raise _Refused(said)

    def persistent_load(self, pid: Any) -> _Storage:
        return self._storages.named(pid)


def index_of_pickle(path: Path) -> dict[str, Stored]:
    """Return the tensors of a file of torch.save by name, those in its "state_dict" or "string_to_param" where it has one.

    Raises UnreadableModel where the file is damaged, and where it is more than weights."""
    try:
        with path.open("rb") as stream:
            found, places = _zipped(stream) if zipfile.is_zipfile(stream) else _in_a_row(stream)
        return {name: tensor.stored(places) for name, tensor in _tensors(found).items()}
    except _Refused as refused:
        raise UnreadableModel(
            f"{path} is refused, because it holds more than weights: reading it would run {refused}; get the model as .safetensors "
            "from somebody you trust"
        ) from None
    except _Foreign as foreign:
        raise UnreadableModel(f"{path} cannot be read: its {foreign}; get the model as .safetensors") from None
    except _BROKEN as error:
        raise UnreadableModel(f"{path} is damaged, or no file of weights ({_first_line(error)}); fetch it again") from error


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]


def _tensors(found: Any) -> dict[str, _Tensor]:
    if not isinstance(found, dict):
        raise ValueError("it holds no weights by name")
    within = [found[name] for name in _WITHIN if isinstance(found.get(name), dict)]
    found = within[0] if within else found
    return {name: tensor for name, tensor in found.items() if isinstance(name, str) and isinstance(tensor, _Tensor)}


def _zipped(stream: IO[bytes]) -> tuple[Any, Mapping[str, range]]:
    """The zip format: the pickle `data.pkl`, and each storage as a member `data/KEY`, none of them compressed."""
    stream.seek(0)
    with zipfile.ZipFile(stream) as archive:
        members = {member.filename: member for member in archive.infolist()}
        if any(member.compress_type != zipfile.ZIP_STORED or member.flag_bits & ENCRYPTED for member in members.values()):
            raise _Foreign("contents are compressed or encrypted, which torch never does")
        roots = [name.removesuffix("data.pkl") for name in members if name.split("/")[1:] == ["data.pkl"]]
        if len(roots) != 1:
            raise ValueError("there is no data.pkl in it")
        (root,) = roots
        storages = _Storages()
        with archive.open(f"{root}data.pkl") as file:
            found = _Unpickler(file, storages).load()
        if f"{root}byteorder" in members and archive.read(f"{root}byteorder") != b"little":
            raise _Foreign(BIG_ENDIAN)
    return found, {key: _place(stream, members[f"{root}data/{key}"]) for key in storages.dtypes}


def _place(stream: IO[bytes], member: zipfile.ZipInfo) -> range:
    """Where the data of a member lie: behind a header of 30 bytes, its name and its extra field."""
    stream.seek(member.header_offset)
    name, extra = struct.unpack("<26xHH", stream.read(30))
    start = member.header_offset + 30 + int(name) + int(extra)
    return range(start, start + member.file_size)


def _in_a_row(stream: IO[bytes]) -> tuple[Any, Mapping[str, range]]:
    """The older format: three pickles about the file, that of the weights, the keys of the storages, and then the storages."""
    stream.seek(0)
    storages = _Storages()
    magic, protocol, system, found, keys = (_Unpickler(stream, storages).load() for _ in range(5))
    if (magic, protocol) != (MAGIC, PROTOCOL):
        raise ValueError("it does not begin as torch writes it")
    if not system["little_endian"]:
        raise _Foreign(BIG_ENDIAN)
    places = {}
    for key in keys:
        (count,) = struct.unpack("<q", stream.read(8))
        size = count * SIZES[storages.dtypes[str(key)]]
        places[str(key)] = range(stream.tell(), stream.tell() + size)
        stream.seek(size, SEEK_CUR)
    return found, places
