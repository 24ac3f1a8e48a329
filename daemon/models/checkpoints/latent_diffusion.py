"""The names of UNet and VAE in the releases of Stable Diffusion 1, 2 and XL, which follow the latent-diffusion code.

There the blocks of the UNet are numbered through, and a VAE counts the levels of its decoder from the picture's side."""

import re
from collections.abc import Sequence
from typing import Any

from daemon.models.checkpoints.pieces import Config, Piece, Rule, renamed

_UNET: Sequence[Rule] = (
    (r"^time_embedding\.linear_1\.", "time_embed.0."),
    (r"^time_embedding\.linear_2\.", "time_embed.2."),
    (r"^time_embedding\.cond_proj\.", "time_embed.cond_proj."),
    (r"^add_embedding\.linear_1\.", "label_emb.0.0."),
    (r"^add_embedding\.linear_2\.", "label_emb.0.2."),
    (r"^conv_in\.", "input_blocks.0.0."),
    (r"^conv_norm_out\.", "out.0."),
    (r"^conv_out\.", "out.2."),
    (r"^(input_blocks\.\d+\.0)\.conv\.", r"\1.op."),
    (r"^mid_block\.resnets\.0\.", "middle_block.0."),
    (r"^mid_block\.attentions\.0\.", "middle_block.1."),
    (r"^mid_block\.resnets\.1\.", "middle_block.2."),
)
_RESNET: Sequence[Rule] = (
    (r"\.norm1\.", ".in_layers.0."),
    (r"\.conv1\.", ".in_layers.2."),
    (r"\.time_emb_proj\.", ".emb_layers.1."),
    (r"\.norm2\.", ".out_layers.0."),
    (r"\.conv2\.", ".out_layers.3."),
    (r"\.conv_shortcut\.", ".skip_connection."),
)
_VAE: Sequence[Rule] = (
    (r"^encoder\.down_blocks\.(\d+)\.resnets\.", r"encoder.down.\1.block."),
    (r"^encoder\.down_blocks\.(\d+)\.downsamplers\.0\.", r"encoder.down.\1.downsample."),
    (r"\.mid_block\.resnets\.0\.", ".mid.block_1."),
    (r"\.mid_block\.resnets\.1\.", ".mid.block_2."),
    (r"\.mid_block\.attentions\.0\.", ".mid.attn_1."),
    (r"\.attn_1\.group_norm\.", ".attn_1.norm."),
    (r"\.attn_1\.to_([qkv])\.", r".attn_1.\1."),
    (r"\.attn_1\.to_out\.0\.", ".attn_1.proj_out."),
    (r"\.conv_norm_out\.", ".norm_out."),
    (r"\.conv_shortcut\.", ".nin_shortcut."),
)
# Until its version 0.12 diffusers had other names for the one attention of a VAE.
_OLD_VAE: Sequence[Rule] = (
    (r"\.to_q\.", ".query."),
    (r"\.to_k\.", ".key."),
    (r"\.to_v\.", ".value."),
    (r"\.to_out\.0\.", ".proj_attn."),
)
_BLOCK = re.compile(r"^(down|up)_blocks\.(\d+)\.(resnets|attentions|downsamplers|upsamplers)\.(\d+)\.")


def unet(name: str, config: Config) -> Sequence[Piece]:
    """A UNet of Stable Diffusion 1, 2 or XL."""
    found = _BLOCK.match(name)
    key = renamed(name if found is None else _place(found, config) + name[found.end() :], _UNET)
    return (Piece(renamed(key, _RESNET) if "resnets" in name else key),)


def _place(found: "re.Match[str]", config: Config) -> str:
    """Where a part of a block stands; each level has its layers and, as one more, the step to the next level."""
    way, level, part, layer = found[1], int(found[2]), found[3], int(found[4])
    layers = int(config["layers_per_block"])
    if way == "down":
        last = part == "downsamplers"
        number = 1 + level * (layers + 1) + (layers if last else layer)
        return f"input_blocks.{number}.0." if last else f"input_blocks.{number}.{int(part == 'attentions')}."
    if part == "upsamplers":
        number, attends = level * (layers + 1) + layers, "CrossAttn" in config["up_block_types"][level]
        return f"output_blocks.{number}.{1 + attends}."
    return f"output_blocks.{level * (layers + 1) + layer}.{int(part == 'attentions')}."


def vae(name: str, config: Config) -> Sequence[Piece]:
    """A VAE of any family."""
    highest = len(config["up_block_types"]) - 1

    def level(found: Any) -> str:
        part = {"resnets": "block", "upsamplers.0": "upsample"}[found[2]]
        return f"decoder.up.{highest - int(found[1])}.{part}."

    key = re.sub(r"^decoder\.up_blocks\.(\d+)\.(resnets|upsamplers\.0)\.", level, name)
    return (Piece(renamed(key, _VAE)),)


def old_vae(name: str, config: Config) -> Sequence[Piece]:
    """A VAE as diffusers wrote it before its attention was renamed."""
    del config
    return (Piece(renamed(name, _OLD_VAE)),)
