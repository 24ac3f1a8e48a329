"""How late a loop must begin that shall leave alone what somebody painted: on a finished picture, where nobody says a strength.

h, w latent height and width
"""

import math

from daemon.models.families import Family
from daemon.models.partial_schedule import PartialSchedule, index_of
from daemon.models.registry import Models, ModelSpec
from daemon.models.scheduling import chosen_for, scheduler_with_timesteps
from daemon.models.stage_settings import StageSettings

# So much of the finished latents stands in those with which the loop begins, the rest is noise: with less a painted sun becomes a
# cloud. It says nothing of what comes out: the steps that are left draw what the model expects, and may draw over what it does not.
LEFT_OF_PAINT = 0.96
MOST_DIGITS = 6
DRAWN_OVER = "a small spot that the model does not expect may still be drawn over: strength 0 takes the paint as it is"


def strength_that_keeps(models: Models, settings: StageSettings, size: tuple[int, int], notes: list[str]) -> float:
    """Return the strength with which a loop on latents of `size` (h, w) begins where 0.96 of them is left, from there on.

    That is the last step, where none leaves so much. A note says which it is."""
    model, steps = ModelSpec.of(settings), int(settings["steps"])
    family = models.family(model)
    scheduler = scheduler_with_timesteps(
        chosen_for(family, settings),
        models.config(model, "scheduler", as_of=settings.get("as_of")),
        steps,
        family=family,
        denoiser=models.denoiser_config(model),
        size=size,
        device=model.device,
    )

    def left(step: int) -> float:
        return PartialSchedule(scheduler, steps, flow=family.flow, first=index_of(step, steps, scheduler)).clean_share()

    shares = [left(step) for step in range(steps) if index_of(step, steps, scheduler) < len(scheduler.timesteps)]
    # Some schedules go back to more noise.
    first = min(max((step + 1 for step, share in enumerate(shares) if share < LEFT_OF_PAINT), default=0), len(shares) - 1)
    strength = _strength_of(first, steps, family)
    found = f"where {shares[first]:.0%} of what was painted stands in the latents, under noise"
    more = "" if shares[first] >= LEFT_OF_PAINT else f" (more steps than {steps} would leave more)"
    told = f"no strength was given: the loop begins at step {first} of {steps} (strength {strength:g}), {found}{more}"
    notes.append(f"{told}; {DRAWN_OVER}")
    return strength


def _strength_of(step: int, steps: int, family: Family) -> float:
    """The shortest number that a family takes for this first step."""
    exact = (steps - step) / steps
    tens = (10**digits for digits in range(1, MOST_DIGITS))
    # Some families round the steps up that are left, others down.
    shortened = (rounded(exact * ten) / ten for ten in tens for rounded in (math.floor, math.ceil))
    return next((strength for strength in shortened if family.first_step(steps, strength) == step), exact)
