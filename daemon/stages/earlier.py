"""A loop as an earlier version of tiffsd ran it (`as_of`), where this one runs it otherwise: what differs, each in a sentence.

0.1.0 configured the schedulers of models in one file otherwise than their releases do (`scheduler_config-0.1.0.json` beside what is
shipped now), and took the estimate of `end_at` from the first of the two predictions that a step of a second-order solver makes.
"""

from typing import Any

from daemon.models.registry import Models, ModelSpec
from daemon.models.scheduling import alike
from daemon.models.stage_settings import StageSettings
from daemon.stages.loop import StepRange


def ends_half_a_step_earlier(scheduler: Any, loop: StepRange, as_of: str | None) -> bool:
    """Whether `end_at` ended before the second prediction of its step."""
    return as_of is not None and loop.finish and scheduler.order > 1


def notes_on(
    models: Models, model: ModelSpec, name: str | None, scheduler: Any, loop: StepRange, settings: StageSettings
) -> list[str]:
    """Sentences on what `as_of` changes, or that it changes nothing; none where it was not given."""
    version = settings.get("as_of")
    if version is None:
        return []
    then, now = (models.config(model, "scheduler", as_of=as_of) for as_of in (version, None))
    notes = []
    if not alike(name, then, now, models.family(model)):
        notes.append(
            f"the scheduler is configured as tiffsd {version} did it for a model in one file (timestep_spacing "
            f"{then.get('timestep_spacing')}), so that the picture comes out the same; without `as_of` it is as the release says"
        )
    if ends_half_a_step_earlier(scheduler, loop, version):
        notes.append(f"end_at takes the estimate from the first half of step {loop.end}, as tiffsd {version} did")
    return notes or [f"as_of ignored: tiffsd {version} made of this what this version makes"]
