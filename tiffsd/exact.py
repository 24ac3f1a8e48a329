"""The exact tensors of an artifact <-> the ASCII text of a private tag: base64 of one safetensors file.

Sections 2 and 5 of `tiffsd/spec.py`.
"""

import binascii
import io
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load

from tiffsd.artifact import CANVAS_TENSORS, FOREIGN, consistent, size_of
from tiffsd.header import Header, marks_in
from tiffsd.spec import LARGEST_TABLE_BYTES, MOST_MARKS, BadValues, Kind

try:
    import pybase64
except ModuleNotFoundError:  # it does what binascii does, forty times as fast, and nothing else depends on it
    pybase64 = None

Exact = tuple[dict[str, NDArray[Any]], str | None]  # the exact tensors, or none and the reason

STORABLE = "biuf"
WIDTHS = ("BOOL", "U8", "I8", "I16", "U16", "F16", "I32", "U32", "F32", "F64", "I64", "U64")
PIECE_BYTES = 3 * 2**16


def encode_tensors(tensors: Mapping[str, NDArray[Any]], *, artifact_id: str, end: bytes = b"") -> bytes:
    """Named tensors of any shapes -> a safetensors file as base64 in ASCII, without line breaks, and `end` behind it.

    Little endian, with the artifact's id in its metadata. Raises BadValues for a dtype that safetensors has no name for.
    """
    for name, tensor in tensors.items():
        if tensor.dtype.kind not in STORABLE or tensor.dtype == np.longdouble:
            raise BadValues(f"the tensor {name} of artifact {artifact_id} is {tensor.dtype}, which a TIFFSD file cannot hold")
    # As the safetensors library orders them: the widest numbers first. It would hold three copies of them all at a time.
    stored = sorted(tensors.items(), key=lambda item: (-WIDTHS.index(_kind(item[1])), item[0]))
    text, rest = io.BytesIO(), b""
    for piece in _blob(stored, artifact_id):
        data = rest + piece
        whole = len(data) - len(data) % 3  # three bytes are four characters
        text.write(_to_base64(data[:whole]))
        rest = data[whole:]
    text.write(_to_base64(rest) + end)
    return text.getvalue()


def _blob(tensors: Sequence[tuple[str, NDArray[Any]]], artifact_id: str) -> Iterator[bytes]:
    """A safetensors file of these tensors, in pieces."""
    table: dict[str, Any] = {"__metadata__": {"id": artifact_id}}
    start = 0
    for name, tensor in tensors:
        table[name] = {"dtype": _kind(tensor), "shape": list(tensor.shape), "data_offsets": [start, start + tensor.nbytes]}
        start += tensor.nbytes
    head = json.dumps(table, separators=(",", ":"), ensure_ascii=False).encode()
    head += b" " * (-len(head) % 8)
    yield len(head).to_bytes(8, "little") + head
    for _, tensor in tensors:
        little = np.ascontiguousarray(tensor, tensor.dtype.newbyteorder("<")).reshape(-1).view(np.uint8)
        yield from (little[place : place + PIECE_BYTES].tobytes() for place in range(0, little.size, PIECE_BYTES))


def _kind(tensor: NDArray[Any]) -> str:
    kind = {"b": "BOOL", "i": "I", "u": "U", "f": "F"}[tensor.dtype.kind]
    return kind if kind == "BOOL" else f"{kind}{8 * tensor.dtype.itemsize}"


def decode_tensors(text: str | bytes, *, artifact_id: str) -> dict[str, NDArray[Any]] | str:
    """The inverse of `encode_tensors`, or a few words on why the text cannot be used for this artifact: damaged, or another's."""
    try:
        blob = _from_base64(text)
        owner = _metadata(blob).get("id")
        if owner != artifact_id:
            return f"they belong to artifact {str(owner)[:20]!r}"
        return {name: np.asarray(tensor) for name, tensor in load(blob).items()}
    except (binascii.Error, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"they are damaged ({type(error).__name__})"


def tensors_of(header: Header, text: Any) -> Exact:
    """The exact tensors that a tag's text holds for this header, or none and the reason, a sentence for people; raises nothing.

    Those of the canvas of latents and embeddings are finite float32 of the header's size, others of the dtype and
    shape that they were written with.
    """
    if not isinstance(text, str | bytes):
        return {}, "the file has lost its exact tensors, so the canvas counts as it is"
    tensors = decode_tensors(text, artifact_id=header.id)
    if isinstance(tensors, str):
        return {}, f"the exact tensors were ignored, {tensors}, so the canvas counts as it is"
    strangers = " and ".join(sorted(FOREIGN[header.kind] & tensors.keys()))
    if strangers:
        return {}, f"the exact tensors were ignored, {strangers} among them belongs to another kind, so the canvas counts as it is"
    if not consistent(tensors):
        return {}, "the exact tensors were ignored, their shapes contradict each other, so the canvas counts as it is"
    if header.kind is Kind.PICTURE:
        return tensors, None
    names = [key for key in CANVAS_TENSORS[header.kind] if key in tensors]
    if any(tensors[key].dtype.kind != "f" or not np.isfinite(tensors[key]).all() for key in names):
        return {}, "the exact tensors were ignored, they are no finite floats, so the canvas counts as it is"
    if size_of(tensors, header.kind) != header.size:
        return {}, "the exact tensors were ignored, they have another size than the metadata says, so the canvas counts as it is"
    return tensors | {key: tensors[key].astype(np.float32, copy=False) for key in names}, None


def _to_base64(blob: bytes) -> bytes:
    return binascii.b2a_base64(blob, newline=False) if pybase64 is None else bytes(pybase64.b64encode(blob))


def _from_base64(text: str | bytes) -> bytes:
    """Raises binascii.Error or ValueError for anything but an unbroken line of whole groups."""
    return binascii.a2b_base64(text, strict_mode=True) if pybase64 is None else bytes(pybase64.b64decode(text, validate=True))


def _metadata(blob: bytes) -> dict[str, Any]:
    length = int.from_bytes(blob[:8], "little")
    table = blob[8 : 8 + min(length, LARGEST_TABLE_BYTES + 1)]
    if len(table) > LARGEST_TABLE_BYTES or marks_in(table) > MOST_MARKS:
        raise ValueError("the table of tensors is too large")
    header = json.loads(table)
    found: dict[str, Any] = header.get("__metadata__") or {}
    return found
