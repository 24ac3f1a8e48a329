"""A decoded picture laid over the one of before: what a mask leaves black comes back to the bit.

Source: the overlay of A1111 (`modules/processing.py`, `apply_overlay`) and InvokeAI's paste-back, whose masks are the weight of
what is new. Those blur a mask to both sides; here it grows outward alone, so that all of what was to be made anew is seen.

    H, W height and width of the picture   C latent channels   h, w latent height and width
"""

from collections.abc import Mapping
from math import sqrt

import numpy as np
import torch
from numpy.typing import NDArray

OVERLAY, OVERLAY_MASK, OVERLAY_LATENTS = "overlay", "overlay_mask", "overlay_latents"
WHITE = 255
WHOLE_NUMBERS: tuple[type[np.uint8 | np.uint16], ...] = (np.uint8, np.uint16)
VALUES_AT_A_TIME = 2**20

Picture = NDArray[np.float32]
Levels = NDArray[np.uint8 | np.uint16]


def overlay_of(picture: torch.Tensor, mask: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return overlay (H, W, 3) and overlay_mask (H, W) uint8 of a picture (H, W, 3), float32, and a mask (H, W) or (h, w), 0..1.

    The picture is in the fewest bytes that give it back to the bit wherever the mask is black."""
    levels = (mask.float().clamp(0, 1) * WHITE).round().to(torch.uint8)
    unit = picture.shape[0] // levels.shape[0]
    levels = levels.repeat_interleave(unit, 0).repeat_interleave(unit, 1)
    return {OVERLAY: torch.from_numpy(_stored(picture.float().numpy(), levels.numpy())), OVERLAY_MASK: levels}


def _stored(picture: Picture, mask: NDArray[np.uint8]) -> Picture | Levels:
    nearest = (_as_levels(picture, mask, kind) for kind in WHOLE_NUMBERS)
    return next((levels for levels in nearest if levels is not None), picture)


def _as_levels(picture: Picture, mask: NDArray[np.uint8], kind: type[np.uint8 | np.uint16]) -> Levels | None:
    """The nearest whole numbers; None where they lose something that counts."""
    levels: Levels = np.empty(picture.shape, kind)
    rows = max(VALUES_AT_A_TIME // picture[0].size, 1)
    for start in range(0, len(picture), rows):
        band = slice(start, start + rows)
        levels[band] = np.rint(np.clip(picture[band], 0, 1) * np.iinfo(kind).max)
        counts = mask[band] == 0
        if not np.array_equal(_in_floats(levels[band])[counts], picture[band][counts]):
            return None
    return levels


def _in_floats(levels: Levels) -> Picture:
    picture: Picture = np.divide(levels, np.float32(np.iinfo(levels.dtype).max), dtype=np.float32)
    return picture


def opened(mask: torch.Tensor, blocks: torch.Tensor) -> torch.Tensor:
    """Return overlay_mask (H, W) with all of the new in blocks (h, w), bool; the same where the two do not fit each other."""
    unit = mask.shape[0] // max(blocks.shape[0], 1)
    pixels = blocks.repeat_interleave(unit, 0).repeat_interleave(unit, 1)
    return mask.masked_fill(pixels, WHITE) if mask.dtype is torch.uint8 and pixels.shape == mask.shape else mask


def picture_of(overlay: torch.Tensor) -> torch.Tensor:
    """Return an overlay (H, W, 3) as a picture, float32."""
    return overlay if overlay.is_floating_point() else torch.from_numpy(_in_floats(overlay.numpy()))


def fault_of(tensors: Mapping[str, torch.Tensor], size: tuple[int, int]) -> str | None:
    """Return why what goes along with latents cannot be used for their picture of this size (height, width), in a few words; None
    where it can."""
    mask, overlay, latents = tensors[OVERLAY_MASK], tensors.get(OVERLAY), tensors.get(OVERLAY_LATENTS)
    if overlay is None and latents is None:
        return "is not there"
    if mask.shape != size or (overlay is not None and overlay.shape != (*size, 3)):
        return "has another size"
    if overlay is None and latents is not None and latents.shape != tensors["latents"].shape:
        return "has another size"
    if mask.dtype != torch.uint8 or (overlay is not None and overlay.dtype not in (torch.uint8, torch.uint16, torch.float32)):
        return "has numbers of another type"
    if overlay is not None and overlay.is_floating_point() and not bool(torch.isfinite(overlay).all()):
        return "is not finite"
    return None


def grown(levels: torch.Tensor, pixels: int) -> torch.Tensor:
    """Return levels (H, W) uint8 as weights 0..1 float32 that fall outward, by 1 / (pixels + 1) for each pixel of distance.

    Nothing is left of them in any row or column more than so many pixels away. Distances go by straight and slanting steps, at most
    9 % beyond the true ones."""
    weights, fall = levels.float() / WHITE, 1 / (pixels + 1)
    for _ in range(pixels):
        beside = _largest_of_three(weights, 1)
        straight = torch.maximum(beside, _largest_of_three(weights, 0)) - fall
        slanting = _largest_of_three(beside, 0) - fall * sqrt(2)
        weights = torch.maximum(weights, torch.maximum(straight, slanting))
    return weights


def _largest_of_three(weights: torch.Tensor, dim: int) -> torch.Tensor:
    """Each weight, or one of its two neighbours."""
    largest, length = weights.clone(), weights.shape[dim] - 1
    before, behind = weights.narrow(dim, 0, length), weights.narrow(dim, 1, length)
    to_behind, to_before = largest.narrow(dim, 1, length), largest.narrow(dim, 0, length)
    torch.maximum(to_behind, before, out=to_behind)
    torch.maximum(to_before, behind, out=to_before)
    return largest


def laid_over(new: torch.Tensor, before: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Return a picture (H, W, 3): the one of before where the weights (H, W) are 0, the new one where they are 1, to the bit."""
    share = weights[..., None]
    return torch.where(share == 0, before, torch.where(share == 1, new, share * new + (1 - share) * before))
