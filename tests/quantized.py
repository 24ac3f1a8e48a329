"""Weights in eight bits and fewer as other programs write them, and what each stands for, computed apart from the reader."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType
from safetensors.torch import save_file

Weights = dict[str, torch.Tensor]
BLOCK = 8
"""The side of the blocks of those layouts that have a scale for each."""


def _float8(weight: torch.Tensor, dtype: torch.dtype = torch.float8_e4m3fn) -> tuple[torch.Tensor, torch.Tensor]:
    scale = weight.abs().amax() / torch.finfo(dtype).max
    return (weight / scale).to(dtype), scale


def _int8(weight: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    return (weight / scale).round().to(torch.int8)


def _one(layer: str, weight: torch.Tensor, dtype: torch.dtype, scale: str) -> tuple[Weights, torch.Tensor]:
    small, by = _float8(weight, dtype)
    return {f"{layer}.weight": small, f"{layer}.{scale}": by}, small.float() * by


def _rows(layer: str, weight: torch.Tensor, *, column: bool) -> tuple[Weights, torch.Tensor]:
    by = weight.flatten(1).abs().amax(1, keepdim=True) / 127
    small = _int8(weight, by.reshape(-1, *[1] * (weight.ndim - 1)))
    wanted = torch.stack([row.float() * scale for row, scale in zip(small, by[:, 0], strict=True)])
    return {f"{layer}.weight": small, f"{layer}.weight_scale": by if column else by[:, 0]}, wanted


def _blocks(layer: str, weight: torch.Tensor) -> tuple[Weights, torch.Tensor]:
    rows, columns = weight.shape
    by, small, wanted = torch.empty(rows // BLOCK, columns // BLOCK), torch.empty(weight.shape, dtype=torch.int8), weight.clone()
    for down in range(rows // BLOCK):
        for across in range(columns // BLOCK):
            place = np.s_[down * BLOCK : (down + 1) * BLOCK, across * BLOCK : (across + 1) * BLOCK]
            by[down, across] = weight[place].abs().amax() / 127
            small[place] = _int8(weight[place], by[down, across])
            wanted[place] = small[place].float() * by[down, across]
    return {f"{layer}.weight": small, f"{layer}.weight_scale": by}, wanted


def _form(layer: str, **said: Any) -> Weights:
    return {f"{layer}.comfy_quant": torch.tensor(list(json.dumps(said).encode()), dtype=torch.uint8)}


def _comfy_e4m3(layer: str, weight: torch.Tensor) -> tuple[Weights, torch.Tensor]:
    made, wanted = _one(layer, weight, torch.float8_e4m3fn, "weight_scale")
    beside = {f"{layer}.input_scale": torch.tensor(0.03), **_form(layer, format="float8_e4m3fn", full_precision_matrix_mult=True)}
    return {**made, **beside}, wanted


def _comfy_e5m2(layer: str, weight: torch.Tensor) -> tuple[Weights, torch.Tensor]:
    made, wanted = _one(layer, weight, torch.float8_e5m2, "weight_scale")
    return {**made, **_form(layer, format="float8_e5m2")}, wanted


def _unmarked(layer: str, weight: torch.Tensor) -> tuple[Weights, torch.Tensor]:
    return _one(layer, weight, torch.float8_e4m3fn, "weight_scale")


def _of_before(layer: str, weight: torch.Tensor) -> tuple[Weights, torch.Tensor]:
    made, wanted = _one(layer, weight, torch.float8_e4m3fn, "scale_weight")
    return {**made, f"{layer}.scale_input": torch.tensor(1.0)}, wanted


def _int8_whole(layer: str, weight: torch.Tensor) -> tuple[Weights, torch.Tensor]:
    by = weight.abs().amax().reshape(1) / 127
    small = _int8(weight, by)
    return {f"{layer}.weight": small, f"{layer}.weight_scale": by, **_form(layer, format="int8_tensorwise")}, small.float() * by


def _int8_rows(layer: str, weight: torch.Tensor) -> tuple[Weights, torch.Tensor]:
    made, wanted = _rows(layer, weight, column=True)
    return {**made, **_form(layer, format="int8_tensorwise")}, wanted


def _int8_row(layer: str, weight: torch.Tensor) -> tuple[Weights, torch.Tensor]:
    return _rows(layer, weight, column=False)


def _int8_blocks(layer: str, weight: torch.Tensor) -> tuple[Weights, torch.Tensor]:
    made, wanted = _blocks(layer, weight)
    return {**made, **_form(layer, format="int8_blockwise", group_size=BLOCK)}, wanted


LAYOUTS: Mapping[str, Callable[[str, torch.Tensor], tuple[Weights, torch.Tensor]]] = {
    "float8_e4m3fn of ComfyUI": _comfy_e4m3,
    "float8_e5m2 of ComfyUI": _comfy_e5m2,
    "float8 without a mark": _unmarked,
    "float8 told in the metadata": _unmarked,
    "scaled_fp8": _of_before,
    "int8 with one scale": _int8_whole,
    "int8 with a scale for each row": _int8_rows,
    "int8 with a scale for each row, without a mark": _int8_row,
    "int8 in blocks": _int8_blocks,
}
"""What makes of a layer's weight that which is stored, and what it stands for in float32."""


def quantized(weights: Weights, layout: str, path: Path) -> Weights:
    """Write a file with its matrices in a layout; return what its weights stand for."""
    made: Weights = {}
    wanted = {name: weight.float() for name, weight in weights.items()}
    for name, weight in weights.items():
        if name.endswith(".weight") and weight.ndim == 2:
            stored, wanted[name] = LAYOUTS[layout](name.removesuffix(".weight"), weight.float())
            made |= stored
        else:
            made[name] = weight
    if layout == "scaled_fp8":
        made["scaled_fp8"] = torch.zeros(2, dtype=torch.float8_e4m3fn)
    layers = {name.removesuffix(".weight_scale"): {"format": "float8_e4m3fn"} for name in made if name.endswith(".weight_scale")}
    told = {"_quantization_metadata": json.dumps({"format_version": "1.0", "layers": layers})}
    save_file({name: weight.contiguous() for name, weight in made.items()}, path, told if "metadata" in layout else None)
    return wanted


def random_blocks(shape: tuple[int, ...], form: str) -> np.ndarray:
    """The bytes of numbers that nobody quantized: what is below 0x3c in a byte makes no infinity of a half float."""
    rows = gguf.quant_shape_to_byte_shape(shape, GGMLQuantizationType[form])
    return np.random.default_rng(sum(shape)).integers(0, 0x3C, rows, dtype=np.uint8)


def write_gguf(weights: Weights, form: str, path: Path, arch: str, *, quantize: bool = True) -> Weights:
    """Write a GGUF file as ComfyUI-GGUF and llama.cpp do, its matrices in a form; return what its weights stand for.

    Without `quantize` the blocks are random: of some forms the package can only read."""
    kind = GGMLQuantizationType[form]
    numbers = gguf.GGML_QUANT_SIZES[kind][0]
    writer, wanted = gguf.GGUFWriter(path, arch), {}
    writer.add_array("tokenizer.ggml.tokens", ["a", "vocabulary", "is", "passed", "over"])
    writer.add_array("tokenizer.ggml.scores", [0.5, 1.5])
    for name, weight in weights.items():
        exact = weight.float().contiguous().numpy()
        if exact.ndim < 2 or exact.size % numbers:
            writer.add_tensor(name, exact)
            wanted[name] = weight.float()
            continue
        rows = exact.reshape(len(exact), -1)
        whole = exact if exact.shape[-1] % numbers == 0 else rows if rows.shape[1] % numbers == 0 else exact.reshape(-1, numbers)
        if whole is not exact:
            writer.add_array(f"comfy.gguf.orig_shape.{name}", list(map(int, exact.shape)))
        blocks = gguf.quantize(whole, kind) if quantize else random_blocks(whole.shape, form)
        writer.add_tensor(name, blocks, raw_dtype=kind)
        wanted[name] = torch.from_numpy(np.array(gguf.dequantize(blocks, kind), dtype=np.float32)).reshape(weight.shape)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return wanted
