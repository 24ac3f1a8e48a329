"""Encode: a picture becomes latents, the start of image-to-image and of inpainting.

Source: `prepare_latents` and `prepare_mask_latents` of diffusers' image-to-image and inpainting pipelines. The VAE gives a
distribution; the generator of the seed draws from it, and its state goes on with the latents, because the noise that the diffuse
stage adds must come from the same generator. With `rng: nv` that noise is A1111's, the first that its generator draws, and what the
VAE samples (for which A1111 has no seed) comes from torch's generator all the same.

    C latent channels   H, W height and width of the picture   h, w of the latents
"""

from collections.abc import Mapping
from typing import Any

import torch
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.autoencoder import from_vae, precise, weight
from daemon.models.masking import MASK, MASKED, at_latent_size, hardened, sees_masks
from daemon.models.noise import NV, generator_of, randn
from daemon.models.overlaying import overlay_of
from daemon.models.registry import Models, ModelSpec
from daemon.models.scheduling import chosen_for
from daemon.models.stage_settings import StageFacts, StageSettings
from daemon.models.strips import Room, encode
from daemon.stages.late_start import strength_that_keeps
from daemon.stages.loop import FINISHED, PAINTED
from daemon.stages.painting import paint_of


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: StageSettings, progress: Progress
) -> tuple[dict[str, torch.Tensor], StageFacts]:
    """Encode a picture (H, W, 3), 0..1, with the `seed` into latents (C, h, w), scaled as the denoiser sees them.

    Also gives generator_state (n,) uint8 as it is after the draw. A `mask` (H, W) or (h, w), 0..1 and 1 where the picture is made
    anew, goes on as (h, w), and for an inpainting model with masked_image_latents (C, h, w). Unless `overlay` is false, the
    picture goes on with it as overlay (H, W, 3) and overlay_mask (H, W). Raises InputError for a size that is off the model's
    grid.

    Of a picture that was painted on after it was `finished` (H, W, 3) that one goes on, under a mask of what was painted. With its
    own latents (C, h, w), and what was shown and painted (`painting.py`), only those of painted blocks are others. Where nobody
    said a strength, the facts have the largest with which the loop leaves paint alone."""
    model, notes = ModelSpec.of(settings), list[str]()
    # What the loop cannot take is refused before the picture is encoded.
    chosen_for(models.family(model), settings)
    picture = _checked(tensors["picture"], models.grid(model))
    pixels = picture.permute(2, 0, 1)[None].float() * 2 - 1  # (1, 3, H, W)

    def drawn(pixels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
        def moments(vae: Any) -> torch.Tensor:
            made: torch.Tensor = encode(vae, pixels.to(weight(vae)), Room.of(settings), progress).parameters
            return made

        sample = DiagonalGaussianDistribution(precise(models, model, moments, notes)).sample(generator)
        return from_vae(sample, models.vae(model).config)[0].float().cpu()  # (C, h, w)

    paint = paint_of(models, {**tensors, PAINTED: picture}, settings, progress)
    generator = torch.Generator("cpu").manual_seed(settings["seed"])
    untouched = generator.get_state()
    if paint is None:
        latents = drawn(pixels, generator)
    else:
        latents = paint.on(paint.clean)[0].cpu()
        # The noise of the loop shall be another one than that which the picture was made from.
        randn((1, *latents.shape), generator)
    out, facts = {"latents": latents, "generator_state": _state_after(settings, generator)}, StageFacts(notes=notes)
    if MASK not in tensors:
        return out, facts
    if settings.get("overlay") is not False:
        out |= overlay_of(tensors.get(FINISHED, picture), tensors[MASK])
    if FINISHED in tensors and settings.get("strength") is None:
        facts["strength"] = strength_that_keeps(models, settings, (latents.shape[1], latents.shape[2]), notes)
    out[MASK] = at_latent_size(tensors[MASK], (out["latents"].shape[1], out["latents"].shape[2]))
    if sees_masks(models.family(model), models.denoiser_config(model)):
        if settings.get("strength") == 1.0:
            # The pipelines do not encode the whole picture then: nothing is left of it in the noise that the loop begins with.
            generator.set_state(untouched)
            out["generator_state"] = _state_after(settings, generator)
        # The noise of the loop is drawn before.
        randn((1, *out["latents"].shape), generator)
        out[MASKED] = drawn(pixels * (1 - hardened(tensors[MASK], (picture.shape[0], picture.shape[1]))), generator)
    return out, facts


def _state_after(settings: StageSettings, generator: torch.Generator) -> torch.Tensor:
    """The state that the noise of the loop is drawn from: as the draw left it, or of a generator of its own."""
    return generator.get_state() if settings.get("rng") != NV else generator_of(NV, settings["seed"]).get_state()


def _checked(picture: torch.Tensor, factor: int) -> torch.Tensor:
    if picture.ndim != 3 or picture.shape[2] != 3:
        raise InputError(f"a picture of the shape {tuple(picture.shape)} cannot be encoded; it must be (height, width, 3)")
    height, width, _ = picture.shape
    if height % factor or width % factor or not height or not width:
        raise InputError(
            f"a picture of {width} x {height} pixels cannot be encoded; width and height must be multiples of "
            f"{factor}: crop it to {max(width // factor, 1) * factor} x {max(height // factor, 1) * factor}"
        )
    return picture
