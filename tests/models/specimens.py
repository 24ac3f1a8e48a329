"""Headers of files as they are released: the names, types and shapes of each weight, and holes in the place of the numbers.

They are made of the classes of diffusers and transformers on the meta device, in the sizes that the releases have; what stands in
a file under other names is renamed by `tests/originals.py`, which owes nothing to the reader. Of models for which there is no class
at hand, or none under the names of the release, a specimen has the weights by which ComfyUI and diffusers know them, and no more:
`whole` says which."""

import functools
import json
import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import diffusers
import torch
import transformers

from tests import originals
from tests.full_size import parts_of
from tests.originals import UNET, Weights, named, state

HALF, WHOLE, BRAIN, EIGHT = torch.float16, torch.float32, torch.bfloat16, torch.float8_e4m3fn


@dataclass(frozen=True)
class Specimen:
    """`what` it is, for people; `called` the words by which a refusal must name it, None where it may be run. `form` is that of a
    GGUF file."""

    what: str
    make: Callable[[], Weights]
    called: str | None = None
    whole: bool = True
    form: str | None = None


def meta(*shape: int, dtype: torch.dtype = HALF) -> torch.Tensor:
    return torch.empty(shape, dtype=dtype, device="meta")


def typed(weights: Mapping[str, torch.Tensor], dtype: torch.dtype = HALF) -> Weights:
    return {name: weight.to(dtype) for name, weight in weights.items()}


def marks(**shapes: tuple[int, ...]) -> Weights:
    """Weights by name, with two underscores for a dot."""
    return {name.replace("__", "."): meta(*shape) for name, shape in shapes.items()}


@functools.cache
def model(library: Any, name: str, **config: Any) -> Any:
    """A model of this class and configuration on the meta device, in the sizes of the class where none are given."""
    cls = getattr(library, name)
    with torch.device("meta"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # diffusers' ControlNet of Flux takes what diffusers itself has moved
        return cls(cls.config_class(**config)) if hasattr(cls, "config_class") else cls(**config)


def in_diffusers(name: str, **config: Any) -> Weights:
    """A component as diffusers writes it."""
    return typed(state(model(diffusers, name, **config)), BRAIN)


# --- models in one file


@functools.cache
def component(configs: str, name: str) -> Any:
    return getattr(parts_of(configs), name)


@functools.cache
def original(configs: str, kind: str) -> Mapping[str, torch.Tensor]:
    return typed(originals.KINDS[kind](parts_of(configs)))


def whole(configs: str, kind: str, *without: str) -> Weights:
    """A file of all components, but for those with these prefixes."""
    return {name: weight for name, weight in original(configs, kind).items() if not name.startswith(without or ("-",))}


sd1 = functools.partial(whole, "stable-diffusion-1", "sd1")
sd2 = functools.partial(whole, "stable-diffusion-2-epsilon", "sd2")
xl = functools.partial(whole, "stable-diffusion-xl", "sdxl")
sd3 = functools.partial(whole, "stable-diffusion-3-medium", "sd3")
flux_whole = functools.partial(whole, "flux-dev", "flux")
FIRST = f"{UNET}.input_blocks.0.0.weight"
V_BIAS = f"{UNET}.output_blocks.11.1.transformer_blocks.0.norm1.bias"


def of_channels(weights: Weights, channels: int) -> Weights:
    """The same with a UNet that takes more beside the latents."""
    return {**weights, FIRST: meta(320, channels, 3, 3)}


def guided(weights: Weights) -> Weights:
    """As a consistency model, which takes the guidance as a condition of 256 numbers."""
    return {**weights, f"{UNET}.time_embed.cond_proj.weight": meta(320, 256)}


def averaged(weights: Weights) -> Weights:
    """With the trainer's averages of all weights of the UNet, whose names have lost their dots."""
    averages = {
        f"model_ema.{name.removeprefix('model.').replace('.', '')}": weights[name] for name in weights if name.startswith(UNET)
    }
    return {**weights, **averages, "model_ema.decay": meta(dtype=WHOLE), "model_ema.num_updates": meta(dtype=torch.int64)}


def biased(weights: Weights, deviation: float) -> Weights:
    """With the numbers that tell what Stable Diffusion 2 predicts."""
    return {**weights, V_BIAS: (torch.arange(320) % 2 * 2 - 1).half() * deviation}


def alone(weights: Weights, prefix: str = UNET) -> Weights:
    """One component, without the prefix that it has in the file of a whole model."""
    return {name.removeprefix(f"{prefix}."): weight for name, weight in weights.items() if name.startswith(f"{prefix}.")}


@functools.cache
def unet_like_xl(kind: str) -> Any:
    """A UNet that differs from that of XL as one of these kinds does."""
    shipped = {**component("stable-diffusion-xl", "unet").config, **LIKE_XL[kind]}
    del shipped["_use_default_values"]  # which diffusers would take back to its own
    with torch.device("meta"):
        return diffusers.UNet2DConditionModel.from_config(shipped)


def with_unet(weights: Weights, unet: Any) -> Weights:
    """The file of a whole model with another UNet in it."""
    rest = {name: weight for name, weight in weights.items() if not name.startswith(UNET)}
    projection = {} if unet.encoder_hid_proj is None else named(state(unet.encoder_hid_proj), "encoder_hid_proj")
    return {**rest, **named(typed({**originals.unet(unet), **projection}), UNET)}


_NO_ATTENTION = {"mid_block_type": "UNetMidBlock2D"}
LIKE_XL: Mapping[str, Mapping[str, Any]] = {
    "SSD-1B": {
        **_NO_ATTENTION,
        "transformer_layers_per_block": [1, [2, 2], [4, 4]],
        "reverse_transformer_layers_per_block": [[4, 4, 10], [2, 1, 1], 1],
    },
    "Segmind-Vega": {
        **_NO_ATTENTION,
        "transformer_layers_per_block": [1, [1, 1], [2, 2]],
        "reverse_transformer_layers_per_block": [[2, 2, 2], [1, 1, 1], 1],
    },
    "KOALA 700M": {"transformer_layers_per_block": [1, 2, 5], "layers_per_block": 1, "mid_block_type": None},
    "KOALA 1B": {"transformer_layers_per_block": [1, 2, 6], "layers_per_block": 1},
    "Kolors": {"encoder_hid_dim": 4096, "encoder_hid_dim_type": "text_proj", "projection_class_embeddings_input_dim": 5632},
}


@functools.cache
def flux(schnell: bool = False, channels: int = 64) -> Mapping[str, torch.Tensor]:
    """The transformer of Flux alone, as Black Forest Labs released it."""
    transformer = originals.transformer_flux(parts_of("flux-schnell" if schnell else "flux-dev").transformer)
    return typed({**transformer, "img_in.weight": meta(3072, channels)}, BRAIN)


def flux_lite() -> Weights:
    """Flux with eight of its nineteen double blocks."""
    return {name: weight for name, weight in flux().items() if not re.match(r"double_blocks\.([89]|1\d)\.", name)}


def sd3_alone(configs: str) -> Weights:
    """The transformer and the VAE, as Stability AI released them."""
    return whole(configs, "sd3.5", "text_encoders.")


# --- quantized


def matrices(weights: Mapping[str, torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """The weights that programs quantize: those of the linear layers of the blocks, by the layer."""
    return {
        name.removesuffix(".weight"): weight
        for name, weight in weights.items()
        if name.endswith(".weight") and weight.ndim == 2 and "blocks." in name
    }


def form_of(name: str) -> torch.Tensor:
    """What ComfyUI writes beside a quantized weight."""
    return torch.tensor(list(json.dumps({"format": name}).encode()), dtype=torch.uint8)


def quantized(weights: Mapping[str, torch.Tensor], instead: Callable[[str, int, int], Weights]) -> Weights:
    """The weights, and in the place of each matrix what a form has for it, called by the layer, its rows and its columns."""
    found = matrices(weights)
    rest = {name: weight for name, weight in weights.items() if name.removesuffix(".weight") not in found}
    return {**rest, **{key: made for name, weight in found.items() for key, made in instead(name, *weight.shape).items()}}


def scaled_fp8(layer: str, rows: int, columns: int) -> Weights:
    return {f"{layer}.weight": meta(rows, columns, dtype=EIGHT), f"{layer}.scale_weight": meta(1, dtype=WHOLE)}


def comfy_fp8(layer: str, rows: int, columns: int) -> Weights:
    scales = {f"{layer}.weight_scale": meta(dtype=WHOLE), f"{layer}.input_scale": meta(dtype=WHOLE)}
    return {f"{layer}.weight": meta(rows, columns, dtype=EIGHT), **scales, f"{layer}.comfy_quant": form_of("float8_e4m3fn")}


def nvfp4(layer: str, rows: int, columns: int) -> Weights:
    scales = {f"{layer}.weight_scale": meta(rows, columns // 16, dtype=EIGHT), f"{layer}.weight_scale_2": meta(dtype=WHOLE)}
    return {f"{layer}.weight": meta(rows, columns // 2, dtype=torch.uint8), **scales, f"{layer}.comfy_quant": form_of("nvfp4")}


def nf4(layer: str, rows: int, columns: int) -> Weights:
    numbers = rows * columns
    beside = {f"{layer}.weight.absmax": meta(numbers // 64, dtype=WHOLE), f"{layer}.weight.quant_map": meta(16, dtype=WHOLE)}
    state_of = {f"{layer}.weight.quant_state.bitsandbytes__nf4": meta(80, dtype=torch.uint8)}
    return {f"{layer}.weight": meta(numbers // 2, 1, dtype=torch.uint8), **beside, **state_of}


def eight_bits(weights: Weights) -> Weights:
    """All weights in float8, without scales, as people pack a whole Flux."""
    return typed(weights, EIGHT)


# --- components alone


def t5_of_llama() -> Weights:
    """The encoder of T5 as llama.cpp names it."""
    import gguf

    table = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5ENCODER, 24)
    weights = originals.t5(component("flux-dev", "text_encoder_2"))
    return {str(table.get_name(name, (".weight",))): weight for name, weight in weights.items()}


def umt5() -> Weights:
    sizes = {"vocab_size": 256384, "d_model": 4096, "d_ff": 10240, "num_layers": 24, "num_heads": 64}
    encoder = model(transformers, "UMT5EncoderModel", **sizes, feed_forward_proj="gated-gelu")
    return typed(originals.t5(encoder), BRAIN)


def language_model() -> Weights:
    """The encoder of the words of Z-Image."""
    sizes = {
        "hidden_size": 2560,
        "intermediate_size": 9728,
        "num_hidden_layers": 36,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
    }
    return typed(state(model(transformers, "Qwen3ForCausalLM", **sizes, head_dim=128, tie_word_embeddings=True)), BRAIN)


def clip_vision() -> Weights:
    sizes = {"hidden_size": 1280, "intermediate_size": 5120, "num_hidden_layers": 32, "num_attention_heads": 16, "patch_size": 14}
    return typed(state(model(transformers, "CLIPVisionModelWithProjection", **sizes, projection_dim=1024)))


# --- adapters


def linear_layers(part: torch.nn.Module) -> list[tuple[str, int, int]]:
    """Name, rows and columns of the linear layers within the attentions of a model."""
    layers = [(name, it) for name, it in part.named_modules() if isinstance(it, torch.nn.Linear) and "transformer_blocks" in name]
    return [(name, layer.out_features, layer.in_features) for name, layer in layers]


def kohya(part: Any, prefix: str, rank: int = 16) -> Weights:
    """A LoRA as kohya's scripts write it."""
    made = {}
    for name, rows, columns in linear_layers(part):
        layer = f"{prefix}_{name.replace('.', '_')}"
        made |= {
            f"{layer}.lora_down.weight": meta(rank, columns),
            f"{layer}.lora_up.weight": meta(rows, rank),
            f"{layer}.alpha": meta(),
        }
    return made


def peft(part: Any, prefix: str, rank: int = 16) -> Weights:
    """A LoRA as diffusers writes it."""
    layers = [(f"{prefix}.{name}", rows, columns) for name, rows, columns in linear_layers(part)]
    down = {f"{layer}.lora_A.weight": meta(rank, columns) for layer, _, columns in layers}
    return down | {f"{layer}.lora_B.weight": meta(rows, rank) for layer, rows, _ in layers}


def lokr(part: Any, prefix: str) -> Weights:
    made = {}
    for name, rows, columns in linear_layers(part):
        layer = f"{prefix}_{name.replace('.', '_')}"
        made |= {f"{layer}.lokr_w1": meta(4, 4), f"{layer}.lokr_w2": meta(rows // 4, columns // 4), f"{layer}.alpha": meta()}
    return made


def loha(part: Any, prefix: str, rank: int = 8) -> Weights:
    made = {}
    for name, rows, columns in linear_layers(part):
        layer = f"{prefix}_{name.replace('.', '_')}.hada"
        made |= {f"{layer}_{half}_a": meta(rows, rank) for half in ("w1", "w2")}
        made |= {f"{layer}_{half}_b": meta(rank, columns) for half in ("w1", "w2")}
    return made


def controlnet() -> Weights:
    """ControlNet of Stable Diffusion 1 under the names of its original code: the way down, and a convolution behind each layer."""
    net = model(diffusers, "ControlNetModel", cross_attention_dim=768)
    found = named(state(net.time_embedding), "time_embed", ("linear_1", "0"), ("linear_2", "2"))
    found |= named(state(net.conv_in), "input_blocks.0.0")
    number = 1
    for block in net.down_blocks:
        for layer in range(len(block.resnets)):
            found |= originals.layer_within(block, layer, f"input_blocks.{number}")
            number += 1
        for sampler in block.downsamplers or ():
            found |= named(state(sampler.conv), f"input_blocks.{number}.0.op")
            number += 1
    for place, resnet in zip((0, 2), net.mid_block.resnets, strict=True):
        found |= named(state(resnet), f"middle_block.{place}", *originals.RESNET)
    found |= named(state(net.mid_block.attentions[0]), "middle_block.1") | named(
        state(net.controlnet_mid_block), "middle_block_out.0"
    )
    for number, convolution in enumerate(net.controlnet_down_blocks):
        found |= named(state(convolution), f"zero_convs.{number}.0")
    hint = net.controlnet_cond_embedding
    for number, convolution in enumerate((hint.conv_in, *hint.blocks, hint.conv_out)):
        found |= named(state(convolution), f"input_hint_block.{2 * number}")
    return typed(named(found, "control_model"))


def ip_adapter() -> Weights:
    """IP-Adapter of Stable Diffusion 1: keys and values for each attention to the words, which have every second number."""
    projection = {"image_proj.proj.weight": meta(3072, 1024), "image_proj.proj.bias": meta(3072)}
    projection |= {f"image_proj.norm.{kind}": meta(768) for kind in ("weight", "bias")}
    attentions = [layer for layer in component("stable-diffusion-1", "unet").modules() if type(layer).__name__ == "Attention"]
    for number, layer in enumerate(attentions):
        if layer.is_cross_attention:
            projection |= {f"ip_adapter.{number}.to_{it}_ip.weight": meta(layer.inner_dim, 768) for it in "kv"}
    return projection


def redux() -> Weights:
    """What makes words for Flux of a picture."""
    return marks(
        redux_up__weight=(12288, 1152), redux_up__bias=(12288,), redux_down__weight=(4096, 12288), redux_down__bias=(4096,)
    )


def esrgan() -> Weights:
    """RRDBNet with 23 blocks and a scale of four, as ESRGAN was released."""
    made: Weights = {}

    def convolution(name: str, into: int, out: int) -> None:
        made.update({f"model.{name}.weight": meta(out, into, 3, 3), f"model.{name}.bias": meta(out)})

    convolution("0", 3, 64)
    for block in range(23):
        for dense in (1, 2, 3):
            for number in range(1, 6):
                place = f"1.sub.{block}.RDB{dense}.conv{number}.0"
                convolution(place, 64 + 32 * (number - 1), 64 if number == 5 else 32)
    for name in ("1.sub.23", "3", "6", "8"):
        convolution(name, 64, 64)
    convolution("10", 64, 3)
    return made


def z_image() -> Weights:
    """Z-Image as ComfyUI has it: queries, keys and values in one matrix."""
    found: Weights = {}
    for name, weight in in_diffusers("ZImageTransformer2DModel").items():
        if ".to_k." in name or ".to_v." in name:
            continue
        name = name.replace("all_final_layer.2-1.", "final_layer.").replace("all_x_embedder.2-1.", "x_embedder.")
        name = (
            name.replace(".attention.to_out.0.", ".attention.out.").replace(".norm_q.", ".q_norm.").replace(".norm_k.", ".k_norm.")
        )
        fused = ".to_q." in name
        found[name.replace(".to_q.", ".qkv.")] = meta(3 * weight.shape[0], weight.shape[1], dtype=BRAIN) if fused else weight
    return found


def ltx() -> Weights:
    """LTX-Video under the names of its release."""
    renamed = {"proj_in": "patchify_proj", "time_embed": "adaln_single", "norm_q": "q_norm", "norm_k": "k_norm"}
    found = {}
    for name, weight in in_diffusers("LTXVideoTransformer3DModel").items():
        for ours, theirs in renamed.items():
            name = name.replace(ours, theirs)
        found[f"{UNET}.{name}"] = weight
    return found


def svd() -> Weights:
    """The weights of Stable Video Diffusion that tell it, beside those that it has of Stable Diffusion 2."""
    unet = f"{UNET}.input_blocks.1"
    return {
        FIRST: meta(320, 8, 3, 3),
        f"{unet}.0.time_stack.in_layers.0.weight": meta(320),
        f"{unet}.0.time_mixer.mix_factor": meta(1),
        f"{unet}.1.time_stack.0.attn1.to_q.weight": meta(320, 320),
        f"{unet}.1.transformer_blocks.0.attn2.to_k.weight": meta(320, 1024),
        "conditioner.embedders.0.open_clip.model.visual.proj": meta(1280, 1024),
        "first_stage_model.decoder.conv_in.weight": meta(512, 4, 3, 3),
    }


MEDIUM, MEDIUM_3_5, LARGE_3_5 = "stable-diffusion-3-medium", "stable-diffusion-3.5-medium", "stable-diffusion-3.5-large"
CLIPS, T5 = ("text_encoders.clip_l", "text_encoders.clip_g"), "text_encoders.t5xxl"
TEXT, FIRST_STAGE = "cond_stage_model", "first_stage_model"
IN_DIFFUSERS = "one component of a folder in diffusers layout"

SPECIMENS: Mapping[str, Specimen] = {
    # Stable Diffusion 1
    "sd1-fp16": Specimen("Stable Diffusion 1.5 in float16", sd1),
    "sd1-fp32": Specimen("Stable Diffusion 1.5 in float32", lambda: typed(sd1(), WHOLE)),
    "sd1-bf16": Specimen("Stable Diffusion 1.5 in bfloat16", lambda: typed(sd1(), BRAIN)),
    "sd1-fp8": Specimen("Stable Diffusion 1.5 in float8", lambda: eight_bits(sd1())),
    "sd1-ema": Specimen(
        "Stable Diffusion 1.4 with the averages of the training, in float32", lambda: averaged(typed(sd1(), WHOLE))
    ),
    "sd1-position-ids": Specimen(
        "a merge of Stable Diffusion 1 with the table of positions",
        lambda: {**sd1(), f"{TEXT}.transformer.text_model.embeddings.position_ids": meta(1, 77, dtype=torch.int64)},
    ),
    "sd1-without-vae": Specimen("Stable Diffusion 1.5, pruned of its VAE", lambda: sd1(FIRST_STAGE)),
    "sd1-without-text": Specimen("Stable Diffusion 1.5 without its text encoder", lambda: sd1(TEXT)),
    "sd1-unet": Specimen("the UNet of Stable Diffusion 1.5 alone", lambda: sd1(TEXT, FIRST_STAGE)),
    "sd1-unet-bare": Specimen("the same without the prefix", lambda: alone(sd1())),
    "sd1-unet-gguf": Specimen("the same in GGUF", lambda: alone(sd1()), form="Q8_0"),
    "sd1-inpainting": Specimen("Stable Diffusion 1.5 for inpainting", lambda: of_channels(sd1(), 9)),
    "sd1-lcm": Specimen("LCM Dreamshaper, distilled for consistency", lambda: guided(sd1())),
    "sd1-instruct-pix2pix": Specimen("InstructPix2Pix", lambda: of_channels(sd1(), 8), "InstructPix2Pix"),
    "zero123": Specimen(
        "Zero123",
        lambda: of_channels(sd1(), 8) | {"cc_projection.weight": meta(768, 772), "cc_projection.bias": meta(768)},
        "Zero123",
        whole=False,
    ),
    # Stable Diffusion 2
    "sd2-base": Specimen("Stable Diffusion 2.1 base", lambda: biased(sd2(), 0.02)),
    "sd2-v": Specimen("Stable Diffusion 2.1, which predicts v", lambda: biased(sd2(), 0.2)),
    "sd2-inpainting": Specimen("Stable Diffusion 2 for inpainting", lambda: of_channels(sd2(), 9)),
    "sd2-depth": Specimen("Stable Diffusion 2 with depth", lambda: of_channels(sd2(), 5), "depth", whole=False),
    "sd2-unclip": Specimen(
        "Stable Diffusion 2.1 unCLIP",
        lambda: sd2() | {f"{UNET}.label_emb.0.0.weight": meta(1280, 2048), f"{UNET}.label_emb.0.0.bias": meta(1280)},
        "unCLIP",
        whole=False,
    ),
    "sd2-x4-upscaler": Specimen(
        "Stable Diffusion x4 upscaler",
        lambda: of_channels(sd2(), 7) | {f"{UNET}.label_emb.weight": meta(1000, 1280)},
        "upscaling",
        whole=False,
    ),
    # Stable Diffusion XL
    "xl-base": Specimen("Stable Diffusion XL", xl),
    "xl-turbo": Specimen("SDXL Turbo: the weights of XL by name and shape", xl),
    "xl-unet": Specimen("the UNet of Stable Diffusion XL alone", lambda: xl("conditioner", FIRST_STAGE)),
    "xl-without-vae": Specimen("Stable Diffusion XL, pruned of its VAE", lambda: xl(FIRST_STAGE)),
    "xl-inpainting": Specimen("Stable Diffusion XL for inpainting", lambda: of_channels(xl(), 9)),
    "xl-v-prediction": Specimen("NoobAI-XL v-pred, with the marks of its trainer", lambda: xl() | marks(v_pred=(0,), ztsnr=(0,))),
    "xl-lcm": Specimen("LCM of XL, distilled for consistency", lambda: guided(xl())),
    "xl-refiner": Specimen("the refiner of XL", lambda: whole("stable-diffusion-xl-refiner", "refiner")),
    "ssd-1b": Specimen("SSD-1B", lambda: with_unet(xl(), unet_like_xl("SSD-1B")), "SSD-1B"),
    "segmind-vega": Specimen("Segmind-Vega", lambda: with_unet(xl(), unet_like_xl("Segmind-Vega")), "Segmind-Vega"),
    "koala-700m": Specimen("KOALA 700M", lambda: with_unet(xl(), unet_like_xl("KOALA 700M")), "KOALA"),
    "koala-1b": Specimen("KOALA 1B", lambda: with_unet(xl(), unet_like_xl("KOALA 1B")), "KOALA"),
    "kolors": Specimen("Kolors under the names of XL", lambda: with_unet(xl("conditioner"), unet_like_xl("Kolors")), "Kolors"),
    "kolors-diffusers": Specimen("its UNet in diffusers layout", lambda: typed(state(unet_like_xl("Kolors"))), "Kolors"),
    "playground-2.5": Specimen("Playground 2.5", lambda: xl() | marks(edm_mean=(1, 4, 1, 1), edm_std=(1, 4, 1, 1)), "Playground"),
    "cosxl": Specimen("CosXL", lambda: xl() | marks(edm_vpred__sigma_max=(), edm_vpred__sigma_min=()), "CosXL"),
    "cosxl-edit": Specimen(
        "CosXL Edit", lambda: of_channels(xl(), 8) | marks(edm_vpred__sigma_max=(), edm_vpred__sigma_min=()), "CosXL"
    ),
    "xl-instruct-pix2pix": Specimen("InstructPix2Pix of XL", lambda: of_channels(xl(), 8), "InstructPix2Pix"),
    "svd": Specimen("Stable Video Diffusion", svd, "Stable Video Diffusion", whole=False),
    "svd-diffusers": Specimen(
        "its UNet in diffusers layout", lambda: in_diffusers("UNetSpatioTemporalConditionModel"), "Stable Video Diffusion"
    ),
    # Stable Diffusion 3
    "sd3-medium": Specimen("Stable Diffusion 3 medium without text encoders", lambda: sd3("text_encoders.")),
    "sd3-medium-clips": Specimen("Stable Diffusion 3 medium with both CLIPs", lambda: sd3(T5)),
    "sd3-medium-t5": Specimen("Stable Diffusion 3 medium with both CLIPs and T5 in float16", sd3),
    "sd3-medium-t5-fp8": Specimen(
        "the same with T5 in float8", lambda: {n: w.to(EIGHT) if n.startswith(T5) else w for n, w in sd3().items()}
    ),
    "sd3.5-medium": Specimen("Stable Diffusion 3.5 medium", lambda: sd3_alone(MEDIUM_3_5)),
    "sd3.5-medium-clips": Specimen("Stable Diffusion 3.5 medium with both CLIPs", lambda: whole(MEDIUM_3_5, "sd3.5", T5)),
    "sd3.5-large": Specimen(
        "Stable Diffusion 3.5 large and its turbo, which has the same names and shapes", lambda: sd3_alone(LARGE_3_5)
    ),
    "sd3.5-large-t5": Specimen("Stable Diffusion 3.5 large with CLIPs and T5", lambda: whole(LARGE_3_5, "sd3.5")),
    "sd3-transformer": Specimen("the transformer of Stable Diffusion 3 alone", lambda: alone(sd3())),
    "sd3-gguf": Specimen("the transformer of Stable Diffusion 3.5 large in GGUF", lambda: alone(sd3_alone(LARGE_3_5)), form="Q4_K"),
    "sd3-controlnet": Specimen(
        "a ControlNet of Stable Diffusion 3 in diffusers layout",
        lambda: in_diffusers("SD3ControlNetModel", extra_conditioning_channels=1),
        "ControlNet",
    ),
    # Flux
    "flux-dev": Specimen("Flux dev and Flux Kontext, which has the same names and shapes", lambda: {**flux()}),
    "flux-schnell": Specimen("Flux schnell", lambda: {**flux(schnell=True)}),
    "flux-lite": Specimen("Flux lite 8B, which has fewer double blocks", flux_lite),
    "flux-cut": Specimen(
        "Flux dev, of which the last layer is missing",
        lambda: {name: weight for name, weight in flux().items() if not name.startswith("final_layer.linear.")},
        "its transformer lacks 2 of 1160 weights",
    ),
    "flux-prefixed": Specimen("Flux dev with the prefix of a whole model", lambda: named(flux(), UNET)),
    "flux-fp8": Specimen("Flux dev in float8 without scales", lambda: eight_bits({**flux()})),
    "flux-scaled-fp8": Specimen(
        "Flux dev in float8 with scales, as ComfyUI wrote it before",
        lambda: quantized(flux(), scaled_fp8) | {"scaled_fp8": meta(2, dtype=EIGHT)},
    ),
    "flux-comfy-fp8": Specimen("Flux dev in float8 with scales, as ComfyUI writes it", lambda: quantized(flux(), comfy_fp8)),
    "flux-gguf": Specimen("Flux dev in GGUF, Q4_K", lambda: {**flux()}, form="Q4_K"),
    "flux-all-in-one": Specimen("Flux dev with text encoders and VAE, all in float8", lambda: eight_bits(flux_whole())),
    "flux-nf4": Specimen("Flux dev in NF4", lambda: quantized(flux(), nf4), "NF4"),
    "flux-nvfp4": Specimen("Flux dev in nvfp4", lambda: quantized(flux(), nvfp4), "nvfp4"),
    "flux-svdquant": Specimen(
        "Flux dev in SVDQuant",
        lambda: marks(
            transformer_blocks__0__qkv_proj__qweight=(9216, 1536),
            transformer_blocks__0__qkv_proj__wscales=(48, 9216),
            transformer_blocks__0__qkv_proj__smooth_factor=(3072,),
            single_transformer_blocks__0__mlp_fc1__wscales=(48, 12288),
        ),
        "SVDQuant",
        whole=False,
    ),
    "flux-fill": Specimen("Flux Fill", lambda: {**flux(channels=384)}, "Fill"),
    "flux-depth": Specimen("Flux Depth and Flux Canny", lambda: {**flux(channels=128)}, "Depth or Canny"),
    "flux-redux": Specimen("Flux Redux", redux, "Flux Redux"),
    "flux-transformer-diffusers": Specimen(
        "the transformer of Flux in diffusers layout",
        lambda: in_diffusers("FluxTransformer2DModel", guidance_embeds=True),
        IN_DIFFUSERS,
    ),
    "flux-controlnet": Specimen(
        "a ControlNet of Flux in diffusers layout (InstantX, Shakker)",
        lambda: in_diffusers("FluxControlNetModel", num_layers=5, num_single_layers=10, guidance_embeds=True),
        "ControlNet of Flux",
    ),
    "flux-controlnet-xlabs": Specimen(
        "a ControlNet of Flux by XLabs",
        lambda: marks(
            controlnet_blocks__0__weight=(3072, 3072),
            double_blocks__0__img_attn__norm__key_norm__scale=(128,),
            double_blocks__0__img_attn__qkv__weight=(9216, 3072),
            img_in__weight=(3072, 64),
            input_hint_block__0__weight=(16, 3, 3, 3),
            pos_embed_input__weight=(3072, 64),
        ),
        "ControlNet of Flux",
        whole=False,
    ),
    "flux-2": Specimen(
        "Flux 2",
        lambda: marks(
            double_blocks__0__img_attn__norm__key_norm__scale=(128,),
            double_blocks__0__img_attn__qkv__weight=(18432, 6144),
            double_stream_modulation_img__lin__weight=(36864, 6144),
            single_stream_modulation__lin__weight=(18432, 6144),
            img_in__weight=(6144, 128),
        ),
        "Flux 2",
        whole=False,
    ),
    "flux-2-diffusers": Specimen("Flux 2 in diffusers layout", lambda: in_diffusers("Flux2Transformer2DModel"), "Flux 2"),
    "chroma": Specimen(
        "Chroma",
        lambda: marks(
            distilled_guidance_layer__in_proj__bias=(5120,),
            distilled_guidance_layer__norms__0__scale=(5120,),
            double_blocks__0__img_attn__qkv__weight=(9216, 3072),
            img_in__weight=(3072, 64),
        ),
        "Chroma",
        whole=False,
    ),
    "chroma-diffusers": Specimen("Chroma in diffusers layout", lambda: in_diffusers("ChromaTransformer2DModel"), "Chroma"),
    # Others that make pictures and films
    "hunyuan-image": Specimen(
        "HunyuanImage 2.1",
        lambda: marks(
            byt5_in__fc1__weight=(2048, 1472),
            double_blocks__0__img_attn__qkv__weight=(10752, 3584),
            img_in__proj__weight=(3584, 64, 1, 1),
            txt_in__individual_token_refiner__blocks__0__norm1__weight=(3584,),
        ),
        "HunyuanImage",
        whole=False,
    ),
    "hunyuan-image-diffusers": Specimen(
        "HunyuanImage 2.1 in diffusers layout",
        lambda: in_diffusers("HunyuanImageTransformer2DModel", text_embed_2_dim=1472),
        "HunyuanImage",
    ),
    "hunyuan-video": Specimen(
        "HunyuanVideo",
        lambda: marks(
            double_blocks__0__img_attn_qkv__weight=(9216, 3072),
            img_in__proj__weight=(3072, 16, 1, 2, 2),
            txt_in__individual_token_refiner__blocks__0__norm1__weight=(3072,),
            vector_in__in_layer__weight=(3072, 768),
        ),
        "HunyuanVideo",
        whole=False,
    ),
    "hunyuan-video-1.5": Specimen(
        "HunyuanVideo 1.5",
        lambda: marks(
            byt5_in__fc1__weight=(2048, 1472),
            cond_type_embedding__weight=(3, 2048),
            double_blocks__0__img_attn__qkv__weight=(6144, 2048),
            img_in__proj__weight=(2048, 65, 1, 1, 1),
            txt_in__individual_token_refiner__blocks__0__norm1__weight=(2048,),
            vision_in__proj__0__weight=(1152,),
        ),
        "HunyuanVideo",
        whole=False,
    ),
    "hunyuan-video-diffusers": Specimen(
        "HunyuanVideo in diffusers layout", lambda: in_diffusers("HunyuanVideoTransformer3DModel"), "HunyuanVideo"
    ),
    "hunyuan-3d": Specimen(
        "Hunyuan3D 2",
        lambda: marks(
            cond_in__weight=(1024, 1536), double_blocks__0__img_attn__qkv__weight=(3072, 1024), latent_in__weight=(1024, 64)
        ),
        "Hunyuan3D",
        whole=False,
    ),
    "hunyuan-dit": Specimen(
        "HunyuanDiT",
        lambda: marks(mlp_t5__0__weight=(8192, 2048), x_embedder__proj__weight=(1408, 4, 2, 2)),
        "HunyuanDiT",
        whole=False,
    ),
    "ovis-image": Specimen(
        "Ovis-Image",
        lambda: marks(
            double_blocks__0__img_attn__norm__key_norm__scale=(128,),
            double_blocks__0__img_attn__qkv__weight=(9216, 3072),
            double_blocks__0__img_mlp__gate_proj__weight=(12288, 3072),
            img_in__weight=(3072, 64),
        ),
        "Ovis-Image",
        whole=False,
    ),
    "qwen-image": Specimen("Qwen-Image", lambda: in_diffusers("QwenImageTransformer2DModel"), "Qwen-Image"),
    "qwen-image-prefixed": Specimen(
        "Qwen-Image in one file of ComfyUI",
        lambda: named(in_diffusers("QwenImageTransformer2DModel"), UNET),
        "Qwen-Image",
    ),
    "qwen-image-gguf": Specimen(
        "Qwen-Image in GGUF", lambda: in_diffusers("QwenImageTransformer2DModel"), "Qwen-Image", form="Q4_K"
    ),
    "qwen-image-nvfp4": Specimen(
        "Qwen-Image in nvfp4", lambda: quantized(in_diffusers("QwenImageTransformer2DModel"), nvfp4), "Qwen-Image"
    ),
    "z-image": Specimen("Z-Image", z_image, "Z-Image"),
    "z-image-diffusers": Specimen("Z-Image in diffusers layout", lambda: in_diffusers("ZImageTransformer2DModel"), "Z-Image"),
    "lumina-2": Specimen(
        "Lumina 2",
        lambda: marks(
            cap_embedder__1__weight=(2304, 2304),
            layers__0__adaLN_modulation__1__weight=(9216, 1024),
            noise_refiner__0__attention__k_norm__weight=(96,),
        ),
        "Lumina 2",
        whole=False,
    ),
    "lumina-2-diffusers": Specimen("Lumina 2 in diffusers layout", lambda: in_diffusers("Lumina2Transformer2DModel"), "Lumina 2"),
    "pixart": Specimen(
        "PixArt", lambda: marks(t_block__1__weight=(6912, 1152), x_embedder__proj__weight=(1152, 4, 2, 2)), "PixArt", whole=False
    ),
    "pixart-diffusers": Specimen(
        "PixArt in diffusers layout", lambda: in_diffusers("PixArtTransformer2DModel", caption_channels=4096), "PixArt"
    ),
    "auraflow": Specimen(
        "AuraFlow",
        lambda: marks(
            cond_seq_linear__weight=(3072, 2048),
            double_layers__0__attn__w1q__weight=(3072, 3072),
            positional_encoding=(1, 9216, 3072),
        ),
        "AuraFlow",
        whole=False,
    ),
    "auraflow-diffusers": Specimen("AuraFlow in diffusers layout", lambda: in_diffusers("AuraFlowTransformer2DModel"), "AuraFlow"),
    "sana": Specimen(
        "Sana",
        lambda: marks(attention_y_norm__weight=(2240,), blocks__0__cross_attn__q_linear__weight=(2240, 2240)),
        "Sana",
        whole=False,
    ),
    "sana-diffusers": Specimen("Sana in diffusers layout", lambda: in_diffusers("SanaTransformer2DModel"), "Sana"),
    "stable-cascade-c": Specimen(
        "Stable Cascade, stage C",
        lambda: marks(clf__1__weight=(64, 2048, 1, 1), clip_txt_mapper__weight=(2048, 1280)),
        "Stable Cascade",
        whole=False,
    ),
    "stable-cascade-b": Specimen(
        "Stable Cascade, stage B",
        lambda: marks(
            clf__1__weight=(16, 320, 1, 1), clip_mapper__weight=(5120, 1280), down_blocks__1__0__channelwise__0__weight=(2560, 640)
        ),
        "Stable Cascade",
        whole=False,
    ),
    "hidream": Specimen("HiDream", lambda: marks(caption_projection__0__linear__weight=(2560, 4096)), "HiDream", whole=False),
    "cosmos-diffusers": Specimen("Cosmos in diffusers layout", lambda: in_diffusers("CosmosTransformer3DModel"), "Cosmos"),
    "wan": Specimen(
        "Wan 2.1",
        lambda: marks(
            blocks__0__ffn__0__weight=(13824, 5120), head__modulation=(1, 2, 5120), patch_embedding__weight=(5120, 16, 1, 2, 2)
        ),
        "Wan",
        whole=False,
    ),
    "wan-diffusers": Specimen("Wan 2.1 in diffusers layout", lambda: in_diffusers("WanTransformer3DModel"), "Wan"),
    "ltx-video": Specimen("LTX-Video", ltx, "LTX-Video"),
    "ltx-video-diffusers": Specimen(
        "LTX-Video in diffusers layout", lambda: in_diffusers("LTXVideoTransformer3DModel"), "LTX-Video"
    ),
    "mochi": Specimen(
        "Mochi", lambda: marks(blocks__0__attn__qkv_x__weight=(9216, 3072), t5_yproj__weight=(1536, 4096)), "Mochi", whole=False
    ),
    "mochi-diffusers": Specimen("Mochi in diffusers layout", lambda: in_diffusers("MochiTransformer3DModel"), "Mochi"),
    "cogvideox-diffusers": Specimen(
        "CogVideoX in diffusers layout", lambda: in_diffusers("CogVideoXTransformer3DModel"), "CogVideoX"
    ),
    "kandinsky-5-diffusers": Specimen(
        "Kandinsky 5 in diffusers layout", lambda: in_diffusers("Kandinsky5Transformer3DModel"), "Kandinsky"
    ),
    # Components alone
    "vae": Specimen("the VAE of Stable Diffusion 1", lambda: alone(sd1(), FIRST_STAGE), "a VAE alone"),
    "vae-prefixed": Specimen(
        "the same with its prefix", lambda: {n: w for n, w in sd1().items() if FIRST_STAGE in n}, "a VAE alone"
    ),
    "vae-diffusers": Specimen(
        "the VAE of XL in diffusers layout", lambda: typed(state(component("stable-diffusion-xl", "vae"))), "a VAE alone"
    ),
    "vae-flux": Specimen("the VAE of Flux", lambda: typed(originals.vae(component("flux-dev", "vae")), WHOLE), "a VAE alone"),
    "vae-wan": Specimen(
        "the VAE of Wan",
        lambda: marks(decoder__conv1__weight=(384, 16, 3, 3, 3), decoder__middle__0__residual__0__gamma=(384, 1, 1, 1)),
        "VAE of another kind",
        whole=False,
    ),
    "vae-qwen-diffusers": Specimen(
        "the VAE of Qwen-Image in diffusers layout", lambda: in_diffusers("AutoencoderKLQwenImage"), "VAE of another kind"
    ),
    "taesd": Specimen("TAESD in diffusers layout", lambda: in_diffusers("AutoencoderTiny"), "tiny VAE"),
    "clip-l": Specimen("CLIP L", lambda: typed(originals.clip(component("flux-dev", "text_encoder"))), "a text encoder alone"),
    "clip-g": Specimen(
        "CLIP G of XL", lambda: typed(originals.clip(component("stable-diffusion-xl", "text_encoder_2"))), "a text encoder alone"
    ),
    "t5-xxl": Specimen("T5 XXL", lambda: typed(originals.t5(component("flux-dev", "text_encoder_2"))), "a text encoder alone"),
    "umt5-xxl": Specimen("UMT5 XXL, the text encoder of Wan", umt5, "UMT5"),
    "t5-xxl-gguf": Specimen("T5 XXL as llama.cpp writes it", t5_of_llama, "a text encoder alone", form="Q4_K"),
    "language-model": Specimen("Qwen 3 4B, the text encoder of Z-Image", language_model, "a language model (Qwen"),
    "clip-vision": Specimen("CLIP H for pictures", clip_vision, "a CLIP that sees pictures"),
    "unet-diffusers": Specimen(
        "the UNet of Stable Diffusion 1 in diffusers layout",
        lambda: typed(state(component("stable-diffusion-1", "unet"))),
        IN_DIFFUSERS,
    ),
    "xl-unet-diffusers": Specimen(
        "the UNet of XL in diffusers layout", lambda: typed(state(component("stable-diffusion-xl", "unet"))), IN_DIFFUSERS
    ),
    "sd3-transformer-diffusers": Specimen(
        "the transformer of Stable Diffusion 3 in diffusers layout",
        lambda: typed(state(component(MEDIUM, "transformer"))),
        IN_DIFFUSERS,
    ),
    # Adapters
    "lora-kohya": Specimen(
        "a LoRA of Stable Diffusion 1 by kohya's scripts",
        lambda: kohya(component("stable-diffusion-1", "unet"), "lora_unet"),
        "a LoRA",
    ),
    "lora-kohya-xl": Specimen(
        "a LoRA of XL by kohya's scripts", lambda: kohya(component("stable-diffusion-xl", "unet"), "lora_unet"), "a LoRA"
    ),
    "lora-diffusers": Specimen(
        "a LoRA of XL in diffusers layout", lambda: peft(component("stable-diffusion-xl", "unet"), "unet"), "a LoRA"
    ),
    "lora-flux": Specimen(
        "a LoRA of Flux in diffusers layout", lambda: peft(component("flux-dev", "transformer"), "transformer"), "a LoRA"
    ),
    "lokr": Specimen("a LoKr of XL", lambda: lokr(component("stable-diffusion-xl", "unet"), "lycoris"), "LyCORIS"),
    "loha": Specimen("a LoHa of Stable Diffusion 1", lambda: loha(component("stable-diffusion-1", "unet"), "lora_unet"), "LyCORIS"),
    "textual-inversion": Specimen("a textual inversion of A1111", lambda: marks(emb_params=(8, 768)), "a textual inversion"),
    "textual-inversion-xl": Specimen(
        "a textual inversion of XL", lambda: marks(clip_l=(8, 768), clip_g=(8, 1280)), "a textual inversion"
    ),
    "textual-inversion-pivotal": Specimen(
        "a textual inversion of XL by diffusers' pivotal tuning",
        lambda: marks(text_encoders_0=(2, 768), text_encoders_1=(2, 1280)),
        "a textual inversion",
    ),
    "controlnet": Specimen("ControlNet of Stable Diffusion 1", controlnet, "a ControlNet"),
    "controlnet-diffusers": Specimen("ControlNet in diffusers layout", lambda: in_diffusers("ControlNetModel"), "a ControlNet"),
    "control-lora": Specimen(
        "a Control-LoRA of XL",
        lambda: marks(lora_controlnet=(0,), input_hint_block__0__weight=(16, 3, 3, 3)),
        "Control-LoRA",
        whole=False,
    ),
    "t2i-adapter": Specimen(
        "a T2I-Adapter",
        lambda: marks(body__0__block1__weight=(320, 320, 3, 3), conv_in__weight=(320, 192, 3, 3)),
        "T2I-Adapter",
        whole=False,
    ),
    "t2i-adapter-diffusers": Specimen("a T2I-Adapter in diffusers layout", lambda: in_diffusers("T2IAdapter"), "T2I-Adapter"),
    "ip-adapter": Specimen("IP-Adapter of Stable Diffusion 1", ip_adapter, "IP-Adapter"),
    "motion-module": Specimen(
        "a motion module of AnimateDiff in diffusers layout", lambda: in_diffusers("MotionAdapter"), "AnimateDiff"
    ),
    "esrgan": Specimen("an upscaler of pictures", esrgan, "ESRGAN"),
}
