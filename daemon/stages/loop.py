"""Which of the steps of a schedule run: where the loop starts and where it ends, from what the settings and the latents say."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from daemon.errors import InputError
from daemon.models.families import Family
from daemon.models.stage_settings import StageSettings

ESTIMATE = "estimate"
"""Beside half-done latents, the finished ones as the loop sees them there: to be shown, not kept."""
SHOWN, PAINTED, BLOCKS = "proof_shown", "proof_painted", "painted_blocks"
"""What was shown of latents, what a person made of it, and where (`painting.py`). A file cannot say these: they are compared."""
FINISHED = "finished"
"""The finished picture (H, W, 3) that somebody painted on, which comes back outside of the paint."""
PAINT = (ESTIMATE, SHOWN, PAINTED, BLOCKS, FINISHED)
HELD_MASK, HELD_LATENTS, HELD_NOISE = "held_mask", "held_latents", "held_noise"
"""Beside half-done latents, paint that the loop holds: where, the finished latents there, and their noise (`holding.py`)."""
HELD = (HELD_MASK, HELD_LATENTS, HELD_NOISE)
CLEAN = 0.98
"""The share of the finished latents from which on a loop leaves paint alone, where nobody says another: longer, it looks pasted."""


@dataclass(frozen=True)
class StepRange:
    """Of the `steps` of a schedule run `start` up to `end`; `finish` takes the last one all the way."""

    start: int
    end: int
    steps: int
    finish: bool

    @property
    def partial(self) -> bool:
        """Whether the latents are half-done where it ends."""
        return self.end < self.steps and not self.finish

    def to_the_end(self) -> "StepRange":
        """Return the range that ends with the schedule: some schedules have fewer steps than were asked for."""
        return replace(self, end=self.steps, finish=False)


def step_range_of(settings: StageSettings, family: Family, notes: list[str]) -> StepRange:
    """Return the steps that `state`, `step`, `steps`, `strength`, `start_at`, `stop_at` and `end_at` ask for.

    Raises InputError where nothing is left to do, and where the latents do not say how far they are."""
    steps = int(settings["steps"])
    start = _start(settings, steps, family)
    if not 0 <= start < steps:
        raise InputError(f"nothing is left to do: the loop would start at step {start} of {steps}; {way_out(settings)}")
    if settings["state"] == "final" and settings.get("strength") is not None and settings.get("start_at") is not None:
        notes.append("start_at ignored: strength says where the loop starts")
    end_at = settings.get("end_at")
    if end_at is not None and end_at <= start:
        notes.append(f"end_at {end_at} ignored: it is not ahead of step {start}, where the loop starts")
    finish_at = steps if end_at is None or end_at <= start else int(end_at)
    end = min([steps, finish_at, *stops_after(start, settings.get("stop_at"))])
    return StepRange(start, end, steps, finish=end < steps and end == finish_at)


def stops_after(step: int, stop_at: int | Sequence[int] | None) -> list[int]:
    """Return those of one stop or several that are ahead of a step: a file that was stopped at step 12 still says so later."""
    stops = stop_at if isinstance(stop_at, Sequence) else [] if stop_at is None else [stop_at]
    return [int(stop) for stop in stops if stop > step]


def way_out(settings: StageSettings) -> str:
    """Say what to change where a loop would start at its end."""
    return "raise strength or steps" if settings["state"] == "final" else "lower start_at or raise steps"


def _start(settings: StageSettings, steps: int, family: Family) -> int:
    state, start_at, strength = settings["state"], settings.get("start_at"), settings.get("strength")
    if state == "partial":
        step = start_at if settings.get("step") is None else settings["step"]
        if step is None:
            raise InputError("the half-done latents do not say at which step they are; give it as start_at")
        return int(step)
    if state == "noise":
        return int(start_at or 0)
    if strength is not None:
        return family.first_step(steps, strength)
    if start_at is None:
        raise InputError(
            "these latents are finished: to change them (image-to-image) they need strength, from 0 (hardly) to 1 "
            "(all new), in NAME.yaml beside the file; to see them, put them into inbox/3-decode"
        )
    return int(start_at)
