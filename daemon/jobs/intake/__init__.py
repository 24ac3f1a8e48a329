"""The files of one job -> a request: tensors, settings, and what is known of their history.

One of the two hands of `job.py` (the other is `results.py`). Here the precedence of settings is decided: the settings file beside
an artifact, then the artifact's own metadata, then config.yaml.
"""

from daemon.errors import InputError
from daemon.jobs.intake.decode import read_decode
from daemon.jobs.intake.diffuse import read_diffuse
from daemon.jobs.intake.encode import read_encode
from daemon.jobs.intake.files import TAKERS, Files, Shelves
from daemon.jobs.intake.invert import read_invert
from daemon.jobs.intake.text import read_text
from daemon.jobs.request import Request


def read_request(stage: str, files: Files, shelves: Shelves) -> Request:
    """Read the files of a job for a stage. Raises InputError or TiffsdError with a sentence for the person who dropped them."""
    if files.members["principal"].stat().st_size > shelves.config.limits.file_bytes:
        raise InputError(
            f"{files.name}: the file is larger than limits.file_bytes in config.yaml ({shelves.config.limits.file_bytes} bytes)"
        )
    return READERS[stage](files, shelves)


READERS = {"text": read_text, "diffuse": read_diffuse, "decode": read_decode, "encode": read_encode, "invert": read_invert}

__all__ = ["TAKERS", "Files", "Shelves", "read_request"]
