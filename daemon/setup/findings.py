"""What `tiffsd doctor` found, one fact at a time."""

from dataclasses import dataclass
from enum import StrEnum


class State(StrEnum):
    """What a finding means: as it should be; something to know, with which tiffsd runs; something that keeps it from its work."""

    OK = "ok"
    NOTE = "note"
    FAULT = "fault"


@dataclass(frozen=True)
class Finding:
    """`about` is one word or two, `said` what there is, and `advice` one sentence on what to do where it is not as it should be."""

    about: str
    state: State
    said: str
    advice: str | None = None


def ok(about: str, said: str) -> Finding:
    """That something is as it should be."""
    return Finding(about, State.OK, said)


def note(about: str, said: str, advice: str) -> Finding:
    """Something to know."""
    return Finding(about, State.NOTE, said, advice)


def fault(about: str, said: str, advice: str) -> Finding:
    """Something that is wrong."""
    return Finding(about, State.FAULT, said, advice)
