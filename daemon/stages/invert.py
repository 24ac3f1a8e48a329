"""Invert: finished latents and an embedding become the noise that makes them.

Source: the denoising loop of diffusers' own pipeline, run with only the denoiser in it; that it goes backwards, and solves each
step instead of taking it, is the business of the Inversion around the scheduler.

    C latent channels   h, w latent height and width   T tokens   D width of a token
"""

from collections.abc import Mapping

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.adapters.loras import Lora
from daemon.models.inversion import Inversion
from daemon.models.masking import sees_masks
from daemon.models.registry import Models, ModelSpec
from daemon.models.scheduling import Chosen, scheduler_with_timesteps
from daemon.models.stage_settings import StageFacts, StageSettings
from daemon.stages.conditions import embeddings_for, latents_for
from daemon.stages.denoising import denoised
from daemon.stages.ignored import ignored_by_loop

EXACT = 1e-3
"""A residual above this can be seen in the picture."""


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: StageSettings, progress: Progress
) -> tuple[dict[str, torch.Tensor], StageFacts]:
    """Find the noise (C, h, w) that becomes the finished latents (C, h, w) in `steps` of ddim, or of flow_euler in flow matching.

    Embeddings and guidance are those of the loop that is to give the latents back. Facts: state, scheduler, residual (the largest
    that a step is off by, in the units of the latents), notes. Raises InputError where they do not belong together, and where the
    steps have no fixed point that iterating finds."""
    model = ModelSpec.of(settings)
    family = models.family(model)
    if sees_masks(family, models.denoiser_config(model)):
        raise InputError(f"{model.name!r} is an inpainting model, which sees a mask at each step; invert with the model without")
    notes = ignored_by_loop(models, model, {**settings, "eta": None})
    chosen: StageSettings = {**settings, "state": "partial", "eta": 0.0}
    latents = latents_for(models, model, tensors, chosen)
    name = "flow_euler" if family.flow else "ddim"
    scheduler = scheduler_with_timesteps(
        Chosen(name),
        models.config(model, "scheduler"),
        int(settings["steps"]),
        family=family,
        denoiser=models.denoiser_config(model),
        size=(latents.shape[2], latents.shape[3]),
        device=model.device,
    )
    if scheduler.config.get("clip_sample") or scheduler.config.get("thresholding"):
        raise InputError(
            f"the scheduler of the model {model.name!r} clips the estimate of each step, and what is clipped cannot be found; "
            'set "clip_sample" and "thresholding" to false in its scheduler_config.json'
        )
    inversion = Inversion(scheduler, dtype=models.dtype(model), report=progress)
    denoiser = models.component(model, family.denoiser, Lora.all_of(settings))
    pipe = models.pipeline(model, **{family.denoiser: denoiser}, scheduler=inversion)
    noise = denoised(pipe, family, latents, embeddings_for(models, model, tensors, settings), chosen)
    found = model.finite(noise[0].float().cpu())
    return {"latents": found}, {
        "state": "noise",
        "scheduler": name,
        "residual": inversion.residual,
        "notes": [*notes, *_notes(inversion.residual, float(found.std()), name, int(settings["steps"]))],
    }


def _notes(residual: float, deviation: float, name: str, steps: int) -> list[str]:
    found = f"this noise was found by inversion for {name} in {steps} steps, to a residual of {residual:.1e}"
    exact = "" if residual <= EXACT else ", which is too much for the same picture: take more steps, or less guidance"
    return [f"{found}{exact}; its standard deviation is {deviation:.3f}, where noise that is drawn has 1"]
