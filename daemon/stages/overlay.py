"""What a mask leaves black comes back: the decoded picture is laid over the one of before.

C latent channels   H, W height and width of the picture   h, w of the latents
"""

from collections.abc import Callable, Mapping

import torch

from daemon.models.overlaying import OVERLAY, OVERLAY_LATENTS, OVERLAY_MASK, fault_of, grown, laid_over, picture_of
from daemon.models.stage_settings import StageSettings


def with_picture_of_before(
    new: torch.Tensor,
    tensors: Mapping[str, torch.Tensor],
    settings: StageSettings,
    *,
    decoded: Callable[[torch.Tensor], torch.Tensor],
    notes: list[str],
) -> torch.Tensor:
    """Return a new picture (H, W, 3) laid over the one of before, where an overlay_mask (H, W) comes with the latents.

    That is `overlay` (H, W, 3), or what is `decoded` of overlay_latents (C, h, w); a note says how much of it is left."""
    if OVERLAY_MASK not in tensors:
        return new
    fault = fault_of(tensors, (new.shape[0], new.shape[1]))
    if fault:
        notes.append(f"the picture of before that goes along with the latents {fault}, so that nothing of it comes back")
        return new
    before = picture_of(tensors[OVERLAY]) if OVERLAY in tensors else decoded(tensors[OVERLAY_LATENTS])
    weights = grown(tensors[OVERLAY_MASK], settings.get("mask_blur") or 0)
    notes.append(f"{float((weights == 0).float().mean()):.0%} of the picture is that of before, to the bit")
    return laid_over(new, before, weights)
