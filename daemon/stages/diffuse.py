"""Diffuse: noise, half-done latents or finished latents, and an embedding, become denoised latents.

Source: the denoising loop of diffusers' own pipeline, run with only the denoiser and the scheduler in it; where the loop starts and
ends is the business of the PartialSchedule around the scheduler.

    C latent channels   h, w latent height and width   T tokens   D width of a token
"""

import functools
import inspect
from collections.abc import Mapping, Sequence

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.adapters.loras import Lora
from daemon.models.families import Family
from daemon.models.masking import NOISE, PICTURE, Inpainting, skip_masked_picture
from daemon.models.noise import Generator, restored
from daemon.models.partial_schedule import PartialSchedule
from daemon.models.registry import Models, ModelSpec
from daemon.models.scheduling import Chosen, chosen_for, takes_eta
from daemon.models.seeding import Seeding
from daemon.models.solvers import heard_by
from daemon.models.stage_settings import StageFacts, StageSettings
from daemon.models.upscaling import enlarged
from daemon.stages.beginning import schedule_for
from daemon.stages.conditions import embeddings_for, in_units_of_the_denoiser, latents_for
from daemon.stages.denoising import denoised
from daemon.stages.glimpses import Glimpses
from daemon.stages.halfway import Dumps, Halfway
from daemon.stages.holding import HALF_DONE, facts_of_hold, held_for, hold, told, with_paint
from daemon.stages.ignored import ignored_by_loop, ignored_by_steps
from daemon.stages.inpainting import check_mask, inpainting_for
from daemon.stages.loop import HELD, step_range_of
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
    half_done = settings["state"] in HALF_DONE
    tensors, settings = in_units_of_the_denoiser(models, model, tensors, settings)
    paint, marked = paint_of(models, tensors, settings, progress), StageFacts()
    if paint is not None:
        notes.append(told(paint))
        marked = {"painted_blocks": int(paint.blocks.sum())}
    if paint is not None and not half_done:
        tensors = with_paint(paint, tensors, settings)
    patch = family.patch(models.denoiser_config(model))
    latents = enlarged(latents_for(models, model, tensors, settings), settings.get("enlarged"), patch=patch)
    if settings.get("enlarged") and settings.get("strength") == 0:
        return _enlarged_only(latents, int(settings["steps"]), notes, marked)
    size = (latents.shape[2], latents.shape[3])
    loop, chosen = step_range_of(settings, family, notes), chosen_for(family, settings)
    schedule, loop = schedule_for(models, tensors, _as_painted(settings, paint), chosen, loop, size, notes, progress)
    if paint is not None and half_done:
        tensors = with_paint(paint, tensors, settings, schedule)
        latents = latents_for(models, model, tensors, settings)
    generator = _generator(tensors, settings, latents, notes)
    latents, inpainting = _begun(models, tensors, settings, latents, schedule, generator, notes)
    held = held_for(tensors, latents) if half_done else None
    denoiser = models.component(model, family.denoiser, Lora.all_of(settings))
    pipe = models.pipeline(model, **{family.denoiser: denoiser}, scheduler=schedule)
    pack = functools.partial(family.packed, pipe)
    if inpainting is not None:
        schedule.inpaint(inpainting.packed(pack))
    hold(schedule, held and held.packed(pack), settings)
    unpacked = functools.partial(family.unpacked, pipe, size=size)
    carried = {name: tensors[name] for name in HELD if held is not None}
    halfway = Halfway(model, schedule, chosen, loop.steps, generator, inpainting, unpacked, carried)
    dumps = Dumps(settings.get("dump_every"), loop, halfway)
    glimpses = Glimpses(settings.get("preview_every"), schedule, loop.end, unpacked, progress)
    schedule.watchers = [dumps.take, glimpses.take]
    undrawn = generator.get_state()
    schedule.generator = generator
    with heard_by(schedule, denoiser):
        made = denoised(pipe, family, latents, embeddings, settings, generator=generator)
    notes += ignored_by_steps(settings, undrawn, generator)
    of_hold, said = facts_of_hold(carried, schedule, settings, steps=loop.steps, stops=loop.partial)
    notes += said
    out = halfway.tensors(made) if loop.partial else {"latents": model.finite(made[0].float().cpu())}
    return {**out, **dumps.tensors}, {
        "state": "partial" if loop.partial else "final",
        "sigma": schedule.sigma() if loop.partial else None,
        "step": loop.end,
        "steps": loop.steps,
        "notes": notes,
        **_used(settings, chosen, schedule, family),
        **marked,
        **of_hold,
        **({"dumps": dumps.facts} if dumps.facts else {}),
    }


def _as_painted(settings: StageSettings, paint: Paint | None) -> StageSettings:
    """The settings as they are for the solver, to whose memory paint is paint, whoever put it on."""
    return settings if paint is None else {**settings, "painted": max(settings.get("painted", 0), int(paint.blocks.sum()))}


def _enlarged_only(
    latents: torch.Tensor, steps: int, notes: list[str], marked: StageFacts
) -> tuple[dict[str, torch.Tensor], StageFacts]:
    """What comes of enlarged latents (1, C, h, w) of which nothing is made anew."""
    notes = [*notes, "the latents were enlarged, and nothing was made anew: upscale_strength is 0"]
    facts: StageFacts = {"state": "final", "sigma": None, "step": steps, "steps": steps, "notes": notes, **marked}
    return {"latents": latents[0].float().cpu()}, facts


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
    schedule, loop = schedule_for(models, tensors[0], first, chosen, loop, size, notes, progress)
    generators = [_generator(own, said, noise, notes) for own, said, noise in zip(tensors, settings, noises, strict=True)]
    denoiser = models.component(model, family.denoiser, Lora.all_of(first))
    pipe = models.pipeline(model, **{family.denoiser: denoiser}, scheduler=schedule)
    undrawn = generators[0].get_state()
    schedule.generator = generators
    with heard_by(schedule, denoiser):
        made = denoised(pipe, family, schedule.scaled(torch.cat(noises)), embeddings, first, generator=generators)
    notes += ignored_by_steps(first, undrawn, generators[0])
    notes += facts_of_hold({}, schedule, first, steps=loop.steps, stops=False)[1]
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
) -> tuple[torch.Tensor, Inpainting | None]:
    """The latents as the loop begins with them, and what it keeps of them under a mask."""
    model, state, begun = ModelSpec.of(settings), settings["state"], dict[str, torch.Tensor]()
    masked, picture = check_mask(models, model, tensors, settings), latents
    if state == "noise":
        latents = schedule.scaled(latents)
    elif state == "final":
        noise = Seeding.of(settings).first(latents.shape, generator).to(latents.device, latents.dtype)
        # Under a mask nothing is left of the picture where all of it is made anew.
        anew = masked and settings.get("strength") == 1.0
        latents = schedule.scaled(noise) if anew else schedule.noised(latents, noise)
        begun = {PICTURE: picture, NOISE: noise}
    if not masked:
        return latents, None
    if begun:
        skip_masked_picture(generator, picture)
    inpainting = inpainting_for(models, model, tensors, shape=picture.shape, begun=begun)
    if settings.get("painted") and not begun:
        notes.append("the latents were painted on under a mask: what was painted where it is black gives way to the picture")
    notes.append(f"under the mask {inpainting.share:.0%} of the picture is made anew")
    return latents, inpainting


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
