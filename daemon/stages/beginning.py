"""Where a loop begins: its part of the schedule, with the memory of the solver that half-done latents bring."""

from collections.abc import Mapping
from typing import Any

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.partial_schedule import PartialSchedule, index_of
from daemon.models.registry import Models, ModelSpec
from daemon.models.scheduling import Chosen, scheduler_with_timesteps
from daemon.models.solver_state import PREFIX, recorded, unpack
from daemon.models.stage_settings import StageSettings
from daemon.stages.earlier import ends_half_a_step_earlier, notes_on
from daemon.stages.ignored import ignored_by_solver
from daemon.stages.loop import StepRange, way_out


def schedule_for(
    models: Models,
    tensors: Mapping[str, torch.Tensor],
    settings: StageSettings,
    chosen: Chosen,
    loop: StepRange,
    size: tuple[int, int],
    notes: list[str],
    progress: Progress,
) -> tuple[PartialSchedule, StepRange]:
    """Return the part of a schedule that is to run on latents of `size` (h, w), and its steps as far as the schedule has them.

    Raises InputError where nothing is left to do, and for half-done latents of another scheduler."""
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
