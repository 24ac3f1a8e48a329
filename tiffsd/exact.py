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

from tiffsd.spec import BadValues

STORABLE = "biuf"


def encode_tensors(tensors: Mapping[str, NDArray[Any]], *, artifact_id: str) -> bytes:
    """Named tensors -> ASCII; BadValues for a dtype that safetensors has no name for."""
    for name, tensor in tensors.items():
        if tensor.dtype.kind not in STORABLE or tensor.dtype == np.longdouble:
            raise BadValues(f"the tensor {name} of artifact {artifact_id} is {tensor.dtype}, which a TIFFSD file cannot hold")
    stored = {name: np.asarray(tensor, order="C") for name, tensor in tensors.items()}
    return binascii.b2a_base64(save(stored, metadata={"id": artifact_id}), newline=False)


def decode_tensors(text: str | bytes, *, artifact_id: str) -> dict[str, NDArray[Any]] | str:
    """ASCII -> named tensors, or a few words on why the text cannot be used for this artifact."""
    try:
        blob = binascii.a2b_base64(text, strict_mode=True)
        owner = _metadata(blob).get("id")
        if owner != artifact_id:
            return f"they belong to artifact {str(owner)[:20]}"
        return {name: np.asarray(tensor) for name, tensor in load(blob).items()}
    except (binascii.Error, SafetensorError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        return f"they are damaged ({type(error).__name__})"


def _metadata(blob: bytes) -> dict[str, Any]:
    length = int.from_bytes(blob[:8], "little")
    header = json.loads(blob[8 : 8 + length])
    found: dict[str, Any] = header.get("__metadata__") or {}
    return found
