"""What a loop keeps of a picture under a mask, from what the latents bring and the model takes.

C latent channels   h, w latent height and width
"""

from collections.abc import Mapping

import torch

from daemon.errors import InputError
from daemon.models.masking import MASK, MASKED, NOISE, PICTURE, Inpainting, at_latent_size, hardened, sees_masks
from daemon.models.registry import Models, ModelSpec
from daemon.models.stage_settings import StageSettings


def check_mask(models: Models, model: ModelSpec, tensors: Mapping[str, torch.Tensor], settings: StageSettings) -> bool:
    """Return whether there is a mask. Raises InputError where the model needs one, or where there is nothing to lay it on."""
    sees = sees_masks(models.family(model), models.denoiser_config(model))
    if MASK in tensors:
        if settings["state"] == "noise":
            raise InputError(
                "a mask says what of a picture is made anew, and these latents are noise; drop the picture as NAME.png and the "
                "mask as NAME_mask.png into inbox/encode"
            )
        return True
    if sees:
        raise InputError(
            f"{model.name!r} is an inpainting model, and there is no mask; drop the picture as NAME.png and what is to be made "
            "anew, white on black, as NAME_mask.png into inbox/encode, or use another model"
        )
    return False


def inpainting_for(
    models: Models,
    model: ModelSpec,
    tensors: Mapping[str, torch.Tensor],
    *,
    shape: torch.Size,
    begun: Mapping[str, torch.Tensor],
) -> Inpainting:
    """Return what the loop keeps of the picture, or shows to an inpainting model, for latents of `shape` (1, C, h, w).

    `begun` are image_latents and noise (1, C, h, w) of a loop that begins here; half-done latents bring their own. Raises
    InputError where the picture under the mask is missing or has another size."""
    sees = sees_masks(models.family(model), models.denoiser_config(model))
    wanted = [MASKED] if sees else [PICTURE, NOISE]
    parts = {name: tensors[name][None] for name in wanted if name in tensors and name not in begun}
    parts |= {name: begun[name] for name in wanted if name in begun}
    wrong = [name for name in wanted if name not in parts or parts[name].shape != shape]
    if wrong:
        raise InputError(
            f"the latents have a mask, but the picture that it lies on is missing or has another size ({', '.join(wrong)}); "
            "drop the picture with its mask into inbox/encode"
        )
    mask = at_latent_size(tensors[MASK], (shape[2], shape[3])).expand(shape)
    placed = {name: part.to(model.device, models.dtype(model)) for name, part in {**parts, MASK: mask}.items()}
    if not sees:
        return Inpainting(placed[MASK], placed[PICTURE], placed[NOISE])
    hard = hardened(tensors[MASK], (shape[2], shape[3])).expand(shape).to(model.device, models.dtype(model))
    return Inpainting(hard, seen=torch.cat([hard[:, :1], placed[MASKED]], dim=1))
