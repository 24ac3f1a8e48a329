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
from daemon.models.checkpoints.other_files import alone, other_file
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
_DENOISERS = ("double_blocks.0.img_attn.qkv.weight", "joint_blocks.0.x_block.attn.qkv.weight", "input_blocks.0.0.weight")
_CHANNELS = {
    **{5: "depth", 7: "upscaling", 8: "InstructPix2Pix, or another that sees a picture beside the latents"},
    **{128: "Depth or Canny", 384: "Fill"},
}
# Kinds that have the VAE of all others with as many channels; a scale, and a shift, is no business of the weights.
_VAES = {4: "stable-diffusion-1", 16: "flux-dev"}
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
    what = other_file(index)  # first, or somebody fetches it in a form that cannot run either
    if what is None:
        scales_of(path)  # which refuses what cannot be dequantized
        what = None if _has_denoiser(index) else alone(index)
    if what:
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


def _has_denoiser(index: Index) -> bool:
    return any(name.startswith(DENOISER) or name in _DENOISERS for name in index)


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


def configs_of_vae(path: Path) -> str:
    """The folder of shipped configurations with the VAE whose latents have as many channels as those of a file with one.

    Raises UnreadableModel where there is none."""
    index = index_of(path)
    names = [f"{prefix}decoder.conv_in.weight" for prefix in (*layouts.VAES, layouts.WHOLE)]
    first = next((index[name] for name in names if name in index), None)
    if first is None or len(first.shape) != 4:
        raise UnreadableModel(f"{path} holds no vae")
    if first.shape[1] not in _VAES:
        raise UnreadableModel(f"{path} is the VAE of a model that is not supported: its latents have {first.shape[1]} channels")
    return _VAES[first.shape[1]]


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
    if "encoder_hid_proj.weight" in denoiser:
        raise _Unsupported("its UNet takes the embeddings of ChatGLM (Kolors)")
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
    if width == 2048 and not all(
        any(name.startswith(there) for name in denoiser) for there in ("middle_block.1.", "input_blocks.7.")
    ):
        raise _Unsupported(f"it is {_smaller(denoiser)}, a smaller Stable Diffusion XL")
    if width == 1024 and "label_emb.0.0.weight" in denoiser:
        raise _Unsupported("its UNet also takes the embedding of a picture (Stable Diffusion 2.1 unCLIP)")
    if width == 1024 and channels == 4 and _deviation(path, denoiser.get(_V_BIAS)) > V_PREDICTION_DEVIATION:
        return FileKind("stable-diffusion-2-v", sizes, frozenset({"unet"}))
    return FileKind(configs[width], sizes, frozenset({"unet"}))


def _smaller(denoiser: Mapping[str, Stored]) -> str:
    """Which of the models it is that were distilled from Stable Diffusion XL, by the layers of attention on the lowest level."""
    depth = len({name.split(".")[4] for name in denoiser if name.startswith("input_blocks.7.1.transformer_blocks.")})
    return {4: "SSD-1B", 2: "Segmind-Vega", 0: "KOALA"}.get(depth, "a distilled model")


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
    if channels != 64:
        raise _Unsupported(f"it is a Flux model of {channels} channels ({_CHANNELS.get(channels, 'of what, is not known')})")
    sizes = {
        "num_layers": _count(denoiser, "double_blocks."),
        "num_single_layers": _count(denoiser, "single_blocks."),
        "guidance_embeds": guided,
    }
    return FileKind("flux-dev" if guided else "flux-schnell", {"transformer": sizes}, frozenset({"transformer"}))


def _count(tensors: Mapping[str, Stored], prefix: str) -> int:
    return len({name.split(".")[1] for name in tensors if name.startswith(prefix)})
