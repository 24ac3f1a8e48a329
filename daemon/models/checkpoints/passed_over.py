"""What real files hold beside the weights of a component, and no component takes.

All else that stands among the weights is one of another kind of model, and is not passed over."""

import re
from collections.abc import Mapping, Sequence

from daemon.models.checkpoints import scales

_TEXT = (
    # A table of 0, 1, 2 ... that transformers kept until its version 4.31, and OpenCLIP's mask, which is always the same.
    r"(text_model\.)?embeddings\.position_ids",
    r"attn_mask",
    # The other half of a CLIP, and what compares the two.
    r"(vision_model|visual_projection|visual)\..*",
    r"logit_scale|logit_bias",
    # The projection, where only the tokens are wanted.
    r"text_projection(\.weight|\.bias)?",
    # The decoder of a whole T5, under the names of transformers and of llama.cpp, and its vocabulary as ComfyUI keeps it.
    r"decoder\..*|lm_head\.weight|dec\..*|output\.weight|spiece_model",
)
_DENOISER = (
    # The constants of the schedule, and marks, of files without prefixes.
    r"(sqrt_|log_|posterior_).*|alphas_cumprod(_prev)?|betas|lvlb_weights|logvar|denoiser\..*|v_pred|ztsnr|global_step|scale_factor",
    r"model_ema\..*",
)
# What the training of a VAE leaves behind.
_VAE = (r"loss\..*", r"model_ema\..*")
_BY_COMPONENT: Mapping[str, Sequence[str]] = {
    **dict.fromkeys(("text_encoder", "text_encoder_2", "text_encoder_3"), _TEXT),
    **dict.fromkeys(("unet", "transformer"), _DENOISER),
    "vae": _VAE,
}
_BESIDE = (*scales.SCALES, *scales.BESIDE)


def is_passed_over(component: str, name: str) -> bool:
    """Whether something under a component's prefix, by its name behind that, is known to be no weight of any component."""
    beside = name.endswith(_BESIDE) or name == scales.OF_THE_FILE
    return beside or any(re.fullmatch(pattern, name) for pattern in _BY_COMPONENT[component])
