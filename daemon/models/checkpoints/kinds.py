"""What model a single file holds, told from the names and shapes of its tensors: the folder of shipped configurations that fits it,
what in them the file says otherwise, and which of its parts it has."""

import functools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from daemon.models.checkpoints import layouts
from daemon.models.checkpoints.layouts import DENOISER
from daemon.models.checkpoints.scales import scales_of
from daemon.models.checkpoints.stored import Index, Stored
from daemon.models.checkpoints.tensors import index_of
from daemon.models.unreadable import UnreadableModel

CONFIGS = Path(__file__).resolve().parent.parent / "configs"
"""Configurations in diffusers layout without weights, one folder for each kind of model."""

INPAINTING_CHANNELS = 9
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
    "a CosXL model (v-prediction over noise levels of EDM), which is not supported": ("edm_vpred.sigma_max", "edm_vpred.sigma_min"),
    "a Chroma model, which is not supported": ("distilled_guidance_layer.in_proj.bias",),
    "a Flux 2 model, which is not supported": ("single_stream_modulation.lin.weight",),
}
# A component alone, and what to do with it.
_ALONE: Mapping[str, Sequence[str]] = {
    "a VAE alone: name it under `vaes` in config.yaml, or under a model's `parts`": tuple(
        f"{prefix}decoder.conv_in.weight" for prefix in (layouts.WHOLE, *layouts.VAES)
    ),
    "a text encoder alone: name it under a model's `parts` in config.yaml": (
        *("text_model.embeddings.token_embedding.weight", "token_embedding.weight", "shared.weight", "encoder.embed_tokens.weight"),
        "enc.blk.0.attn_q.weight",
        *(prefix + "text_model.embeddings.token_embedding.weight" for prefix in (layouts.CLIP_1, layouts.CLIP_XL, layouts.CLIP_L)),
    ),
    "one component of a folder in diffusers layout: name the whole folder as the `path`": (
        "down_blocks.0.resnets.0.conv1.weight",
        "transformer_blocks.0.attn.to_q.weight",
    ),
    "a textual inversion, no model that can be run": ("emb_params", "clip_l", "clip_g", "string_to_param"),
}
_DENOISERS = ("double_blocks.0.img_attn.qkv.weight", "joint_blocks.0.x_block.attn.qkv.weight", "input_blocks.0.0.weight")
_CHANNELS = {5: "depth", 7: "upscaling", 8: "InstructPix2Pix, which sees a picture beside the latents"}
# Variants of what is known, and a weight that tells each.
_VARIANTS: Mapping[str, str] = {
    "encoder_hid_proj.weight": "its UNet takes the embeddings of ChatGLM (Kolors)",
    "byt5_in.fc1.weight": "its transformer has Flux's names and other inputs (HunyuanImage)",
    "txt_in.individual_token_refiner.blocks.0.norm1.weight": "its transformer has Flux's names and other inputs (HunyuanVideo)",
}
_GUIDED = "time_embed.cond_proj.weight"
"""The weight by which a UNet that was distilled as a latent consistency model takes the guidance (Luo et al. 2023)."""
_LCM = {"original_inference_steps": 50, "set_alpha_to_one": True}
# The second text encoder of Flux is the third one of Stable Diffusion 3.
_OF_FLUX = {"text_encoder": "text_encoder", "text_encoder_3": "text_encoder_2", "vae": "vae"}
SUPPORTED = "Stable Diffusion 1, 2, XL (base and refiner), 3 and 3.5, and Flux (dev and schnell)"


class _Unsupported(Exception):
    """A model of a kind that cannot run; the text says why."""


@dataclass(frozen=True)
class FileKind:
    """`configs` is a folder in CONFIGS, `sizes` what the weights say of a component's configuration, `components` those that are in
    the file, and `marks` the options of the scheduler that marks in the file ask for."""

    configs: str
    sizes: Mapping[str, Mapping[str, Any]]
    components: frozenset[str]
    marks: Mapping[str, Any] = field(default_factory=dict)

    def read(self, name: str) -> dict[str, Any]:
        """One of the shipped configurations, e.g. "unet/config.json", as it stands."""
        shipped: dict[str, Any] = json.loads((CONFIGS / self.configs / name).read_text(encoding="utf-8"))
        return shipped


def kind_of(path: Path) -> FileKind:
    """Return what model a file is. Raises UnreadableModel where it is none that can run, or cannot be read."""
    return _kind(path, path.stat().st_mtime_ns)


@functools.lru_cache(maxsize=32)
def _kind(path: Path, changed_ns: int) -> FileKind:
    del changed_ns
    index = index_of(path)
    scales_of(path)  # which refuses what cannot be dequantized
    if what := what_else(index):
        raise UnreadableModel(f"{path} is {what}; supported are {SUPPORTED}")
    prefix = DENOISER if any(name.startswith(DENOISER) for name in index) else ""
    denoiser = {name.removeprefix(prefix): tensor for name, tensor in index.items() if name.startswith(prefix)}
    present = {name for name, prefixes in _PREFIXES.items() if any(key.startswith(tuple(prefixes)) for key in index)}
    try:
        if "double_blocks.0.img_attn.qkv.weight" in denoiser:
            kind = _flux(denoiser)
            present = {_OF_FLUX[name] for name in present & _OF_FLUX.keys()}
        elif "joint_blocks.0.x_block.attn.qkv.weight" in denoiser:
            kind = _stable_diffusion_3(denoiser)
        else:
            kind = _unet(path, denoiser)
    except _Unsupported as unsupported:
        raise UnreadableModel(f"{path} is not supported: {unsupported}; supported are {SUPPORTED}") from None
    sizes = {name: config_from_weights(name, index) for name in present}
    return FileKind(kind.configs, {**kind.sizes, **sizes}, kind.components | present, _marks(index))


def what_else(index: Index) -> str | None:
    """What a file is, in a few words with what to do, where it is no model that can be run; None where it may be one."""
    for what, tells in _OTHERS.items():
        if any(name.endswith(tuple(tells)) for name in index):
            return f"{what}, no model that can be run"
    if any(name.startswith(DENOISER) or name in _DENOISERS for name in index):
        return None
    return next((what for what, tells in _ALONE.items() if any(tell in index for tell in tells)), "no model that can be run")


def config_from_weights(component: str, index: Index) -> dict[str, Any]:
    """What the weights of a component say of its configuration, also where it is alone in a file."""
    if component == "vae":
        convolutions = ("quant_conv", "post_quant_conv")
        prefixes = [prefix for prefix in layouts.VAES if any(name.startswith(prefix) for name in index)] or [layouts.WHOLE]
        return {f"use_{name}": f"{prefixes[0]}{name}.weight" in index for name in convolutions}
    if component == "text_encoder":
        # A CLIP that was trained for longer prompts has more positions.
        table = "text_model.embeddings.position_embedding.weight"
        prefixes = [
            prefix for prefix in (layouts.CLIP_1, layouts.CLIP_XL, layouts.CLIP_L, layouts.WHOLE) if prefix + table in index
        ]
        return {"max_position_embeddings": index[prefixes[0] + table].shape[0]} if prefixes else {}
    return {}


def _marks(index: Index) -> dict[str, Any]:
    """The marks that trainers put into files of Stable Diffusion XL, and ComfyUI reads; and the weight of a consistency model."""
    guided = {"_class_name": "LCMScheduler", **_LCM} if any(name.endswith(_GUIDED) for name in index) else {}
    v_prediction = {"prediction_type": "v_prediction"} if "v_pred" in index else {}
    zero_snr = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"} if "ztsnr" in index else {}
    return guided | v_prediction | zero_snr


def _unet(path: Path, denoiser: Mapping[str, Stored]) -> FileKind:
    if "input_blocks.0.0.weight" not in denoiser:
        raise _Unsupported("its denoiser is none that is known")
    channels = denoiser["input_blocks.0.0.weight"].shape[1]
    if channels not in (4, INPAINTING_CHANNELS):
        raise _Unsupported(f"its UNet takes {channels} channels ({_CHANNELS.get(channels, 'of what, is not known')})")
    if what := next((what for name, what in _VARIANTS.items() if name in denoiser), None):
        raise _Unsupported(what)
    sizes: dict[str, Any] = {"unet": {"in_channels": channels}}
    if _GUIDED in denoiser:
        sizes["unet"]["time_cond_proj_dim"] = denoiser[_GUIDED].shape[1]
    widths = [tensor.shape[1] for name, tensor in denoiser.items() if name.endswith("attn2.to_k.weight")]
    width = widths[0] if widths else 0
    configs = {
        768: "stable-diffusion-1",
        1024: "stable-diffusion-2-epsilon",
        1280: "stable-diffusion-xl-refiner",
        2048: "stable-diffusion-xl",
    }
    if width not in configs:
        raise _Unsupported(f"its UNet takes embeddings of width {width}")
    if width == 1024 and "label_emb.0.0.weight" in denoiser:
        raise _Unsupported("its UNet also takes the embedding of a picture (Stable Diffusion 2.1 unCLIP)")
    if width == 1024 and channels == 4 and _deviation(path, denoiser.get(_V_BIAS)) > V_PREDICTION_DEVIATION:
        return FileKind("stable-diffusion-2-v", sizes, frozenset({"unet"}))
    return FileKind(configs[width], sizes, frozenset({"unet"}))


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


def _stable_diffusion_3(denoiser: Mapping[str, Stored]) -> FileKind:
    depth = _count(denoiser, "joint_blocks.")
    positions = denoiser["pos_embed"].shape[-2] if "pos_embed" in denoiser else 192**2
    twice = sorted({int(name.split(".")[1]) for name in denoiser if ".x_block.attn2." in name})
    normed = "joint_blocks.0.x_block.attn.ln_q.weight" in denoiser
    sizes = {
        "num_layers": depth,
        "pos_embed_max_size": round(positions**0.5),
        "dual_attention_layers": twice,
        "qk_norm": "rms_norm" if normed else None,
    }
    configs = "stable-diffusion-3.5-medium" if twice else "stable-diffusion-3.5-large" if normed else "stable-diffusion-3-medium"
    return FileKind(configs, {"transformer": sizes}, frozenset({"transformer"}))


def _flux(denoiser: Mapping[str, Stored]) -> FileKind:
    guided = any(name.startswith("guidance_in.") for name in denoiser)
    channels = denoiser["img_in.weight"].shape[1] if "img_in.weight" in denoiser else 64
    if what := next((what for name, what in _VARIANTS.items() if name in denoiser), None):
        raise _Unsupported(what)
    if channels != 64:
        raise _Unsupported(f"it is a Flux model of {channels} channels (Fill, Depth or Canny)")
    sizes = {
        "num_layers": _count(denoiser, "double_blocks."),
        "num_single_layers": _count(denoiser, "single_blocks."),
        "guidance_embeds": guided,
    }
    return FileKind("flux-dev" if guided else "flux-schnell", {"transformer": sizes}, frozenset({"transformer"}))


def _count(tensors: Mapping[str, Stored], prefix: str) -> int:
    return len({name.split(".")[1] for name in tensors if name.startswith(prefix)})
