"""The exact tensors of an artifact <-> the ASCII text of a private tag: base64 of one safetensors file.

Sections 2 and 5 of `tiffsd/spec.py`.
"""

import binascii
import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load, save

from tiffsd.artifact import CANVAS_TENSORS, consistent, size_of
from tiffsd.header import Header, marks_in
from tiffsd.spec import LARGEST_TABLE_BYTES, MOST_MARKS, BadValues, Kind

try:
    import pybase64
except ModuleNotFoundError:  # it does what binascii does, forty times as fast, and nothing else depends on it
    pybase64 = None

STORABLE = "biuf"


def encode_tensors(tensors: Mapping[str, NDArray[Any]], *, artifact_id: str) -> bytes:
    """Named tensors -> ASCII; BadValues for a dtype that safetensors has no name for."""
    for name, tensor in tensors.items():
        if tensor.dtype.kind not in STORABLE or tensor.dtype == np.longdouble:
            raise BadValues(f"the tensor {name} of artifact {artifact_id} is {tensor.dtype}, which a TIFFSD file cannot hold")
    stored = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    return _to_base64(save(stored, metadata={"id": artifact_id}))


def decode_tensors(text: str | bytes, *, artifact_id: str) -> dict[str, NDArray[Any]] | str:
    """ASCII -> named tensors, or a few words on why the text cannot be used for this artifact."""
    try:
        blob = _from_base64(text)
        owner = _metadata(blob).get("id")
        if owner != artifact_id:
            return f"they belong to artifact {str(owner)[:20]!r}"
        return {name: np.asarray(tensor) for name, tensor in load(blob).items()}
    except (binascii.Error, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"they are damaged ({type(error).__name__})"


def tensors_of(header: Header, text: Any) -> tuple[dict[str, NDArray[Any]], str | None]:
    """The exact tensors that a tag's text holds for this header, or none and the reason."""
    if not isinstance(text, str | bytes):
        return {}, "the file has lost its exact tensors, so the canvas counts as it is"
    tensors = decode_tensors(text, artifact_id=header.id)
    if isinstance(tensors, str):
        return {}, f"the exact tensors were ignored, {tensors}, so the canvas counts as it is"
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
