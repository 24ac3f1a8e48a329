"""Which reader takes the files of which stage."""

from collections.abc import Iterator
from dataclasses import replace

from daemon.jobs.intake.apply import asks_to_apply, read_apply
from daemon.jobs.intake.decode import read_decode
from daemon.jobs.intake.diffuse import read_diffuse
from daemon.jobs.intake.encode import read_encode
from daemon.jobs.intake.files import Files, InputSources, check_file_size
from daemon.jobs.intake.invert import read_invert
from daemon.jobs.intake.text import read_text
from daemon.jobs.naming import check_name
from daemon.jobs.request import Request
from daemon.settings.vocabulary import REGISTRY, Settings


def read_request(stage: str, files: Files, sources: InputSources) -> Request:
    """Read the files of a job for a stage. Raises InputError or TiffsdError with a sentence for the person who dropped them."""
    check_file_size(files, sources.config)
    request = read_apply(stage, files, sources) if asks_to_apply(files) else READERS[stage](files, sources)
    check_name(request, files.name, sources.config)
    told = [note for entry in request.history for note in entry.get("notes", ())]
    notes = [note for note in _without_effect(request.settings, sources.config.limits.priority) if note not in told]
    return replace(request, notes=(*request.notes, *notes))


def _without_effect(settings: Settings, most_urgent: int) -> Iterator[str]:
    """What was said and has no effect at this stage or a later one, in sentences; the recipe keeps it."""
    if (settings.priority or 0) > most_urgent:
        yield f"priority {settings.priority} counts as {most_urgent}, the highest that there is (limits.priority in config.yaml)"
    for key in settings.given():
        if (needed := REGISTRY[key].needs) and getattr(settings, needed) in (None, REGISTRY[needed].neutral):
            yield f"{key} ignored: it does nothing without {needed}"


READERS = {"text": read_text, "diffuse": read_diffuse, "decode": read_decode, "encode": read_encode, "invert": read_invert}
