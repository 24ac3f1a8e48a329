"""How large the models of a configuration are on this disk: that decides how many workers are best on the CPU."""

import os
from pathlib import Path

from daemon.settings.config import Config


def largest_model(config: Config) -> int | None:
    """The bytes of the largest model; None where one is not on this disk."""
    sizes = [_bytes_of(Path(config.model_path(name))) for name in config.models]
    return None if None in sizes else max(filter(None, sizes), default=None)


def _bytes_of(path: Path) -> int | None:
    try:
        return _bytes_in(path) if path.is_dir() else path.stat().st_size
    except OSError:
        return None


def _bytes_in(folder: Path) -> int:
    return sum((Path(place) / name).stat().st_size for place, _, names in os.walk(folder) for name in names)
