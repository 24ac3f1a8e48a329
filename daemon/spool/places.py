"""The paths of a spool that are asked for time and again: to put one together costs more than most of what is done there."""

from functools import lru_cache
from pathlib import Path

MOST_KEPT = 512


@lru_cache(maxsize=MOST_KEPT)
def inside(folder: Path, *names: str) -> Path:
    """The path of a name in a folder, or in one below it: each time the same object, which knows its own text by then."""
    return folder.joinpath(*names)


@lru_cache(maxsize=MOST_KEPT)
def beside(path: Path, name: str) -> Path:
    """The path of another name in the folder of a path."""
    return path.with_name(name)
