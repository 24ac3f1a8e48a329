"""Diffuse: noise, half-done latents or finished latents, and an embedding, become denoised latents.

Source: the denoising loop of diffusers' own pipeline, run with only the denoiser and the scheduler in it; where the loop starts and
ends is the business of the PartialSchedule around the scheduler.

    C latent channels   h, w latent height and width   T tokens   D width of a token
"""

import functools
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.adapters.loras import Lora
from daemon.models.families import Family
from daemon.models.masking import NOISE, PICTURE, Inpainting, skip_masked_picture
from daemon.models.noise import Generator, restored
from daemon.models.partial_schedule import PartialSchedule, index_of
from daemon.models.registry import Models, ModelSpec
from daemon.models.scheduling import Chosen, chosen_for, scheduler_with_timesteps, takes_eta
from daemon.models.seeding import Seeding
from daemon.models.solver_state import PREFIX, recorded, unpack
from daemon.models.solvers import heard_by
from daemon.models.stage_settings import StageFacts, StageSettings
from daemon.models.upscaling import enlarged
from daemon.stages.conditions import embeddings_for, latents_for
from daemon.stages.denoising import denoised
from daemon.stages.earlier import ends_half_a_step_earlier, notes_on
from daemon.stages.glimpses import Glimpses
from daemon.stages.halfway import Dumps, Halfway
from daemon.stages.ignored import ignored_by_loop, ignored_by_solver, ignored_by_steps
from daemon.stages.inpainting import check_mask, inpainting_for
from daemon.stages.loop import StepRange, step_range_of, way_out
from daemon.stages.painting import Paint, paint_of


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: StageSettings, progress: Progress
) -> tuple[dict[str, torch.Tensor], StageFacts]:
    """Denoise latents (C, h, w) under prompt_embeds and negative_prompt_embeds (T, D), and pooled ones where the model takes them.

    `state` says what the latents are: "noise" (unit noise), "partial" (half-done, at `step` of `steps`) or "final" (image-to-image:
    `strength` 0..1 or `start_at` says where to start). With a `mask` (H, W), 1 where they are made anew, the loop keeps the rest of
    them; an inpainting model needs masked_image_latents (C, h, w) too. `enlarged` above 1 enlarges final latents first. `stop_at`
    leaves half-done latents, with the solver's memory and the generator's state beside them, and so do the steps that `dump_every`
    counts, as tensors "steps.K.NAME"; `end_at` finishes early. `painted` above 0 says that the memory no longer fits the latents.

    Facts: state, step, steps, sigma (half-done latents of a sigma-scaled scheduler), timestep_spacing (of schedulers that have the
    choice), dumps (step and sigma of each, where there are any), notes. Raises InputError where model, latents, embedding and
    settings do not belong together."""
    model = ModelSpec.of(settings)
    family = models.family(model)
    notes = ignored_by_loop(models, model, settings)
    embeddings = embeddings_for(models, model, tensors, settings)
    paint = paint_of(models, tensors, settings, progress)
    if paint is not None:
        settings = {**settings, "painted": max(settings.get("painted", 0), int(paint.blocks.sum()))}
    patch = family.patch(models.denoiser_config(model))
    latents = enlarged(latents_for(models, model, tensors, settings), settings.get("enlarged"), patch=patch)
    if settings.get("enlarged") and settings.get("strength") == 0:
        return _enlarged_only(latents, int(settings["steps"]), notes)
    size = (latents.shape[2], latents.shape[3])
    loop, chosen = step_range_of(settings, family, notes), chosen_for(family, settings)
    schedule, loop = _schedule(models, tensors, settings, chosen, loop, size, notes, progress)
    generator = _generator(tensors, settings, latents, notes)
    latents, inpainting, held = _begun(models, tensors, settings, latents, schedule, generator, notes, paint)
    denoiser = models.component(model, family.denoiser, Lora.all_of(settings))
    pipe = models.pipeline(model, **{family.denoiser: denoiser}, scheduler=schedule)
    pack = functools.partial(family.packed, pipe)
    if inpainting is not None:
        schedule.inpaint(inpainting.packed(pack))
    if held is not None:
        schedule.hold(held.packed(pack))
    unpacked = functools.partial(family.unpacked, pipe, size=size)
    halfway = Halfway(model, schedule, chosen, loop.steps, generator, inpainting, unpacked)
    dumps = Dumps(settings.get("dump_every"), loop, halfway)
    glimpses = Glimpses(settings.get("preview_every"), schedule, loop.end, unpacked, progress)
    schedule.watchers = [dumps.take, glimpses.take]
    undrawn = generator.get_state()
    schedule.generator = generator
    with heard_by(schedule, denoiser):
        made = denoised(pipe, family, latents, embeddings, settings, generator=generator)
    notes += ignored_by_steps(settings, undrawn, generator)
    out = halfway.tensors(made) if loop.partial else {"latents": model.finite(made[0].float().cpu())}
    return {**out, **dumps.tensors}, {
        "state": "partial" if loop.partial else "final",
        "sigma": schedule.sigma() if loop.partial else None,
        "step": loop.end,
        "steps": loop.steps,
        "notes": notes,
        **_used(settings, chosen, schedule, family),
        **({"dumps": dumps.facts} if dumps.facts else {}),
    }


def _enlarged_only(latents: torch.Tensor, steps: int, notes: list[str]) -> tuple[dict[str, torch.Tensor], StageFacts]:
    """What comes of enlarged latents (1, C, h, w) of which nothing is made anew."""
    notes = [*notes, "the latents were enlarged, and nothing was made anew: upscale_strength is 0"]
    return {"latents": latents[0].float().cpu()}, {"state": "final", "sigma": None, "step": steps, "steps": steps, "notes": notes}


@torch.no_grad()
def run_together(
    models: Models, tensors: Sequence[Mapping[str, torch.Tensor]], settings: Sequence[StageSettings], progress: Progress
) -> list[tuple[dict[str, torch.Tensor], StageFacts]]:
    """Denoise the noise of several pictures as one batch, each with its own random numbers; the settings are of one batch key
    (`jobs/batching.py`). Gives what `run` gives for each, equal up to the rounding of sums."""
    first, model = settings[0], ModelSpec.of(settings[0])
    family, notes = models.family(model), ignored_by_loop(models, model, first)
    loop, chosen = step_range_of(first, family, notes), chosen_for(family, first)
    found = [embeddings_for(models, model, own, first) for own in tensors]
    embeddings = {name: torch.cat([own[name] for own in found]) for name in found[0]}
    noises = [latents_for(models, model, own, first) for own in tensors]
    size = (noises[0].shape[2], noises[0].shape[3])
    schedule, loop = _schedule(models, tensors[0], first, chosen, loop, size, notes, progress)
    generators = [_generator(own, said, noise, notes) for own, said, noise in zip(tensors, settings, noises, strict=True)]
    denoiser = models.component(model, family.denoiser, Lora.all_of(first))
    pipe = models.pipeline(model, **{family.denoiser: denoiser}, scheduler=schedule)
    undrawn = generators[0].get_state()
    schedule.generator = generators
    with heard_by(schedule, denoiser):
        made = denoised(pipe, family, schedule.scaled(torch.cat(noises)), embeddings, first, generator=generators)
    notes += ignored_by_steps(first, undrawn, generators[0])
    facts: StageFacts = {
        "state": "final",
        "sigma": None,
        "step": loop.end,
        "steps": loop.steps,
        "notes": notes,
        **_used(first, chosen, schedule, family),
    }
    return [({"latents": model.finite(latents.float().cpu())}, facts) for latents in made]


def _begun(
    models: Models,
    tensors: Mapping[str, torch.Tensor],
    settings: StageSettings,
    latents: torch.Tensor,
    schedule: PartialSchedule,
    generator: Generator,
    notes: list[str],
    paint: Paint | None,
) -> tuple[torch.Tensor, Inpainting | None, Inpainting | None]:
    """The latents as the loop begins with them, what it keeps of them under a mask, and what it holds of the paint."""
    model, state, begun = ModelSpec.of(settings), settings["state"], dict[str, torch.Tensor]()
    masked, held = check_mask(models, model, tensors, settings), None
    if paint is not None and state == "partial":
        a, s = schedule.factors()
        held, latents = paint.held(latents, a, s), paint.on(latents, a)
    elif paint is not None:
        latents = paint.on(latents)
    picture = latents
    if state == "noise":
        latents = schedule.scaled(latents)
    elif state == "final":
        noise = Seeding.of(settings).first(latents.shape, generator).to(latents.device, latents.dtype)
        # Under a mask nothing is left of the picture where all of it is made anew.
        anew = masked and settings.get("strength") == 1.0
        latents = schedule.scaled(noise) if anew else schedule.noised(latents, noise)
        begun = {PICTURE: picture, NOISE: noise}
    if not masked:
        return latents, None, held
    if begun:
        skip_masked_picture(generator, picture)
    inpainting = inpainting_for(models, model, tensors, shape=picture.shape, begun=begun)
    if paint is not None and not begun and inpainting.picture is not None:
        inpainting = replace(inpainting, picture=paint.on(inpainting.picture))
    if settings.get("painted") and not begun:
        notes.append("the latents were painted on under a mask: what was painted where it is black gives way to the picture")
    notes.append(f"under the mask {inpainting.share:.0%} of the picture is made anew")
    return latents, inpainting, held


def _schedule(
    models: Models,
    tensors: Mapping[str, torch.Tensor],
    settings: StageSettings,
    chosen: Chosen,
    loop: StepRange,
    size: tuple[int, int],
    notes: list[str],
    progress: Progress,
) -> tuple[PartialSchedule, StepRange]:
    """The part of a schedule that is to run, and its steps as far as the schedule has them."""
    model = ModelSpec.of(settings)
    family = models.family(model)
    config = models.config(model, "scheduler", as_of=settings.get("as_of"))
    scheduler = scheduler_with_timesteps(
        chosen,
        config,
        loop.steps,
        family=family,
        denoiser=models.denoiser_config(model),
        size=size,
        device=model.device,
    )
    notes += ignored_by_solver(family, scheduler, settings) + notes_on(models, model, chosen.name, scheduler, loop, settings)
    if config.get("rescale_betas_zero_snr") and not scheduler.config.get("rescale_betas_zero_snr"):
        notes.append(f"the model was trained down to pure noise, which {chosen.name} cannot start from; ddim and euler can")
    resumed = settings["state"] == "partial" and loop.start > 0
    solver_state = _solver_state(tensors, settings, chosen, loop, notes) if resumed else None
    first, last = (index_of(step, loop.steps, scheduler) for step in (loop.start, loop.end))
    if first >= len(scheduler.timesteps):
        ends = f"this schedule ends before step {loop.start} of {loop.steps}"
        raise InputError(f"nothing is left to do: {ends}; {way_out(settings)}")
    if last >= len(scheduler.timesteps):
        loop, last = loop.to_the_end(), len(scheduler.timesteps)
    schedule = PartialSchedule(
        scheduler,
        loop.steps,
        flow=family.flow,
        first=first,
        last=last - ends_half_a_step_earlier(scheduler, loop, settings.get("as_of")),
        solver_state=solver_state,
        warm_up=resumed and solver_state is None,
        finish=loop.finish,
        report=progress,
    )
    return schedule, loop


def _used(settings: StageSettings, chosen: Chosen, schedule: PartialSchedule, family: Family) -> StageFacts:
    """What the loop took where nobody said it, or where something else was said."""
    facts: StageFacts = {}
    spacing = schedule.config.get("timestep_spacing")
    if spacing is not None and not family.flow and chosen.imposed is None:
        facts["timestep_spacing"] = spacing
    if chosen.name is not None and chosen.name != settings.get("scheduler"):
        facts["scheduler"] = chosen.name
    if chosen.schedule is not None and chosen.schedule != settings.get("schedule"):
        facts["schedule"] = chosen.schedule
    if takes_eta(schedule):
        facts["eta"] = schedule.eta
    elif "eta" in inspect.signature(schedule.step).parameters and "eta" not in family.unsupported:
        facts["eta"] = settings.get("eta") or 0.0
    elif settings.get("eta") is not None:
        facts["eta"] = None
    return facts


def _solver_state(
    tensors: Mapping[str, torch.Tensor], settings: StageSettings, chosen: Chosen, loop: StepRange, notes: list[str]
) -> dict[str, Any] | None:
    saved = {key: tensor for key, tensor in tensors.items() if key.startswith(PREFIX)}
    record, model = recorded(saved), ModelSpec.of(settings)
    if record is None:
        notes.append(f"the file holds no history of the solver, which starts afresh at step {loop.start}")
        return None
    if (record.scheduler, record.schedule, record.steps) != (chosen.name, chosen.schedule, loop.steps):
        raise InputError(
            f"these half-done latents were made by {_shown(record.scheduler, record.schedule)} in {record.steps} steps and cannot "
            f"go on with {_shown(chosen.name, chosen.schedule)} in {loop.steps}; set scheduler, schedule and steps as they were"
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


def _shown(scheduler: str | None, schedule: str | None) -> str:
    return (scheduler or "the scheduler of the model") + (f" over the schedule {schedule}" if schedule else "")


def _generator(tensors: Mapping[str, torch.Tensor], settings: StageSettings, latents: torch.Tensor, notes: list[str]) -> Generator:
    state = settings["state"]
    if "generator_state" in tensors:
        return _restored(tensors["generator_state"])
    if settings.get("seed") is None:
        notes.append("no seed is known for these latents; noise that is added comes from seed 0")
    seeding = Seeding.of(settings)
    generator = seeding.generator()
    if state != "final":
        seeding.first(latents.shape, generator)
    if state == "partial":
        notes.append("the state of the random numbers was lost; a scheduler that adds noise goes on with other noise")
    return generator


def _restored(state: torch.Tensor) -> Generator:
    try:
        return restored(state)
    except ValueError as error:
        raise InputError("the generator state in the file is not readable; remove it, and give a seed") from error
