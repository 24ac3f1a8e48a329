"""Which reader takes the files of which stage."""

import os

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
    return READERS[stage](files, shelves)


READERS = {"text": read_text, "diffuse": read_diffuse, "decode": read_decode, "encode": read_encode, "invert": read_invert}
