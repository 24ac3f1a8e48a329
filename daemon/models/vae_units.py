"""The units of a VAE, told from the configuration beside its weights: nothing is loaded, and torch is not needed."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from daemon.models.checkpoints.kinds import kind_of
from daemon.models.folders import read_json
from daemon.models.there import is_file, is_folder
from daemon.models.unreadable import UnreadableModel

# What diffusers takes where a configuration does not say it.
USUAL_FACTOR = 0.18215


def scaling_of(path: str, parts: str | Mapping[str, str | None] | None) -> tuple[float, float] | None:
    """Scaling factor and shift of the VAE of a model: a folder in diffusers layout, or a single file.

    None where they are not told: of a hub id, of a VAE from elsewhere, and of one with a mean and deviation of each channel.
    """
    if isinstance(parts, Mapping) and parts.get("vae"):
        return None
    try:
        config = _config(Path(path))
    except (OSError, UnreadableModel):
        return None
    if config is None or config.get("latents_mean") is not None:
        return None
    return float(config.get("scaling_factor") or USUAL_FACTOR), float(config.get("shift_factor") or 0.0)


def _config(path: Path) -> Mapping[str, Any] | None:
    if is_folder(path):
        return read_json(path / "vae" / "config.json")
    return kind_of(path).read("vae/config.json") if is_file(path) else None
