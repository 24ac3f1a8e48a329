"""Where the tensors of a file lie: their names, shapes, types and offsets, told without loading one of them, and without torch.

It is the same answer for safetensors and GGUF, whose headers say it (`gguf_headers`), and for torch's own files, whose pickle does
(`pickles`)."""

import functools
import json
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from daemon.models.checkpoints.gguf_headers import MAGIC, index_of_gguf
from daemon.models.checkpoints.pickles import index_of_pickle
from daemon.models.checkpoints.stored import SIZES, Index, Stored
from daemon.models.unreadable import UnreadableModel

_LFS = b"version https://git-lfs"
_LONGEST_HEADER_BYTES = 100 * 2**20


def index_of(path: Path) -> Index:
    """Return the tensors of a file by name. Raises UnreadableModel where it holds none, is not whole, or is not safe."""
    return _contents(path)[0]


def metadata_of(path: Path) -> Mapping[str, str]:
    """Return what a safetensors file says beside its tensors, and nothing for others. Raises UnreadableModel as `index_of`."""
    return _contents(path)[1]


def _contents(path: Path) -> tuple[Index, Mapping[str, str]]:
    try:
        status = path.stat()
        return _read(path, status.st_mtime_ns, status.st_size)
    except OSError as error:
        raise UnreadableModel(f"{path} cannot be read ({error.strerror or error})") from error


# A job asks several times, and the pickle of a large file takes a while.
@functools.lru_cache(maxsize=32)
def _read(path: Path, changed_ns: int, size: int) -> tuple[Index, Mapping[str, str]]:
    del changed_ns
    with path.open("rb") as stream:
        start = stream.read(len(_LFS))
    if start == _LFS:
        raise UnreadableModel(f"{path} is a pointer of git-lfs; fetch the weights themselves")
    metadata: Mapping[str, str] = {}
    # A safetensors file begins with a length, which may look like anything, and then its header; none is as long as MAGIC says.
    if start.startswith(MAGIC):
        tensors = index_of_gguf(path)
    elif start.startswith((b"PK", b"\x80")) and start[8:9] != b"{":
        tensors = index_of_pickle(path)
    else:
        tensors, metadata = _safetensors(path)
    end = max((tensor.end for tensor in tensors.values()), default=0)
    if end > size:
        raise UnreadableModel(f"{path} is cut off: {size} bytes, and should be {end}; fetch it again")
    if not tensors:
        raise UnreadableModel(f"{path} holds no weights")
    return MappingProxyType(tensors), metadata


def _safetensors(path: Path) -> tuple[dict[str, Stored], Mapping[str, str]]:
    with path.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        header = stream.read(length) if length <= _LONGEST_HEADER_BYTES else b""
    try:
        said = json.loads(header)
        named = {name: tensor for name, tensor in said.items() if name != "__metadata__"}
        unknown = {str(tensor["dtype"]) for tensor in named.values()} - SIZES.keys()
        if unknown:
            raise UnreadableModel(
                f"{path} holds numbers of the type {min(unknown)}, which cannot be read; get it in float16 or bfloat16"
            )
        return {name: _stored(tensor, 8 + length) for name, tensor in named.items()}, dict(said.get("__metadata__") or {})
    except UnreadableModel:
        raise
    except (ValueError, AttributeError, TypeError, KeyError, IndexError, RecursionError):
        raise UnreadableModel(f"{path} is damaged, or no file of weights; fetch it again") from None


def _stored(tensor: Mapping[str, list[int]], data: int) -> Stored:
    start, end = tensor["data_offsets"]
    stored = Stored(str(tensor["dtype"]), tuple(map(int, tensor["shape"])), data + int(start))
    if min(start, *stored.shape, 0) < 0 or stored.size_bytes != end - start:
        raise ValueError("the header contradicts itself")
    return stored
