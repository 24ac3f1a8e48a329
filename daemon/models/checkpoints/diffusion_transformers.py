"""The names of the transformers of Stable Diffusion 3 and Flux in their original releases.

Both hold queries, keys and values in one matrix, and the last modulation with shift and scale in the other order."""

from collections.abc import Sequence

from daemon.models.checkpoints.pieces import Config, Piece, Rule, renamed

_THREE = ("q", "k", "v")
_SD3: Sequence[Rule] = (
    (r"^pos_embed\.proj\.", "x_embedder.proj."),
    (r"^pos_embed\.pos_embed$", "pos_embed"),
    (r"^time_text_embed\.timestep_embedder\.linear_1\.", "t_embedder.mlp.0."),
    (r"^time_text_embed\.timestep_embedder\.linear_2\.", "t_embedder.mlp.2."),
    (r"^time_text_embed\.text_embedder\.linear_1\.", "y_embedder.mlp.0."),
    (r"^time_text_embed\.text_embedder\.linear_2\.", "y_embedder.mlp.2."),
    (r"^norm_out\.linear\.", "final_layer.adaLN_modulation.1."),
    (r"^proj_out\.", "final_layer.linear."),
    (r"^transformer_blocks\.(\d+)\.", r"joint_blocks.\1."),
    (r"\.norm1\.linear\.", ".x_block.adaLN_modulation.1."),
    (r"\.norm1_context\.linear\.", ".context_block.adaLN_modulation.1."),
    (r"\.ff\.net\.0\.proj\.", ".x_block.mlp.fc1."),
    (r"\.ff\.net\.2\.", ".x_block.mlp.fc2."),
    (r"\.ff_context\.net\.0\.proj\.", ".context_block.mlp.fc1."),
    (r"\.ff_context\.net\.2\.", ".context_block.mlp.fc2."),
    (r"\.attn(2?)\.to_[qkv]\.", r".x_block.attn\1.qkv."),
    (r"\.attn\.add_[qkv]_proj\.", ".context_block.attn.qkv."),
    (r"\.attn(2?)\.norm_([qk])\.", r".x_block.attn\1.ln_\2."),
    (r"\.attn\.norm_added_([qk])\.", r".context_block.attn.ln_\1."),
    (r"\.attn(2?)\.to_out\.0\.", r".x_block.attn\1.proj."),
    (r"\.attn\.to_add_out\.", ".context_block.attn.proj."),
)
_FLUX: Sequence[Rule] = (
    (r"^time_text_embed\.timestep_embedder\.", "time_in."),
    (r"^time_text_embed\.text_embedder\.", "vector_in."),
    (r"^time_text_embed\.guidance_embedder\.", "guidance_in."),
    (r"_in\.linear_1\.", "_in.in_layer."),
    (r"_in\.linear_2\.", "_in.out_layer."),
    (r"^context_embedder\.", "txt_in."),
    (r"^x_embedder\.", "img_in."),
    (r"^norm_out\.linear\.", "final_layer.adaLN_modulation.1."),
    (r"^proj_out\.", "final_layer.linear."),
    (r"^single_transformer_blocks\.(\d+)\.", r"single_blocks.\1."),
    (r"^(single_blocks\.\d+)\.norm\.linear\.", r"\1.modulation.lin."),
    (r"^(single_blocks\.\d+)\.(attn\.to_[qkv]|proj_mlp)\.", r"\1.linear1."),
    (r"^(single_blocks\.\d+)\.attn\.norm_q\.weight", r"\1.norm.query_norm.scale"),
    (r"^(single_blocks\.\d+)\.attn\.norm_k\.weight", r"\1.norm.key_norm.scale"),
    (r"^(single_blocks\.\d+)\.proj_out\.", r"\1.linear2."),
    (r"^transformer_blocks\.(\d+)\.", r"double_blocks.\1."),
    (r"\.norm1\.linear\.", ".img_mod.lin."),
    (r"\.norm1_context\.linear\.", ".txt_mod.lin."),
    (r"\.ff\.net\.0\.proj\.", ".img_mlp.0."),
    (r"\.ff\.net\.2\.", ".img_mlp.2."),
    (r"\.ff_context\.net\.0\.proj\.", ".txt_mlp.0."),
    (r"\.ff_context\.net\.2\.", ".txt_mlp.2."),
    (r"\.attn\.to_[qkv]\.", ".img_attn.qkv."),
    (r"\.attn\.add_[qkv]_proj\.", ".txt_attn.qkv."),
    (r"\.attn\.norm_q\.weight", ".img_attn.norm.query_norm.scale"),
    (r"\.attn\.norm_k\.weight", ".img_attn.norm.key_norm.scale"),
    (r"\.attn\.norm_added_q\.weight", ".txt_attn.norm.query_norm.scale"),
    (r"\.attn\.norm_added_k\.weight", ".txt_attn.norm.key_norm.scale"),
    (r"\.attn\.to_out\.0\.", ".img_attn.proj."),
    (r"\.attn\.to_add_out\.", ".txt_attn.proj."),
)


def stable_diffusion_3(name: str, config: Config) -> Sequence[Piece]:
    """The transformer of Stable Diffusion 3 and 3.5; its last block has no more of the text than a modulation of the last kind."""
    last = f"transformer_blocks.{int(config['num_layers']) - 1}.norm1_context."
    swapped = name.startswith(("norm_out.", last))
    return (Piece(renamed(name, _SD3), nth=_nth(name), swapped=swapped),)


def flux(name: str, config: Config) -> Sequence[Piece]:
    """The transformer of Flux; its single blocks hold the first half of their feed-forward below queries, keys and values."""
    del config
    nth = -1 if ".proj_mlp." in name else _nth(name)
    return (Piece(renamed(name, _FLUX), nth=nth, swapped=name.startswith("norm_out.")),)


def _nth(name: str) -> int | None:
    """Which of the three that share a matrix it is."""
    return next((_THREE.index(letter) for letter in _THREE if f".to_{letter}." in name or f".add_{letter}_proj." in name), None)
