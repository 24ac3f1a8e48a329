"""The names of text encoders in original releases: CLIP and T5 keep those of transformers, OpenCLIP has its own."""

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
