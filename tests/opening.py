"""Files by path for the readers, which take them open, as a job has them."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO, Concatenate, ParamSpec, TypeVar

from daemon.jobs.intake.files import Files, InputSources
from daemon.jobs.intake.readers import read_request
from daemon.jobs.named import opened
from daemon.jobs.request import Request

P = ParamSpec("P")
Read = TypeVar("Read")


def opening(read: Callable[Concatenate[BinaryIO, P], Read], path: Path, *args: P.args, **kwargs: P.kwargs) -> Read:
    """What a reader makes of the file at a path."""
    with path.open("rb") as file:
        return read(file, *args, **kwargs)


def request_for(stage: str, members: Mapping[str, Path], sources: InputSources) -> Request:
    """The request for files by role, under the names that they have."""
    with opened(members) as files:
        return read_request(stage, Files(files, {role: path.name for role, path in members.items()}), sources)
