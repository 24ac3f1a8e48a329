"""Which reader takes the files of which stage."""

import os
from dataclasses import replace

from daemon.errors import InputError
from daemon.jobs.intake.decode import read_decode
from daemon.jobs.intake.diffuse import read_diffuse
from daemon.jobs.intake.encode import read_encode
from daemon.jobs.intake.files import Files, Shelves
from daemon.jobs.intake.invert import read_invert
from daemon.jobs.intake.text import read_text
from daemon.jobs.request import Request


def read_request(stage: str, files: Files, shelves: Shelves) -> Request:
    """Read the files of a job for a stage. Raises InputError or TiffsdError with a sentence for the person who dropped them."""
    if os.fstat(files.members["principal"].fileno()).st_size > shelves.config.limits.file_bytes:
        raise InputError(
            f"{files.name}: the file is larger than limits.file_bytes in config.yaml ({shelves.config.limits.file_bytes} bytes)"
        )
    return _with_priority_in_bounds(READERS[stage](files, shelves), shelves.config.limits.priority)


def _with_priority_in_bounds(request: Request, most: int) -> Request:
    """The request with a note where its priority asks for more than there is to have; the recipe keeps what was said."""
    asked = request.settings.priority or 0
    note = f"priority {asked} counts as {most}, the highest that there is (limits.priority in config.yaml)"
    if asked <= most or any(note in entry.get("notes", ()) for entry in request.history):
        return request
    return replace(request, notes=(*request.notes, note))


READERS = {"text": read_text, "diffuse": read_diffuse, "decode": read_decode, "encode": read_encode, "invert": read_invert}
