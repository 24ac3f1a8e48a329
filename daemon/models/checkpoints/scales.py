"""The scales beside the weights of a quantized file: a weight is what is stored under its name, times the scale of its place.

Read are eight bits, float8 and int8, with one scale for a weight, one for each row or one for each block: as ComfyUI writes them
(`X.weight_scale`, and the form in `X.comfy_quant` or the file's `_quantization_metadata`: comfy/ops.py, comfy/quant_ops.py) and
wrote them before (`X.scale_weight`, with a `scaled_fp8` for the file: comfy/utils.py). The scale of what goes into a layer
(`input_scale`, `scale_input`) has no place where weights are multiplied in whole precision. All else is refused by name."""

import functools
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from daemon.models.checkpoints.stored import Index, Stored
from daemon.models.checkpoints.tensors import index_of, metadata_of
from daemon.models.unreadable import UnreadableModel

BESIDE = (".comfy_quant", ".input_scale", ".scale_input")
"""The endings of what stands beside quantized weights besides the scales, and is no weight either."""
OF_THE_FILE = "scaled_fp8"
"""The end of a name that stands once, before the weights of a component."""
SCALES = (".weight_scale", ".scale_weight")

_FORM, _FORMS = ".comfy_quant", "_quantization_metadata"
_EIGHT_BITS = {"float8_e4m3fn": "F8_E4M3", "float8_e5m2": "F8_E5M2", "int8_tensorwise": "I8", "int8_blockwise": "I8"}
_TOGETHER = frozenset(_EIGHT_BITS.values())
_INTEGERS = ("I8", "U8")
_FLOATS = ("F32", "F16", "BF16")
_FOREIGN: Mapping[str, str] = {
    ".weight_scale_2": "nvfp4",
    ".quant_state.bitsandbytes__nf4": "NF4 (bitsandbytes)",
    ".quant_state.bitsandbytes__fp4": "FP4 (bitsandbytes)",
    ".SCB": "int8 (bitsandbytes)",
    ".absmax": "four or eight bits (bitsandbytes)",
    ".wscales": "SVDQuant (nunchaku)",
    ".qzeros": "AWQ or GPTQ",
    ".weight_zeros": "AWQ",
    ".weight_s_rel": "W4A8",
    ".weight._data": "optimum-quanto",
    "._weight_qdata": "torchao",
}
WAY_OUT = "get it in float16 or bfloat16, in float8 with or without scales, or as GGUF"


def scales_of(path: Path) -> Mapping[str, Stored]:
    """Return the scale of each quantized weight of a file by the weight's name, none where nothing is quantized.

    A scale is (1, 1), (rows, 1), or (rows / b, columns / b) for blocks of b x b. Raises UnreadableModel, by the name of the form,
    where that is none that is read."""
    return _scales(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=32)
def _scales(path: Path, changed_ns: int) -> Mapping[str, Stored]:
    del changed_ns
    index = index_of(path)
    foreign = next((form for ending, form in _FOREIGN.items() if any(name.endswith(ending) for name in index)), None)
    if foreign is not None:
        raise _refused(path, foreign)
    for layer, form in _forms(path, index):
        _check_form(path, layer, form, index)
    scales = {weight: _fitting(path, weight, scale, index) for weight, scale in _scaled(index)}
    bare = [name for name, stored in index.items() if stored.dtype in _INTEGERS and name.endswith(".weight") and name not in scales]
    if bare:
        raise _refused(path, f"{index[bare[0]].dtype} without a scale for {bare[0]}")
    return scales


def _refused(path: Path, form: str) -> UnreadableModel:
    return UnreadableModel(f"{path} is quantized as {form}, which cannot be run; {WAY_OUT}")


def _forms(path: Path, index: Index) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """What the file says of the form of each quantized layer."""
    try:
        for layer, form in json.loads(metadata_of(path).get(_FORMS, "{}")).get("layers", {}).items():
            yield layer, dict(form)
        with path.open("rb") as stream:
            for name, stored in index.items():
                if name.endswith(_FORM):
                    stream.seek(stored.offset)
                    yield name.removesuffix(_FORM), dict(json.loads(stream.read(stored.size_bytes)))
    except (ValueError, TypeError, AttributeError) as error:
        raise UnreadableModel(f"{path} does not say in JSON how it is quantized; fetch it again") from error


def _check_form(path: Path, layer: str, form: Mapping[str, Any], index: Index) -> None:
    """Raise UnreadableModel unless the layer is of eight bits, as they are, and has a scale."""
    more, name = form.get("params"), str(form.get("format"))
    rotated = form.get("convrot") or (isinstance(more, Mapping) and more.get("convrot"))
    if name not in _EIGHT_BITS or rotated:
        raise _refused(path, f"{name} with a rotation (ConvRot)" if name in _EIGHT_BITS else name)
    weight = index.get(f"{layer}.weight")
    if weight is None:
        return  # it was taken out, and what was said of it left in
    if weight.dtype != _EIGHT_BITS[name]:
        raise UnreadableModel(f"{path}: {layer}.weight should be {name}, and is stored as {weight.dtype}; fetch it again")
    if not any(layer + ending in index for ending in SCALES):
        raise UnreadableModel(f"{path}: {layer}.weight is quantized, and its scale is missing; fetch it again")


def _scaled(index: Index) -> Iterator[tuple[str, Stored]]:
    for name, scale in index.items():
        layer = next((name.removesuffix(ending) for ending in SCALES if name.endswith(ending)), None)
        if layer is not None and f"{layer}.weight" in index:
            yield f"{layer}.weight", scale


def _fitting(path: Path, name: str, scale: Stored, index: Index) -> Stored:
    """The scale as (a, b), the numbers below each other and beside each other. Raises UnreadableModel where it does not fit."""
    weight = index[name]
    if weight.dtype not in _TOGETHER or scale.dtype not in _FLOATS or scale.strides is not None:
        raise _refused(path, f"{weight.dtype} with scales of {scale.dtype}")
    rows, columns = sides(weight)
    down, across = (*scale.shape, 1, 1)[:2]
    whole = down and across and rows % down == 0 and columns % across == 0 and scale.numbers == down * across
    if not whole or (across == 1 and down not in (1, rows)):
        raise UnreadableModel(f"{path}: the scale {scale.shape} of {name} does not fit its shape {weight.shape}; fetch it again")
    return Stored(scale.dtype, (down, across), scale.offset)


def sides(weight: Stored) -> tuple[int, int]:
    """Rows, and numbers in a row, of a weight as a matrix."""
    rows = weight.shape[0] if weight.shape else 1
    return rows, weight.numbers // max(rows, 1)
