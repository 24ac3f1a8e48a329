"""Apply: what was painted on a picture in the middle of the pipeline is put into its latents, and no step is done.

No stage, as no folder is for it: it is what a person asks for to see the paint in the latents, and to paint on. The loop goes on
with them as if it had been given the paint itself.

    C latent channels   h, w latent height and width
"""

from collections.abc import Mapping

import torch

from daemon.errors import InputError
from daemon.models import Progress
from daemon.models.partial_schedule import PartialSchedule
from daemon.models.registry import Models, ModelSpec
from daemon.models.scheduling import chosen_for
from daemon.models.solver_state import PREFIX
from daemon.models.stage_settings import StageFacts, StageSettings
from daemon.stages.beginning import schedule_for
from daemon.stages.conditions import in_units_of_the_denoiser
from daemon.stages.holding import HALF_DONE, told, with_paint
from daemon.stages.loop import ESTIMATE, step_range_of
from daemon.stages.painting import paint_of


@torch.no_grad()
def run(
    models: Models, tensors: Mapping[str, torch.Tensor], settings: StageSettings, progress: Progress
) -> tuple[dict[str, torch.Tensor], StageFacts]:
    """Put what was painted (`painting.py`) into latents (C, h, w); all tensors but the solver's memory come back.

    Of half-done latents and of noise the loop is to hold it: then held_mask (h, w), held_latents and held_noise (C, h, w) come too,
    and an "estimate" (C, h, w) of the finished ones, with the paint, to be shown.
    Facts: state, step, steps and sigma as they were, painted_blocks, notes. Raises InputError where nothing was painted, or where
    paint and latents do not belong together."""
    model, notes = ModelSpec.of(settings), list[str]()
    tensors, settings = in_units_of_the_denoiser(models, model, tensors, settings)
    paint = paint_of(models, tensors, settings, progress)
    if paint is None:
        raise InputError(
            "nothing was painted on the proof of these latents, so there is nothing to apply; paint on it, and save it"
        )
    half_done = settings["state"] in HALF_DONE
    schedule = _rest_of(models, tensors, settings, progress) if half_done else None
    out = with_paint(paint, tensors, settings, schedule)
    notes.append(told(paint))
    if any(name.startswith(PREFIX) for name in tensors):
        notes.append("the scheduler's memory of its last steps does not fit the painted latents and was dropped")
    if half_done:
        out[ESTIMATE] = paint.on(paint.clean)[0].cpu()
    return {**out, "latents": model.finite(out["latents"])}, {
        **_place(settings, schedule),
        "painted_blocks": int(paint.blocks.sum()),
        "notes": notes,
    }


def _rest_of(models: Models, tensors: Mapping[str, torch.Tensor], settings: StageSettings, progress: Progress) -> PartialSchedule:
    """The schedule of the loop that half-done latents are in; its sentences are for that loop to say."""
    family = models.family(ModelSpec.of(settings))
    size = (tensors["latents"].shape[1], tensors["latents"].shape[2])
    loop = step_range_of(settings, family, [])
    painted: StageSettings = {**settings, "painted": 1}
    return schedule_for(models, tensors, painted, chosen_for(family, settings), loop, size, [], progress)[0]


def _place(settings: StageSettings, schedule: PartialSchedule | None) -> StageFacts:
    """How far the latents are."""
    state, step = settings["state"] or "final", settings.get("step")
    sigma = schedule.sigma() if schedule is not None and state == "partial" else None
    facts: StageFacts = {"state": state, "sigma": sigma}
    return facts if step is None else {**facts, "step": step, "steps": int(settings["steps"])}
