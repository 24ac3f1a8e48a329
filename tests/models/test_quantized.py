"""Quantized files: every weight is to the bit what its layout says it stands for, and what cannot be read is refused by name."""

import functools
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from gguf import GGMLQuantizationType
from safetensors.torch import load_file
from transformers import T5Config, T5EncoderModel

from daemon.errors import ModelMissing
from daemon.models.checkpoints import dequantizing
from daemon.models.checkpoints.gguf_headers import TYPES
from daemon.models.checkpoints.reading import read_component
from daemon.models.checkpoints.stored import BLOCKS
from daemon.models.checkpoints.tensors import index_of
from daemon.models.on_disk import examined
from daemon.models.registry import Models, ModelSpec
from daemon.models.unreadable import UnreadableModel
from tests import originals
from tests.quantized import LAYOUTS, Weights, quantized, write_gguf

FORMS = ("Q8_0", "Q4_0", "Q4_1", "Q5_0", "Q5_1")
"""Those of GGUF that the package also writes."""
OTHERS = sorted(BLOCKS.keys() - set(FORMS))
LLAMA = "t5encoder"


class Specimens:
    """Tiny models, each made once, and what is in their folders and files."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.folder = functools.cache(lambda kind: originals.folder(root / kind, kind))
        self.weights = functools.cache(lambda kind: originals.weights(self.folder(kind), kind))


@pytest.fixture(scope="module")
def specimens(tmp_path_factory: pytest.TempPathFactory) -> Specimens:
    return Specimens(tmp_path_factory.mktemp("quantized"))


def denoiser_alone(specimens: Specimens, kind: str) -> Weights:
    prefix = f"{originals.UNET}."
    return {name.removeprefix(prefix): weight for name, weight in specimens.weights(kind).items() if name.startswith(prefix)}


def read_again(specimens: Specimens, file: Path, kind: str, dtype: str = "float32") -> Weights:
    """What the reader makes of a file of a denoiser, under the names of the original."""
    name, names = {"sd1": ("unet", originals.unet), "flux": ("transformer", originals.transformer_flux)}[kind]
    model = ModelSpec("tiny", str(specimens.folder(kind)), dtype, parts={name: str(file)})
    return names(Models(1 << 31).component(model, name))


def assert_same(found: Weights, wanted: Weights) -> None:
    assert found.keys() == wanted.keys()
    assert [name for name, weight in wanted.items() if not torch.equal(found[name], weight)] == []


# The queries, keys and values of Flux stand in one matrix each, so that rows are taken out of what is scaled.
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_weight_is_what_is_stored_times_its_scale(specimens: Specimens, layout: str, dtype: str, tmp_path: Path) -> None:
    file = tmp_path / "flux.safetensors"
    wanted = quantized(denoiser_alone(specimens, "flux"), layout, file)
    as_stored = [name for name, weight in wanted.items() if torch.equal(load_file(file)[name].float(), weight)]
    assert as_stored == [name for name, weight in wanted.items() if weight.ndim != 2], "or nothing was quantized"
    rounded = {name: weight.to(getattr(torch, dtype)) for name, weight in wanted.items()}
    assert_same(read_again(specimens, file, "flux", dtype), rounded)


def test_convolutions_are_scaled_in_a_whole_file(specimens: Specimens, tmp_path: Path) -> None:
    weights = dict(specimens.weights("sd1"))
    name = "model.diffusion_model.input_blocks.1.0.in_layers.2"
    scale = weights[f"{name}.weight"].abs().amax((1, 2, 3), keepdim=True) / 127
    small = (weights[f"{name}.weight"] / scale).round().to(torch.int8)
    weights |= {f"{name}.weight": small, f"{name}.weight_scale": scale}
    file = originals.write(weights, tmp_path / "sd1.safetensors")
    model = ModelSpec("tiny", str(file), parts=str(originals.configurations(specimens.folder("sd1"), tmp_path / "parts")))
    unet = Models(1 << 31).component(model, "unet")
    assert torch.equal(unet.down_blocks[0].resnets[0].conv1.weight, small.float() * scale)


def test_pieces_of_a_large_weight_are_worked_on_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers, scale = torch.randint(-127, 127, (50, 12), dtype=torch.int8), torch.rand(50, 3)
    whole = dequantizing.scaled(numbers, scale, torch.float32)
    monkeypatch.setattr(dequantizing, "PIECE", 40)
    assert torch.equal(dequantizing.scaled(numbers, scale, torch.float32), whole)
    assert torch.equal(whole, numbers.float() * scale.repeat_interleave(4, 1))


def with_one(weights: Weights, stored: Weights) -> Weights:
    layer = "double_blocks.0.img_mlp.0"
    return {**weights, **{f"{layer}.{name}": weight.clone() for name, weight in stored.items()}}


def form(**said: Any) -> torch.Tensor:
    return torch.tensor(list(json.dumps(said).encode()), dtype=torch.uint8)


INT8, FLOAT8 = torch.ones(128, 32, dtype=torch.int8), torch.ones(128, 32, dtype=torch.float8_e4m3fn)
PACKED, SCALE, ONE = torch.ones(128, 16, dtype=torch.uint8), torch.ones(128, 1), torch.ones(())
FOREIGN: dict[str, tuple[Weights, str]] = {
    "nvfp4": (
        {
            "weight": PACKED,
            "weight_scale": torch.ones(128, 2).to(torch.float8_e4m3fn),
            "weight_scale_2": ONE,
            "comfy_quant": form(format="nvfp4"),
        },
        "nvfp4",
    ),
    "nvfp4 without a mark": ({"weight": PACKED, "weight_scale": SCALE.to(torch.float8_e4m3fn), "weight_scale_2": ONE}, "nvfp4"),
    "mxfp8": (
        {"weight": FLOAT8, "weight_scale": torch.ones(128, 1, dtype=torch.uint8), "comfy_quant": form(format="mxfp8")},
        "mxfp8",
    ),
    "mxfp8 without a mark": (
        {"weight": FLOAT8, "weight_scale": torch.ones(128, 1, dtype=torch.uint8)},
        "F8_E4M3 with scales of U8",
    ),
    "W4A4": ({"weight": PACKED, "weight_scale": SCALE, "comfy_quant": form(format="convrot_w4a4")}, "convrot_w4a4"),
    "ConvRot": (
        {"weight": INT8, "weight_scale": SCALE, "comfy_quant": form(format="int8_tensorwise", convrot=True)},
        r"int8_tensorwise with a rotation \(ConvRot\)",
    ),
    "ConvRot in the parameters": (
        {"weight": INT8, "weight_scale": SCALE, "comfy_quant": form(format="int8_tensorwise", params={"convrot": True})},
        r"int8_tensorwise with a rotation \(ConvRot\)",
    ),
    "what nobody knows yet": ({"weight": INT8, "weight_scale": SCALE, "comfy_quant": form(format="w2a2")}, "w2a2"),
    "NF4": ({"weight": PACKED, "weight.absmax": SCALE, "weight.quant_state.bitsandbytes__nf4": PACKED}, r"NF4 \(bitsandbytes\)"),
    "FP4": ({"weight": PACKED, "weight.quant_state.bitsandbytes__fp4": PACKED}, r"FP4 \(bitsandbytes\)"),
    "int8 of bitsandbytes": ({"weight": INT8, "SCB": SCALE}, r"int8 \(bitsandbytes\)"),
    "SVDQuant": ({"qweight": INT8, "wscales": SCALE, "smooth_factor": SCALE}, r"SVDQuant \(nunchaku\)"),
    "quanto": ({"weight._data": INT8, "weight._scale": SCALE}, "optimum-quanto"),
    "integers": ({"weight": INT8}, "I8 without a scale for double_blocks.0.img_mlp.0.weight"),
}


@pytest.mark.parametrize("name", FOREIGN)
def test_what_cannot_be_dequantized_is_refused_by_name(specimens: Specimens, name: str, tmp_path: Path) -> None:
    stored, said = FOREIGN[name]
    file = originals.write(with_one(denoiser_alone(specimens, "flux"), stored), tmp_path / "m.safetensors")
    sentence = f"m.safetensors is quantized as {said}, which cannot be run; get it in float16 or bfloat16, in float8 .* or as GGUF"
    with pytest.raises(ModelMissing, match=sentence):
        read_again(specimens, file, "flux")
    assert examined(file).faults[0].startswith(f"{file} is quantized as ")


def test_a_folder_that_was_quantized_is_refused_by_name(tmp_path: Path) -> None:
    folder = originals.folder(tmp_path / "flux", "flux")
    config = folder / "transformer" / "config.json"
    config.write_text(json.dumps({**json.loads(config.read_text()), "quantization_config": {"quant_method": "bitsandbytes"}}))
    with pytest.raises(ModelMissing, match=r"transformer is quantized as bitsandbytes, which cannot be run; get it in float16"):
        Models(1 << 31).component(ModelSpec("tiny", str(folder)), "transformer")
    assert any("is quantized as bitsandbytes" in fault for fault in examined(folder).faults)


BROKEN: dict[str, tuple[Weights, str]] = {
    "no scale": ({"weight": FLOAT8, "comfy_quant": form(format="float8_e4m3fn")}, "is quantized, and its scale is missing"),
    "of another type": (
        {"weight": INT8, "weight_scale": ONE, "comfy_quant": form(format="float8_e4m3fn")},
        "should be float8_e4m3fn, and is stored as I8",
    ),
    "not JSON": ({"weight": FLOAT8, "weight_scale": ONE, "comfy_quant": torch.zeros(3, dtype=torch.uint8)}, "does not say in JSON"),
    "a list": (
        {"weight": FLOAT8, "weight_scale": ONE, "comfy_quant": torch.tensor([91, 49, 93], dtype=torch.uint8)},
        "does not say in",
    ),
    "too many rows": ({"weight": FLOAT8, "weight_scale": torch.ones(129)}, r"the scale \(129,\) of .* does not fit its shape"),
    "half the rows": ({"weight": FLOAT8, "weight_scale": torch.ones(64)}, r"the scale \(64,\) of .* does not fit its shape"),
    "none": ({"weight": FLOAT8, "weight_scale": torch.ones(0)}, r"the scale \(0,\) of .* does not fit its shape"),
}


@pytest.mark.parametrize("name", BROKEN)
def test_scales_that_do_not_fit_are_a_sentence(specimens: Specimens, name: str, tmp_path: Path) -> None:
    stored, said = BROKEN[name]
    file = originals.write(with_one(denoiser_alone(specimens, "flux"), stored), tmp_path / "m.safetensors")
    with pytest.raises(ModelMissing, match=said):
        read_again(specimens, file, "flux")


# --- GGUF


def test_blocks_and_types_are_those_of_the_package() -> None:
    for number, name in TYPES.items():
        kind = GGMLQuantizationType(number)
        assert kind.name == name
        assert name not in BLOCKS or BLOCKS[name] == gguf.GGML_QUANT_SIZES[kind]
    assert set(TYPES.values()) >= BLOCKS.keys()


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_a_denoiser_in_gguf_is_what_the_package_says(specimens: Specimens, form: str, dtype: str, tmp_path: Path) -> None:
    for kind in ("flux", "sd1"):
        file = tmp_path / f"{kind}.gguf"
        wanted = write_gguf(denoiser_alone(specimens, kind), form, file, kind)
        assert {stored.dtype for stored in index_of(file).values()} == {"F32", form}
        rounded = {name: weight.to(getattr(torch, dtype)) for name, weight in wanted.items()}
        assert_same(read_again(specimens, file, kind, dtype), rounded)


def t5_of_256(path: Path) -> tuple[T5EncoderModel, Weights]:
    """A T5 whose rows fill the blocks of every form, in a folder, and its weights as llama.cpp names them."""
    torch.manual_seed(3)
    layers = {"d_model": 256, "d_ff": 512, "d_kv": 128, "num_heads": 2, "num_layers": 2, "feed_forward_proj": "gated-gelu"}
    model = T5EncoderModel(T5Config(vocab_size=64, **layers))
    model.save_pretrained(path)
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5ENCODER, 2)
    weights = originals.t5(model)
    return model, {str(table.get_name(name, (".weight",))): weight for name, weight in weights.items()}


@pytest.mark.parametrize("form", [*FORMS, *OTHERS])
def test_a_t5_of_llama_is_what_the_package_says(form: str, tmp_path: Path) -> None:
    model, weights = t5_of_256(tmp_path / "t5")
    file = tmp_path / "t5.gguf"
    wanted = write_gguf(weights, form, file, LLAMA, quantize=form in FORMS)
    read = read_component(file, "text_encoder_2", T5EncoderModel, model.config.to_dict(), torch.float32)
    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5ENCODER, 2)
    found = {str(table.get_name(name, (".weight",))): weight for name, weight in originals.t5(read).items()}
    assert_same(found, wanted)
    assert read.encoder.embed_tokens.weight is read.shared.weight


def test_gguf_of_numbers_that_were_not_quantized_needs_no_package(
    specimens: Specimens, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights = denoiser_alone(specimens, "flux")
    wanted = write_gguf(weights, "F16", tmp_path / "flux.gguf", "flux")
    write_gguf(weights, "Q8_0", tmp_path / "small.gguf", "flux")
    monkeypatch.setitem(sys.modules, "gguf", None)
    assert_same(read_again(specimens, tmp_path / "flux.gguf", "flux"), wanted)
    with pytest.raises(ModelMissing, match=r"Q8_0, which the package `gguf` reads, .* not installed: run `\S+/pip install 'gguf>="):
        read_again(specimens, tmp_path / "small.gguf", "flux")


def test_a_whole_model_in_gguf_is_told_for_what_it_is(specimens: Specimens, tmp_path: Path) -> None:
    for kind, family in (
        ("sd1", "Stable Diffusion 1 or 2"),
        ("sdxl", "Stable Diffusion XL"),
        ("sd3", "Stable Diffusion 3"),
        ("flux", "Flux"),
    ):
        file = tmp_path / f"{kind}.gguf"
        write_gguf(dict(specimens.weights(kind)), "Q8_0", file, kind)
        assert examined(file).family == family
        assert "Q8_0" in examined(file).dtypes


def test_an_outermost_side_of_one_may_be_missing(specimens: Specimens, tmp_path: Path) -> None:
    weights = denoiser_alone(specimens, "sd3")
    positions = weights["pos_embed"]
    write_gguf({**weights, "pos_embed": positions[0]}, "Q8_0", tmp_path / "sd3.gguf", "sd3")
    model = ModelSpec("tiny", str(tmp_path / "sd3.gguf"), parts=str(specimens.folder("sd3")))
    found = Models(1 << 31).component(model, "transformer").pos_embed.pos_embed
    assert found.shape == positions.shape
    assert torch.allclose(found, positions, atol=0.05)


def of_another_version(file: Path) -> None:
    file.write_bytes(b"GGUF" + (9).to_bytes(4, "little") + bytes(16))


def of_another_type(file: Path) -> None:
    data = bytearray(file.read_bytes())
    at = data.index(b"img_in.weight") + len("img_in.weight") + 4 + 16
    data[at : at + 4] = (77).to_bytes(4, "little")
    file.write_bytes(data)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (of_another_version, "is a GGUF file of version 9"),
        (of_another_type, "holds numbers of type 77 of GGUF, which cannot be read"),
        (lambda file: file.write_bytes(file.read_bytes()[:-64]), "is cut off"),
    ],
)
def test_what_is_wrong_with_a_gguf_file_is_a_sentence(
    specimens: Specimens, change: Callable[[Path], None], said: str, tmp_path: Path
) -> None:
    file = tmp_path / "flux.gguf"
    write_gguf(denoiser_alone(specimens, "flux"), "Q8_0", file, "flux")
    change(file)
    with pytest.raises(UnreadableModel, match=said):
        index_of(file)


def test_no_header_of_gguf_is_more_than_a_sentence(tmp_path: Path) -> None:
    whole = tmp_path / "whole.gguf"
    write_gguf({"a.weight": torch.randn(4, 32), "b.weight": torch.randn(2, 3)}, "Q8_0", whole, "flux")
    data, file, refused = whole.read_bytes(), tmp_path / "broken.gguf", 0
    header, source = len(data) - 160, torch.Generator().manual_seed(5)
    for number in range(600):
        broken = bytearray(data)
        at = 4 + int(torch.randint(header - 4, (1,), generator=source))
        broken[at : at + 8] = b"\xff" * 8 if number % 2 else bytes(torch.randint(256, (8,), generator=source).tolist())
        file.write_bytes(bytes(broken) if number % 3 else data[:at])
        try:
            index_of(file)
        except UnreadableModel:
            refused += 1
    assert refused > 300
