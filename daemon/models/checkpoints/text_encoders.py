"""The names of text encoders in single files: CLIP and T5 keep those of transformers, OpenCLIP and llama.cpp have their own."""

import re
from collections.abc import Sequence

from daemon.models.checkpoints.pieces import Config, Piece, Rule, renamed

_WRAPPER = "text_model."
_OPEN_CLIP: Sequence[Rule] = (
    (r"^embeddings\.position_embedding\.weight$", "positional_embedding"),
    (r"^embeddings\.token_embedding\.", "token_embedding."),
    (r"^final_layer_norm\.", "ln_final."),
    (r"^encoder\.layers\.", "transformer.resblocks."),
    (r"\.layer_norm(\d)\.", r".ln_\1."),
    (r"\.mlp\.fc1\.", ".mlp.c_fc."),
    (r"\.mlp\.fc2\.", ".mlp.c_proj."),
    (r"\.self_attn\.out_proj\.", ".attn.out_proj."),
    (r"\.self_attn\.[qkv]_proj\.", ".attn.in_proj_"),
)
_T5_OF_LLAMA: Sequence[Rule] = (
    (r"^(shared|encoder\.embed_tokens)\.", "token_embd."),
    (r"^encoder\.final_layer_norm\.", "enc.output_norm."),
    (r"^encoder\.block\.(\d+)\.layer\.\d\.", r"enc.blk.\1."),
    (r"\.SelfAttention\.relative_attention_bias\.", ".attn_rel_b."),
    (r"\.SelfAttention\.([qkvo])\.", r".attn_\1."),
    (r"\.DenseReluDense\.wi_0\.", ".ffn_gate."),
    (r"\.DenseReluDense\.wi(_1)?\.", ".ffn_up."),
    (r"\.DenseReluDense\.wo\.", ".ffn_down."),
)


def clip(name: str, config: Config) -> Sequence[Piece]:
    """CLIP as transformers writes it; which of its classes have the wrapper changes from version to version.

    Files of Stable Diffusion 3 may come without the projection of the first encoder, which then is none (diffusers)."""
    del config
    bare = name.removeprefix(_WRAPPER)
    pieces = (Piece(_WRAPPER + bare), Piece(bare))
    return (*pieces, Piece(bare, identity=True)) if bare == "text_projection.weight" else pieces


def open_clip(name: str, config: Config) -> Sequence[Piece]:
    """OpenCLIP: queries, keys and values in one matrix, the projection on its other side."""
    del config
    bare = name.removeprefix(_WRAPPER)
    if bare == "text_projection.weight":
        return (Piece("text_projection", transposed=True), Piece("text_projection.weight"))
    key = renamed(bare, _OPEN_CLIP)
    return (Piece(key, nth="qkv".index(bare.split(".")[-2][0]) if "in_proj" in key else None),)


def t5(name: str, config: Config) -> Sequence[Piece]:
    """T5: the table of words stands there once, under one of two names."""
    del config
    words = ("shared.weight", "encoder.embed_tokens.weight")
    return tuple(Piece(word) for word in words) if name in words else (Piece(name),)


def t5_of_llama(name: str, config: Config) -> Sequence[Piece]:
    """T5 as llama.cpp writes it into a GGUF file."""
    del config
    key = renamed(name, _T5_OF_LLAMA)
    norm = ".attn_norm." if ".layer.0." in name else ".ffn_norm."
    return (Piece(re.sub(r"(blk\.\d+)\.layer_norm\.", rf"\1{norm}", key)),)
