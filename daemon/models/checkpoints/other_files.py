"""What else people keep beside the models that run here: other models, adapters and components alone, each told by a few weights.

The weights are those by which ComfyUI (comfy/model_detection.py) and diffusers (loaders/single_file_utils.py) tell a model, or the
ones that its class alone has. A name counts with and without what may stand in front of a denoiser."""

import re
from collections.abc import Mapping, Sequence

from daemon.models.checkpoints import layouts
from daemon.models.checkpoints.stored import Index

_BEFORE = (layouts.DENOISER, "diffusion_model.", "model.", "net.", "transformer.", "control_model.", "controlnet.")
_LORA = re.compile(r"[._]lora(_[AB](\.default)?|_down|_up|(_linear_layer)?\.(down|up))\.weight$")
_LIKE_LORA = re.compile(r"\.(hada_w1_a|lokr_w1(_a)?|dora_scale|oft_blocks|on_input)$")
_MOTION = re.compile(r"\.motion_modules\.\d+\.")
_RUN_NOT = "no model that can be run"

Signs = Mapping[str, Sequence[Sequence[str]]]
"""What a file is, by the weights that tell it: all of one row are in it."""

_ADAPTERS: Signs = {
    f"a ControlNet made as a LoRA (Control-LoRA), {_RUN_NOT}": [["lora_controlnet"]],
    f"a ControlNet of Flux, {_RUN_NOT}": [
        ["controlnet_x_embedder.weight", "time_text_embed.text_embedder.linear_1.weight"],
        ["controlnet_blocks.0.weight", "double_blocks.0.img_attn.norm.key_norm.scale"],
    ],
    f"a ControlNet of Qwen-Image, {_RUN_NOT}": [["controlnet_x_embedder.weight", "txt_norm.weight"]],
    f"a ControlNet of Stable Diffusion 3, {_RUN_NOT}": [["controlnet_blocks.0.weight", "pos_embed_input.proj.weight"]],
    f"a ControlNet, {_RUN_NOT}": [
        ["input_hint_block.0.weight"],
        ["controlnet_cond_embedding.conv_in.weight"],
        ["controlnet_blocks.0.weight"],
        ["control_layers.0.adaLN_modulation.0.weight"],
    ],
    f"an IP-Adapter, {_RUN_NOT}": [
        ["ip_adapter.1.to_k_ip.weight"],
        ["image_proj.proj.weight"],
        ["image_proj.latents"],
        ["ip_adapter_proj_model.proj.weight"],
    ],
    f"a T2I-Adapter, {_RUN_NOT}": [["body.0.block1.weight", "conv_in.weight"], ["adapter.body.0.resnets.0.block1.weight"]],
    f"Flux Redux, {_RUN_NOT}": [["redux_up.weight", "redux_down.weight"]],
    f"an upscaler of pictures (ESRGAN), {_RUN_NOT}": [
        ["model.1.sub.0.RDB1.conv1.0.weight"],
        ["body.0.rdb1.conv1.weight", "conv_first.weight"],
        ["RRDB_trunk.0.RDB1.conv1.weight"],
    ],
}
_MODELS: Signs = {
    "a Playground model (EDM)": [["edm_mean"]],
    "a CosXL model (v-prediction over noise levels of EDM)": [["edm_vpred.sigma_max"], ["edm_vpred.sigma_min"]],
    "Stable Video Diffusion": [
        ["input_blocks.1.0.time_stack.in_layers.0.weight"],
        ["down_blocks.0.resnets.0.temporal_res_block.conv1.weight"],
    ],
    "a model of views from a picture (Zero123)": [["cc_projection.weight"]],
    "Kolors": [["encoder_hid_proj.weight", "add_embedding.linear_1.weight"]],
    "Stable Cascade": [
        ["clip_txt_mapper.weight"],
        ["clip_mapper.weight", "clf.1.weight"],
        ["down_blocks.1.0.channelwise.0.weight"],
    ],
    "a Chroma Radiance model": [["distilled_guidance_layer.in_proj.bias", "img_in_patch.weight"]],
    "a Chroma model": [["distilled_guidance_layer.in_proj.bias"]],
    "a Flux 2 model": [["single_stream_modulation.lin.weight"], ["single_stream_modulation.linear.weight"]],
    "an Ovis-Image model": [["double_blocks.0.img_mlp.gate_proj.weight"]],
    "HunyuanVideo": [
        ["double_blocks.0.img_attn_qkv.weight", "vector_in.in_layer.weight"],
        ["txt_in.individual_token_refiner.blocks.0.norm1.weight", "vector_in.in_layer.weight"],
        ["txt_in.individual_token_refiner.blocks.0.norm1.weight", "vision_in.proj.0.weight"],
        ["context_embedder.time_text_embed.text_embedder.linear_1.weight", "time_text_embed.text_embedder.linear_1.weight"],
    ],
    "HunyuanImage": [
        ["byt5_in.fc1.weight"],
        ["txt_in.individual_token_refiner.blocks.0.norm1.weight"],
        ["context_embedder.time_text_embed.text_embedder.linear_1.weight"],
    ],
    "HunyuanDiT": [["mlp_t5.0.weight"], ["text_embedding_padding"]],
    "Hunyuan3D": [["latent_in.weight", "cond_in.weight"]],
    "Qwen-Image": [["txt_norm.weight", "transformer_blocks.0.img_mod.1.weight"]],
    "Z-Image": [["cap_embedder.1.weight", "layers.0.adaLN_modulation.0.weight"]],
    "Lumina 2": [
        ["cap_embedder.1.weight", "layers.0.adaLN_modulation.1.weight"],
        ["time_caption_embed.caption_embedder.1.weight"],
    ],
    "PixArt": [["t_block.1.weight"], ["adaln_single.emb.timestep_embedder.linear_1.weight", "pos_embed.proj.weight"]],
    "AuraFlow": [["double_layers.0.attn.w1q.weight"], ["register_tokens", "joint_transformer_blocks.0.attn.to_q.weight"]],
    "Sana": [["attention_y_norm.weight"], ["caption_norm.weight", "time_embed.linear.weight"]],
    "HiDream": [["caption_projection.0.linear.weight"]],
    "Cosmos": [
        ["blocks.block0.blocks.0.block.attn.to_q.0.weight"],
        ["blocks.0.mlp.layer1.weight"],
        ["learnable_pos_embed.pos_emb_t"],
    ],
    "Wan": [["head.modulation"], ["condition_embedder.time_embedder.linear_1.weight"]],
    "LTX-Video": [
        ["patchify_proj.weight", "adaln_single.linear.weight"],
        ["proj_in.weight", "time_embed.emb.timestep_embedder.linear_1.weight", "scale_shift_table"],
    ],
    "Mochi": [["t5_yproj.weight"], ["blocks.0.attn.qkv_x.weight"], ["pos_frequencies", "time_embed.caption_proj.weight"]],
    "CogVideoX": [["patch_embed.text_proj.weight", "transformer_blocks.0.norm1.linear.weight", "time_embedding.linear_1.weight"]],
    "OmniGen": [["llm.layers.0.self_attn.qkv_proj.weight"]],
    "Kandinsky": [["time_embeddings.in_layer.weight", "visual_embeddings.in_layer.weight"]],
    "Stable Audio": [["transformer.rotary_pos_emb.inv_freq"], ["model.transformer.rotary_pos_emb.inv_freq"]],
}
_OTHER_VAES: Signs = {
    "a VAE of another kind of model (of video, or of Qwen-Image)": [
        ["decoder.middle.0.residual.0.gamma"],
        ["decoder.mid_block.resnets.0.norm1.gamma"],
        ["decoder.conv_in.conv.weight"],
    ],
    "a tiny VAE (TAESD)": [["decoder.layers.0.weight", "encoder.layers.0.weight"], ["decoder.1.weight"]],
}
_INVERSIONS = [["emb_params"], ["clip_l"], ["clip_g"], ["string_to_param"], ["string_to_param.*"], ["text_encoders_0"]]
# A component alone, and what to do with it.
_ALONE: Signs = {
    **{f"{what}, {_RUN_NOT}": rows for what, rows in _OTHER_VAES.items()},
    "a VAE alone: name it under `vaes` in config.yaml, or under a model's `parts`": [
        [f"{prefix}decoder.conv_in.weight"] for prefix in (layouts.WHOLE, *layouts.VAES)
    ],
    f"the text encoder of another kind of model (UMT5), {_RUN_NOT}": [
        ["shared.weight", "encoder.block.1.layer.0.SelfAttention.relative_attention_bias.weight"],
    ],
    "a text encoder alone: name it under a model's `parts` in config.yaml": [
        ["token_embedding.weight"],
        ["shared.weight"],
        ["encoder.embed_tokens.weight"],
        ["enc.blk.0.attn_q.weight"],
        *(
            [prefix + "text_model.embeddings.token_embedding.weight"]
            for prefix in (layouts.WHOLE, layouts.CLIP_1, layouts.CLIP_XL, layouts.CLIP_L)
        ),
    ],
    f"a CLIP that sees pictures and reads no words, {_RUN_NOT}": [["vision_model.embeddings.patch_embedding.weight"]],
    f"a language model (Qwen, Gemma or Llama), {_RUN_NOT}": [
        ["embed_tokens.weight", "layers.0.self_attn.q_proj.weight"],
        ["token_embd.weight", "blk.0.attn_q.weight"],
    ],
    "one component of a folder in diffusers layout: name the whole folder as the `path`": [
        ["down_blocks.0.resnets.0.conv1.weight"],
        ["transformer_blocks.0.attn.to_q.weight", "time_text_embed.text_embedder.linear_1.weight"],
    ],
    f"a textual inversion, {_RUN_NOT}: put it into the folder `textual_inversions` of `adapters` in config.yaml": _INVERSIONS,
}


def other_file(index: Index) -> str | None:
    """What a file is, in a few words, where its weights tell another model than those that run, or an adapter; None otherwise."""
    if what := _adapter(index):
        return what
    names = _names(index)
    if what := _told(_ADAPTERS, names):
        return what
    model = _told(_MODELS, names)
    return model and f"{model}, which is not supported"


def vae_of_another_kind(index: Index) -> str | None:
    """What VAE a file holds, in a few words, where no model that runs can have it; None otherwise."""
    return _told(_OTHER_VAES, _names(index))


def is_textual_inversion(index: Index) -> bool:
    """Whether a file holds a textual inversion."""
    return any(index.keys() >= {*row} for row in _INVERSIONS)


def alone(index: Index) -> str:
    """What a file without a denoiser in an original layout is, in a few words with what to do."""
    return _told(_ALONE, _names(index)) or _RUN_NOT


def _adapter(index: Index) -> str | None:
    """The adapters whose names end in the same way for each layer of a model, or have it in the middle."""
    if "lora_controlnet" in index:
        return None
    if any(_LIKE_LORA.search(name) for name in index):
        return f"an adapter in the form of LyCORIS (LoKr, LoHa, DoRA or the like), {_RUN_NOT}"
    if any(_LORA.search(name) for name in index):
        return f"a LoRA, {_RUN_NOT}: put it into the folder `loras` of `adapters` in config.yaml"
    return f"a motion module (AnimateDiff), {_RUN_NOT}" if any(_MOTION.search(name) for name in index) else None


def _names(index: Index) -> frozenset[str]:
    """All names, also without what stands before those of a denoiser."""
    return frozenset([*index, *(name.removeprefix(before) for before in _BEFORE for name in index if name.startswith(before))])


def _told(signs: Signs, names: frozenset[str]) -> str | None:
    return next((what for what, rows in signs.items() if any(names.issuperset(row) for row in rows)), None)
