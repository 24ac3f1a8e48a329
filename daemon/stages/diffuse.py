"""Diffuse: noise, half-done latents or finished latents, and an embedding, become denoised latents.

Source: the denoising loop of diffusers' own pipeline, run with only the denoiser and the scheduler in it; where the loop starts and
ends is the business of the Segment around the scheduler.

    C latent channels   h, w latent height and width   T tokens   D width of a token
"""

from collections.abc import Mapping
from typing import Any

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.families import Family
from daemon.models.history import PREFIX, pack, recorded, unpack
from daemon.models.registry import Model, Models
from daemon.models.scheduling import Segment, index_of, scheduled
from daemon.stages.conditions import embeddings_for, latents_for
from daemon.stages.loop import Loop, loop_of
from daemon.stages.schedulers import canonical


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], progress: Progress
) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Denoise latents (C, h, w) under prompt_embeds and negative_prompt_embeds (T, D), and pooled ones where the model takes them.

    `state` says what the latents are: "noise" (unit noise), "partial" (half-done, at `step` of `steps`) or "final" (image-to-image:
    `strength` 0..1 or `start_at` says where to start). `stop_at` leaves half-done latents, with the solver's memory and the
    generator's state beside them; `end_at` finishes early. `painted` above 0 says that the memory no longer fits the latents.
    Facts: state, sigma (half-done latents of a sigma-scaled scheduler), step, steps, notes. Raises InputError where model, latents,
    embedding and settings do not belong together."""
    model = Model.of(settings)
    family = models.family(model)
    notes = family.notes_on({"guidance_rescale": settings.get("guidance_rescale")})
    embeddings = embeddings_for(models, model, tensors, settings)
    latents = latents_for(models, model, tensors, settings)
    loop = loop_of(settings, family, notes)
    segment = _segment(models, tensors, settings, loop, notes, progress)
    generator = _generator(tensors, settings, latents, notes)
    if settings["state"] == "final":
        noise = torch.randn(latents.shape, generator=generator)
        latents = segment.noised(latents, noise.to(latents.device, latents.dtype))
    elif settings["state"] == "noise":
        latents = segment.scaled(latents)
    pipe = models.pipeline(model, **{family.denoiser: models.component(model, family.denoiser)}, scheduler=segment)
    denoised = _denoise(pipe, family, latents, embeddings, generator, settings)
    out = {"latents": model.finite(denoised[0].float().cpu())}
    if loop.partial:
        out |= pack(segment.history(), scheduler=_name(settings), steps=loop.steps, model=model.name)
        out["generator_state"] = generator.get_state()
    return out, {
        "state": "partial" if loop.partial else "final",
        "sigma": segment.sigma() if loop.partial else None,
        "step": loop.end,
        "steps": loop.steps,
        "notes": notes,
    }


def _denoise(
    pipe: Any,
    family: Family,
    latents: torch.Tensor,
    embeddings: Mapping[str, torch.Tensor],
    generator: torch.Generator,
    settings: Mapping[str, Any],
) -> torch.Tensor:
    height, width = latents.shape[-2:]
    size = {"height": height * pipe.vae_scale_factor, "width": width * pipe.vae_scale_factor}
    denoised: torch.Tensor = pipe(
        **embeddings,
        **family.loop_arguments(settings, latents, size),
        latents=family.packed(pipe, latents),
        num_inference_steps=settings["steps"],
        guidance_scale=settings["guidance_scale"],
        generator=generator,
        output_type="latent",
        return_dict=False,
    )[0]
    return family.unpacked(pipe, denoised, (height, width))


def _name(settings: Mapping[str, Any]) -> str | None:
    name = settings.get("scheduler")
    return None if name is None else canonical(name)


def _segment(
    models: Models,
    tensors: Mapping[str, torch.Tensor],
    settings: Mapping[str, Any],
    loop: Loop,
    notes: list[str],
    progress: Progress,
) -> Segment:
    model = Model.of(settings)
    family = models.family(model)
    scheduler = scheduled(
        _name(settings),
        models.config(model, "scheduler"),
        loop.steps,
        family=family,
        denoiser=models.denoiser_config(model),
        size=(tensors["latents"].shape[-2], tensors["latents"].shape[-1]),
        device=model.device,
    )
    if models.config(model, "scheduler").get("rescale_betas_zero_snr") and not scheduler.config.get("rescale_betas_zero_snr"):
        notes.append(f"the model was trained down to pure noise, which {_name(settings)} cannot start from; ddim and euler can")
    resumed = settings["state"] == "partial" and loop.start > 0
    history = _history(tensors, settings, loop, notes) if resumed else None
    last = index_of(loop.end, loop.steps, scheduler)
    return Segment(
        scheduler,
        loop.steps,
        flow=family.flow,
        first=index_of(loop.start, loop.steps, scheduler),
        # The estimate of the finished latents is made at the first of the two timesteps of an order-2 step.
        last=index_of(loop.end - 1, loop.steps, scheduler) + 1 if loop.finish else last,
        history=history,
        warm_up=resumed and history is None,
        finish=loop.finish,
        report=progress,
    )


def _history(
    tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], loop: Loop, notes: list[str]
) -> dict[str, Any] | None:
    saved = {key: tensor for key, tensor in tensors.items() if key.startswith(PREFIX)}
    record, model, name = recorded(saved), Model.of(settings), _name(settings)
    if record is None:
        notes.append(f"the file holds no history of the solver, which starts afresh at step {loop.start}")
        return None
    if (record.scheduler, record.steps) != (name, loop.steps):
        own = "the scheduler of the model"
        raise InputError(
            f"these half-done latents were made by {record.scheduler or own} in {record.steps} steps and cannot go on with "
            f"{name or own} in {loop.steps}; set scheduler and steps as they were"
        )
    if settings.get("painted"):
        notes.append(f"the latents were painted on, so the solver starts afresh at step {loop.start}")
        return None
    if record.model not in (None, model.name):
        notes.append(
            f"the latents go on with another model than {record.model!r}, so the solver starts afresh at step {loop.start}"
        )
        return None
    return unpack(saved, record, device=model.device)


def _generator(
    tensors: Mapping[str, torch.Tensor], settings: Mapping[str, Any], latents: torch.Tensor, notes: list[str]
) -> torch.Generator:
    generator, state = torch.Generator("cpu"), settings["state"]
    if "generator_state" in tensors:
        return _restored(generator, tensors["generator_state"])
    seed = settings.get("seed")
    if seed is None:
        notes.append("no seed is known for these latents; noise that is added comes from seed 0")
    generator.manual_seed(seed or 0)
    if state != "final":
        torch.randn(latents.shape, generator=generator)
    if state == "partial":
        notes.append("the state of the random numbers was lost; a scheduler that adds noise goes on with other noise")
    return generator


def _restored(generator: torch.Generator, state: torch.Tensor) -> torch.Generator:
    try:
        return generator.set_state(state)
    except (RuntimeError, TypeError) as error:
        raise InputError("the generator state in the file is not readable; remove it, and give a seed") from error
