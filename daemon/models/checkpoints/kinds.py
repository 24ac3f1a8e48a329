"""What model a single file holds, told from the names and shapes of its tensors: the folder of shipped configurations that fits it,
what in them the file says otherwise, and which of its parts it has."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from daemon.models.checkpoints import layouts
from daemon.models.checkpoints.layouts import DENOISER
from daemon.models.checkpoints.tensors import Index, Stored

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
"""Configurations in diffusers layout without weights, one folder for each kind of model."""

INPAINTING_CHANNELS, INSTRUCTING_CHANNELS = 9, 8
V_PREDICTION_DEVIATION = 0.09
"""Stable Diffusion 2 trained to predict v has a larger deviation in the bias below (ComfyUI's detection)."""

_V_BIAS = "output_blocks.11.1.transformer_blocks.0.norm1.bias"
_PREFIXES: Mapping[str, Sequence[str]] = {
    "text_encoder": (layouts.CLIP_1, layouts.OPEN_CLIP_2, layouts.CLIP_XL, layouts.CLIP_L),
    "text_encoder_2": (layouts.OPEN_CLIP_XL, layouts.OPEN_CLIP_REFINER, layouts.CLIP_G),
    "text_encoder_3": (layouts.T5XXL,),
    "vae": layouts.VAES,
}
# What else people keep beside models, and a weight that tells it.
_OTHERS: Mapping[str, Sequence[str]] = {
    "a LoRA": (".lora_down.weight", ".lora_up.weight", ".lora_A.weight", ".lora_B.weight"),
    "a ControlNet": ("input_hint_block.0.weight", "controlnet_cond_embedding.conv_in.weight"),
    "a Playground model (EDM), which is not supported": ("edm_mean",),
    "a Chroma model, which is not supported": ("distilled_guidance_layer.in_proj.bias",),
    "a Flux 2 model, which is not supported": ("single_stream_modulation.lin.weight",),
}
_QUANTIZED = ("scaled_fp8", ".quant_state.bitsandbytes__nf4", ".quant_state.bitsandbytes__fp4", ".absmax", ".scale_weight")
SUPPORTED = "Stable Diffusion 1, 2, XL (base and refiner), 3 and 3.5, and Flux (dev and schnell)"


@dataclass(frozen=True)
class Kind:
    """`configs` is a folder in CONFIGS, `sizes` what the weights say of a component's configuration, `components` those with weights
    in the file, and `predicts` the options of the scheduler that marks in the file ask for."""

    configs: str
    sizes: Mapping[str, Mapping[str, Any]]
    components: frozenset[str]
    predicts: Mapping[str, Any] = field(default_factory=dict)

    def read(self, name: str) -> dict[str, Any]:
        """One of the shipped configurations, e.g. "unet/config.json", as it stands."""
        shipped: dict[str, Any] = json.loads((CONFIGS / self.configs / name).read_text(encoding="utf-8"))
        return shipped


def kind_of(path: Path, index: Index) -> Kind:
    """Return what model a file is. Raises ValueError with a sentence where it is none of those that can run."""
    prefix = DENOISER if any(name.startswith(DENOISER) for name in index) else ""
    denoiser = {name.removeprefix(prefix): tensor for name, tensor in index.items() if name.startswith(prefix)}
    _check(index)
    present = {name for name, prefixes in _PREFIXES.items() if any(key.startswith(tuple(prefixes)) for key in index)}
    if "double_blocks.0.img_attn.qkv.weight" in denoiser:
        kind = _flux(denoiser)
        # Its second text encoder is the third one of Stable Diffusion 3.
        present = present - {"text_encoder_2", "text_encoder_3"} | ({"text_encoder_2"} if "text_encoder_3" in present else set())
    elif "joint_blocks.0.x_block.attn.qkv.weight" in denoiser:
        kind = _stable_diffusion_3(denoiser)
    elif "input_blocks.0.0.weight" in denoiser:
        kind = _unet(path, denoiser)
    else:
        raise ValueError(f"it is no model that can be run; supported are {SUPPORTED}")
    return Kind(kind.configs, {**kind.sizes, **_text_sizes(index)}, kind.components | present, _predicts(index))


def _predicts(index: Index) -> dict[str, Any]:
    """The marks that trainers put into files of Stable Diffusion XL, and ComfyUI reads."""
    v_prediction = {"prediction_type": "v_prediction"} if "v_pred" in index else {}
    zero_snr = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if "ztsnr" in index else {}
    return v_prediction | zero_snr


def _check(index: Index) -> None:
    for what, tells in _OTHERS.items():
        if any(name.endswith(tuple(tells)) for name in index):
            raise ValueError(f"it is {what}, no model that can be run; supported are {SUPPORTED}")
    if any(name.endswith(_QUANTIZED) for name in index):
        raise ValueError("its weights are quantized with scales of their own, which is not supported; get it in float16 or bfloat16")


def _unet(path: Path, denoiser: Mapping[str, Stored]) -> Kind:
    channels = denoiser["input_blocks.0.0.weight"].shape[1]
    if channels == INSTRUCTING_CHANNELS:
        raise ValueError(
            "it is an InstructPix2Pix model (a UNet of 8 channels), which needs a picture beside the latents and cannot be run; "
            f"supported are {SUPPORTED}"
        )
    if channels not in (4, INPAINTING_CHANNELS):
        raise ValueError(f"its UNet takes {channels} channels (depth, upscaling), which is not supported; supported are {SUPPORTED}")
    sizes: dict[str, Any] = {"unet": {"in_channels": channels}}
    widths = [tensor.shape[1] for name, tensor in denoiser.items() if name.endswith("attn2.to_k.weight")]
    width = widths[0] if widths else 0
    configs = {
        768: "stable-diffusion-1",
        1024: "stable-diffusion-2-epsilon",
        1280: "stable-diffusion-xl-refiner",
        2048: "stable-diffusion-xl",
    }
    if width not in configs:
        raise ValueError(f"its UNet takes embeddings of width {width}, which none of the supported models does: {SUPPORTED}")
    if width == 1024 and channels == 4 and _deviation(path, denoiser.get(_V_BIAS)) > V_PREDICTION_DEVIATION:
        return Kind("stable-diffusion-2-v", sizes, frozenset({"unet"}))
    return Kind(configs[width], sizes, frozenset({"unet"}))


def _deviation(path: Path, stored: Stored | None) -> float:
    """The standard deviation of a short tensor; 0 where there is none."""
    if stored is None or stored.dtype not in ("F16", "BF16", "F32"):
        return 0.0
    with path.open("rb") as stream:
        stream.seek(stored.offset)
        data = stream.read(stored.size_bytes)
    if stored.dtype == "BF16":
        return float((np.frombuffer(data, "<u2").astype("<u4") << 16).view("<f4").std())
    return float(np.frombuffer(data, "<f2" if stored.dtype == "F16" else "<f4").astype("<f8").std())


def _stable_diffusion_3(denoiser: Mapping[str, Stored]) -> Kind:
    depth = _count(denoiser, "joint_blocks.")
    positions = denoiser["pos_embed"].shape[1] if "pos_embed" in denoiser else 192**2
    twice = sorted({int(name.split(".")[1]) for name in denoiser if ".x_block.attn2." in name})
    normed = "joint_blocks.0.x_block.attn.ln_q.weight" in denoiser
    sizes = {
        "num_layers": depth,
        "pos_embed_max_size": round(positions**0.5),
        "dual_attention_layers": twice,
        "qk_norm": "rms_norm" if normed else None,
    }
    configs = "stable-diffusion-3.5-medium" if twice else "stable-diffusion-3.5-large" if normed else "stable-diffusion-3-medium"
    return Kind(configs, {"transformer": sizes}, frozenset({"transformer"}))


def _flux(denoiser: Mapping[str, Stored]) -> Kind:
    guided = any(name.startswith("guidance_in.") for name in denoiser)
    channels = denoiser["img_in.weight"].shape[1] if "img_in.weight" in denoiser else 64
    if channels != 64:
        raise ValueError(f"it is a Flux model of {channels} channels (Fill, Depth, Canny), which is not supported; supported are {SUPPORTED}")
    sizes = {
        "num_layers": _count(denoiser, "double_blocks."),
        "num_single_layers": _count(denoiser, "single_blocks."),
        "guidance_embeds": guided,
    }
    return Kind("flux-dev" if guided else "flux-schnell", {"transformer": sizes}, frozenset({"transformer"}))


def _count(tensors: Mapping[str, Stored], prefix: str) -> int:
    return len({name.split(".")[1] for name in tensors if name.startswith(prefix)})


def _text_sizes(index: Index) -> dict[str, dict[str, int]]:
    """A CLIP that was trained for longer prompts has more positions."""
    table = "text_model.embeddings.position_embedding.weight"
    found = [index[prefix + table] for prefix in (layouts.CLIP_1, layouts.CLIP_XL, layouts.CLIP_L) if prefix + table in index]
    return {"text_encoder": {"max_position_embeddings": found[0].shape[0]}} if found else {}
