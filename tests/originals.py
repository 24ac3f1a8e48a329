"""Tiny random models of the real topology, and the same weights in one file under the names of their original releases.

The names are found by walking through a model in the order in which the original code builds its own, so that they owe nothing to
the tables of the reader that they are to test.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import diffusers
import torch
from safetensors.torch import save_file
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

from tests import released, tiny
from tests.parts import loaded
from tests.tiny import END, EXCLAMATION

Weights = dict[str, torch.Tensor]
CONFIGURATIONS = ("*.json", "*.txt", "*.model")


def state(module: torch.nn.Module) -> Weights:
    return dict(module.state_dict())


def named(weights: Mapping[str, torch.Tensor], prefix: str, *renaming: tuple[str, str]) -> Weights:
    """The weights of a module whose children have other names in the original."""
    found = {}
    for name, weight in weights.items():
        for ours, theirs in renaming:
            if name.startswith(ours + "."):
                name = theirs + name.removeprefix(ours)
                break
        found[f"{prefix}.{name}"] = weight
    return found


# --- what the originals are made of

RESNET = (
    *(("norm1", "in_layers.0"), ("conv1", "in_layers.2"), ("time_emb_proj", "emb_layers.1")),
    *(("norm2", "out_layers.0"), ("conv2", "out_layers.3"), ("conv_shortcut", "skip_connection")),
)


def unet(model: Any) -> Weights:
    """Stable Diffusion 1, 2, XL: every layer, and every step between two levels, is a block of its own."""
    found = named(state(model.time_embedding), "time_embed", ("linear_1", "0"), ("linear_2", "2"))
    if getattr(model, "add_embedding", None) is not None:
        found |= named(state(model.add_embedding), "label_emb.0", ("linear_1", "0"), ("linear_2", "2"))
    found |= named(state(model.conv_in), "input_blocks.0.0")
    number = 1
    for block in model.down_blocks:
        for layer in range(len(block.resnets)):
            found |= layer_within(block, layer, f"input_blocks.{number}")
            number += 1
        for sampler in block.downsamplers or ():
            found |= named(state(sampler.conv), f"input_blocks.{number}.0.op")
            number += 1
    middle = model.mid_block  # of which distilled models lack the attention, or all
    for place, resnet in zip((0, 2), middle.resnets if middle else (), strict=False):
        found |= named(state(resnet), f"middle_block.{place}", *RESNET)
    for attention in middle.attentions if middle else ():
        found |= named(state(attention), "middle_block.1")
    number = 0
    for block in model.up_blocks:
        for layer in range(len(block.resnets)):
            found |= layer_within(block, layer, f"output_blocks.{number}")
            number += 1
        for sampler in block.upsamplers or ():
            place = 2 if hasattr(block, "attentions") else 1
            found |= named(state(sampler.conv), f"output_blocks.{number - 1}.{place}.conv")
    return found | named(state(model.conv_norm_out), "out.0") | named(state(model.conv_out), "out.2")


def layer_within(block: Any, layer: int, place: str) -> Weights:
    found = named(state(block.resnets[layer]), f"{place}.0", *RESNET)
    return found | (named(state(block.attentions[layer]), f"{place}.1") if hasattr(block, "attentions") else {})


def vae(model: Any) -> Weights:
    """The levels of the decoder are counted from the picture; the attention is made of convolutions of one pixel."""
    found = {}
    for side, blocks, samplers in (("encoder", model.encoder.down_blocks, "down"), ("decoder", model.decoder.up_blocks, "up")):
        coder, levels = getattr(model, side), len(blocks)
        for number, block in enumerate(blocks):
            level = f"{side}.{samplers}.{number if side == 'encoder' else levels - 1 - number}"
            for layer, resnet in enumerate(block.resnets):
                found |= named(state(resnet), f"{level}.block.{layer}", ("conv_shortcut", "nin_shortcut"))
            for sampler in getattr(block, f"{samplers}samplers") or ():
                found |= named(state(sampler.conv), f"{level}.{samplers}sample.conv")
        first, last = coder.mid_block.resnets
        found |= named(state(first), f"{side}.mid.block_1", ("conv_shortcut", "nin_shortcut"))
        found |= named(state(last), f"{side}.mid.block_2", ("conv_shortcut", "nin_shortcut"))
        for name, weight in state(coder.mid_block.attentions[0]).items():
            what, kind = name.rsplit(".", 1)
            place = {"group_norm": "norm", "to_q": "q", "to_k": "k", "to_v": "v", "to_out.0": "proj_out"}[what]
            found[f"{side}.mid.attn_1.{place}.{kind}"] = weight[:, :, None, None].clone() if weight.ndim == 2 else weight.clone()
        found |= named(state(coder.conv_in), f"{side}.conv_in") | named(state(coder.conv_out), f"{side}.conv_out")
        found |= named(state(coder.conv_norm_out), f"{side}.norm_out")
    for name in ("quant_conv", "post_quant_conv"):
        if getattr(model, name) is not None:
            found |= named(state(getattr(model, name)), name)
    return found


def clip(model: Any) -> Weights:
    """As transformers write it, whatever its present version calls the wrapper."""
    wrapped = {name.removeprefix("text_model."): weight.clone() for name, weight in state(model).items()}
    return {name if name.startswith("text_projection") else f"text_model.{name}": weight for name, weight in wrapped.items()}


def open_clip(model: Any, unused_layers: int = 0) -> Weights:
    """OpenCLIP; Stable Diffusion 2 leaves the last of its layers unused, which is in the file all the same."""
    own = {name.removeprefix("text_model."): weight.clone() for name, weight in state(model).items()}
    embeddings = "embeddings.position_embedding.weight"
    found = {"positional_embedding": own.pop(embeddings), "token_embedding.weight": own.pop("embeddings.token_embedding.weight")}
    found |= {f"ln_final.{kind}": own.pop(f"final_layer_norm.{kind}") for kind in ("weight", "bias")}
    projection = own.pop("text_projection.weight", torch.randn(8, len(found["ln_final.bias"])))
    found |= {"text_projection": projection.T.contiguous(), "logit_scale": torch.tensor(4.6)}
    layers = model.config.num_hidden_layers
    for layer in range(layers):
        ours, theirs = f"encoder.layers.{layer}.", f"transformer.resblocks.{layer}."
        for kind in ("weight", "bias"):
            together = [own.pop(f"{ours}self_attn.{letter}_proj.{kind}") for letter in "qkv"]
            found[f"{theirs}attn.in_proj_{kind}"] = torch.cat(together)
            for our, their in (
                *(("self_attn.out_proj", "attn.out_proj"), ("layer_norm1", "ln_1"), ("layer_norm2", "ln_2")),
                *(("mlp.fc1", "mlp.c_fc"), ("mlp.fc2", "mlp.c_proj")),
            ):
                found[f"{theirs}{their}.{kind}"] = own.pop(f"{ours}{our}.{kind}")
    assert not own, own.keys()
    for more in range(unused_layers):
        last = {name: weight for name, weight in found.items() if f".resblocks.{layers - 1}." in name}
        found |= {name.replace(f".{layers - 1}.", f".{layers + more}."): torch.randn_like(weight) for name, weight in last.items()}
    return found


def t5(model: Any) -> Weights:
    return {name: weight.clone() for name, weight in state(model).items() if name != "encoder.embed_tokens.weight"}


def _swapped(weight: torch.Tensor) -> torch.Tensor:
    first, second = weight.chunk(2)
    return torch.cat([second, first])


def _modulation(module: Any, place: str, swapped: bool = False) -> Weights:
    return {f"{place}.{kind}": _swapped(weight) if swapped else weight.clone() for kind, weight in state(module).items()}


def _together(*modules: Any) -> Weights:
    kinds = [kind for kind in ("weight", "bias") if getattr(modules[0], kind) is not None]
    return {kind: torch.cat([getattr(module, kind).data for module in modules]) for kind in kinds}


def transformer_3(model: Any) -> Weights:
    """Stable Diffusion 3 and 3.5: two blocks side by side, of the picture and of the text."""
    embedder = model.time_text_embed
    found = named(state(model.pos_embed.proj), "x_embedder.proj") | {"pos_embed": model.pos_embed.pos_embed.clone()}
    found |= named(state(model.context_embedder), "context_embedder")
    found |= named(state(embedder.timestep_embedder), "t_embedder.mlp", ("linear_1", "0"), ("linear_2", "2"))
    found |= named(state(embedder.text_embedder), "y_embedder.mlp", ("linear_1", "0"), ("linear_2", "2"))
    found |= _modulation(model.norm_out.linear, "final_layer.adaLN_modulation.1", swapped=True)
    found |= named(state(model.proj_out), "final_layer.linear")
    for number, block in enumerate(model.transformer_blocks):
        picture, text = f"joint_blocks.{number}.x_block", f"joint_blocks.{number}.context_block"
        found |= _modulation(block.norm1.linear, f"{picture}.adaLN_modulation.1")
        found |= _modulation(block.norm1_context.linear, f"{text}.adaLN_modulation.1", swapped=block.context_pre_only)
        attention = block.attn
        found |= named(_together(attention.to_q, attention.to_k, attention.to_v), f"{picture}.attn.qkv")
        found |= named(_together(attention.add_q_proj, attention.add_k_proj, attention.add_v_proj), f"{text}.attn.qkv")
        found |= named(state(attention.to_out[0]), f"{picture}.attn.proj")
        found |= named(state(block.ff.net[0].proj), f"{picture}.mlp.fc1") | named(state(block.ff.net[2]), f"{picture}.mlp.fc2")
        if not block.context_pre_only:
            found |= named(state(attention.to_add_out), f"{text}.attn.proj")
            found |= named(state(block.ff_context.net[0].proj), f"{text}.mlp.fc1")
            found |= named(state(block.ff_context.net[2]), f"{text}.mlp.fc2")
        if attention.norm_q is not None:
            found |= named(state(attention.norm_q), f"{picture}.attn.ln_q") | named(state(attention.norm_k), f"{picture}.attn.ln_k")
            found |= named(state(attention.norm_added_q), f"{text}.attn.ln_q")
            found |= named(state(attention.norm_added_k), f"{text}.attn.ln_k")
        if (second := getattr(block, "attn2", None)) is not None:
            found |= named(_together(second.to_q, second.to_k, second.to_v), f"{picture}.attn2.qkv")
            found |= named(state(second.to_out[0]), f"{picture}.attn2.proj")
            found |= named(state(second.norm_q), f"{picture}.attn2.ln_q") | named(state(second.norm_k), f"{picture}.attn2.ln_k")
    return found


def transformer_flux(model: Any) -> Weights:
    """Flux: double blocks of picture and text, and single blocks of both in one row."""
    embedder = model.time_text_embed
    found = named(state(model.context_embedder), "txt_in") | named(state(model.x_embedder), "img_in")
    for module, place in (("timestep_embedder", "time_in"), ("text_embedder", "vector_in"), ("guidance_embedder", "guidance_in")):
        if hasattr(embedder, module):
            found |= named(state(getattr(embedder, module)), place, ("linear_1", "in_layer"), ("linear_2", "out_layer"))
    found |= _modulation(model.norm_out.linear, "final_layer.adaLN_modulation.1", swapped=True)
    found |= named(state(model.proj_out), "final_layer.linear")
    for number, block in enumerate(model.transformer_blocks):
        place, attention = f"double_blocks.{number}", block.attn
        found |= named(_together(attention.to_q, attention.to_k, attention.to_v), f"{place}.img_attn.qkv")
        found |= named(_together(attention.add_q_proj, attention.add_k_proj, attention.add_v_proj), f"{place}.txt_attn.qkv")
        found |= named(state(attention.to_out[0]), f"{place}.img_attn.proj")
        found |= named(state(attention.to_add_out), f"{place}.txt_attn.proj")
        found |= _norms(attention.norm_q, attention.norm_k, f"{place}.img_attn.norm")
        found |= _norms(attention.norm_added_q, attention.norm_added_k, f"{place}.txt_attn.norm")
        found |= _modulation(block.norm1.linear, f"{place}.img_mod.lin")
        found |= _modulation(block.norm1_context.linear, f"{place}.txt_mod.lin")
        for ours, theirs in ((block.ff, "img_mlp"), (block.ff_context, "txt_mlp")):
            found |= named(state(ours.net[0].proj), f"{place}.{theirs}.0") | named(state(ours.net[2]), f"{place}.{theirs}.2")
    for number, block in enumerate(model.single_transformer_blocks):
        place, attention = f"single_blocks.{number}", block.attn
        found |= named(_together(attention.to_q, attention.to_k, attention.to_v, block.proj_mlp), f"{place}.linear1")
        found |= named(state(block.proj_out), f"{place}.linear2") | _modulation(block.norm.linear, f"{place}.modulation.lin")
        found |= _norms(attention.norm_q, attention.norm_k, f"{place}.norm")
    return found


def _norms(query: Any, key: Any, place: str) -> Weights:
    return {f"{place}.query_norm.scale": query.weight.data.clone(), f"{place}.key_norm.scale": key.weight.data.clone()}


# --- whole models: the folder in diffusers layout, and the one file

UNET = "model.diffusion_model"
KINDS: dict[str, Callable[[Any], Weights]] = {
    "sd1": lambda pipe: (
        named(clip(pipe.text_encoder), "cond_stage_model.transformer")
        | named(unet(pipe.unet), UNET)
        | named(vae(pipe.vae), "first_stage_model")
        | {"alphas_cumprod": torch.ones(1000), "model_ema.decay": torch.tensor(0.9), "model_ema.num_updates": torch.tensor(7)}
    ),
    "sd2": lambda pipe: (
        named(open_clip(pipe.text_encoder, unused_layers=1), "cond_stage_model.model")
        | named(unet(pipe.unet), UNET)
        | named(vae(pipe.vae), "first_stage_model")
    ),
    "sdxl": lambda pipe: (
        named(clip(pipe.text_encoder), "conditioner.embedders.0.transformer")
        | named(open_clip(pipe.text_encoder_2), "conditioner.embedders.1.model")
        | named(unet(pipe.unet), UNET)
        | named(vae(pipe.vae), "first_stage_model")
    ),
    "refiner": lambda pipe: (
        named(open_clip(pipe.text_encoder_2), "conditioner.embedders.0.model")
        | named(unet(pipe.unet), UNET)
        | named(vae(pipe.vae), "first_stage_model")
    ),
    "sd3": lambda pipe: (
        named(transformer_3(pipe.transformer), UNET)
        | named(clip(pipe.text_encoder), "text_encoders.clip_l.transformer")
        | named(clip(pipe.text_encoder_2), "text_encoders.clip_g.transformer")
        | ({} if pipe.text_encoder_3 is None else named(t5(pipe.text_encoder_3), "text_encoders.t5xxl.transformer"))
        | named(vae(pipe.vae), "first_stage_model")
    ),
    "flux": lambda pipe: (
        named(transformer_flux(pipe.transformer), UNET)
        | named(clip(pipe.text_encoder), "text_encoders.clip_l.transformer")
        | named(t5(pipe.text_encoder_2), "text_encoders.t5xxl.transformer")
        | named(vae(pipe.vae), "vae")
    ),
}
KINDS |= {"sd2-v": KINDS["sd2"], "sd3.5": KINDS["sd3"], "sd3-without-t5": KINDS["sd3"], "schnell": KINDS["flux"]}
SHIPPED = {
    **{"sd1": "stable-diffusion-1", "sd2": "stable-diffusion-2-epsilon", "sd2-v": "stable-diffusion-2-v"},
    **{"sdxl": "stable-diffusion-xl", "refiner": "stable-diffusion-xl-refiner"},
}
"""The folder of the package with the configurations of a kind."""


def folder(path: Path, kind: str) -> Path:
    """Write a tiny model of the real topology and of random weights into the folder `path`."""
    makers = {
        **{"sd1": _stable_diffusion, "sd2": _stable_diffusion, "sd2-v": _stable_diffusion},
        **{"sdxl": _stable_diffusion_xl, "refiner": _stable_diffusion_xl},
    }
    with torch.random.fork_rng():
        torch.manual_seed(len(kind))
        if kind in makers:
            makers[kind](path, kind)
            released.configured(path, SHIPPED[kind])
        elif kind == "sd3.5":
            _stable_diffusion_3_5(path)
        elif kind.startswith("sd3"):
            tiny.stable_diffusion_3(path, with_t5=kind == "sd3")
        else:
            tiny.flux(path, schnell=kind == "schnell")
    return path


def weights(path: Path, kind: str) -> Weights:
    """The weights of the model in a folder under the names of its original release."""
    return KINDS[kind](loaded(path, diffusers.DiffusionPipeline))


def configurations(source: Path, target: Path, *without: str) -> Path:
    """Copy what is in a folder beside the weights, but for some components."""
    names = [path for pattern in CONFIGURATIONS for path in source.rglob(pattern)]
    for path in (path for path in names if path.parent.name not in without):
        (target / path.relative_to(source)).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, target / path.relative_to(source))
    return target


def write(weights: Weights, path: Path, form: str = "safetensors") -> Path:
    """Write a file in one of the forms safetensors, zip (of torch.save), legacy (of torch.save before), lightning."""
    if form == "safetensors":
        save_file({name: weight.contiguous() for name, weight in weights.items()}, path)
    else:
        inside: dict[str, Any] = {"state_dict": weights, "global_step": 470_000, "epoch": 6}
        torch.save(inside, path, _use_new_zipfile_serialization=form != "legacy")
    return path


def _clip(words: Any, width: int, cls: Any = CLIPTextModel, projection: int = 24, act: str = "quick_gelu") -> Any:
    special = {"bos_token_id": words.bos_token_id, "eos_token_id": words.eos_token_id, "pad_token_id": words.pad_token_id}
    layers = {"num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 32, "hidden_act": act}
    return cls(CLIPTextConfig(vocab_size=len(words), hidden_size=width, projection_dim=projection, **layers, **special))


def _unet(width: int, levels: str, depth: Any = 1, **more: Any) -> Any:
    """`levels` has a letter for each level: a with attention, - without."""
    down = {"a": "CrossAttnDownBlock2D", "-": "DownBlock2D"}
    up = {"a": "CrossAttnUpBlock2D", "-": "UpBlock2D"}
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        block_out_channels=(16, 16, 32, 32)[: len(levels)],
        layers_per_block=2,
        norm_num_groups=4,
        attention_head_dim=4,
        cross_attention_dim=width,
        transformer_layers_per_block=depth,
        down_block_types=tuple(down[level] for level in levels),
        up_block_types=tuple(up[level] for level in reversed(levels)),
        **more,
    )


def _vae(**more: Any) -> Any:
    return diffusers.AutoencoderKL(
        block_out_channels=(8, 8, 16, 16),
        layers_per_block=2,
        norm_num_groups=4,
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        sample_size=64,
        **{"scaling_factor": 0.18215, **more},
    )


def _stable_diffusion(path: Path, kind: str) -> None:
    first = kind == "sd1"
    words, width = tiny.tokenizer(END if first else EXCLAMATION), 768 if first else 1024
    unet = _unet(width, "aaa-", use_linear_projection=not first)
    if kind == "sd2-v":
        # What tells it from the model that predicts the noise.
        torch.nn.init.normal_(unet.up_blocks[3].attentions[2].transformer_blocks[0].norm1.bias, std=0.2)
    diffusers.StableDiffusionPipeline(
        text_encoder=_clip(words, width, act="quick_gelu" if first else "gelu"),
        tokenizer=words,
        unet=unet,
        vae=_vae(),
        scheduler=released.scheduler(SHIPPED[kind]),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    ).save_pretrained(path)


def _stable_diffusion_xl(path: Path, kind: str) -> None:
    refiner = kind == "refiner"
    words, words_2 = tiny.tokenizer(), tiny.tokenizer(EXCLAMATION)
    numbers = {"addition_embed_type": "text_time", "addition_time_embed_dim": 4, "use_linear_projection": True}
    width = {"projection_class_embeddings_input_dim": 24 + 4 * (5 if refiner else 6)}
    unet = _unet(1280, "-aa-", 4, **numbers, **width) if refiner else _unet(2048, "-aa", [1, 2, 10], **numbers, **width)
    common = {
        "text_encoder_2": _clip(words_2, 1280, CLIPTextModelWithProjection, act="gelu"),
        "tokenizer_2": words_2,
        "unet": unet,
        "vae": _vae(scaling_factor=0.13025, force_upcast=True),
        "scheduler": released.scheduler(SHIPPED[kind]),
        "add_watermarker": False,
    }
    if refiner:
        of_the_refiner = {"requires_aesthetics_score": True, "force_zeros_for_empty_prompt": False}
        pipe = diffusers.StableDiffusionXLImg2ImgPipeline(text_encoder=None, tokenizer=None, **common, **of_the_refiner)
    else:
        pipe = diffusers.StableDiffusionXLPipeline(text_encoder=_clip(words, 768), tokenizer=words, **common)
    pipe.save_pretrained(path)


def _stable_diffusion_3_5(path: Path) -> None:
    """3.5 medium: normed queries and keys, and a second attention in the first blocks."""
    tiny.stable_diffusion_3(path)
    config = diffusers.SD3Transformer2DModel.load_config(path, subfolder="transformer")
    changed = {**config, "num_layers": 3, "qk_norm": "rms_norm", "dual_attention_layers": (0, 1)}
    diffusers.SD3Transformer2DModel.from_config(changed).save_pretrained(path / "transformer")


def parts_alone(pipe: Any) -> Iterator[tuple[str, Weights]]:
    """What people have of Flux: four files, each of one component and without prefixes."""
    yield "transformer", transformer_flux(pipe.transformer)
    yield "text_encoder", clip(pipe.text_encoder)
    yield "text_encoder_2", t5(pipe.text_encoder_2)
    yield "vae", vae(pipe.vae)
