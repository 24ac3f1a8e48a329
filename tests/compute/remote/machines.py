"""Two machines on one disk: a front with models, and a node with a configuration and cache of its own."""

import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from daemon.compute.remote.fingerprints import Fingerprints
from daemon.compute.remote.identity import portable
from daemon.compute.remote.shelf import Shelf
from daemon.settings.config import Config
from daemon.settings.model_places import places_of

ROOM = {"memory_bytes": 1000, "scratch": "/node/scratch"}
YEAR_NS = 365 * 24 * 3600 * 10**9


def later() -> int:
    """A clock by which nothing was changed just now."""
    return time.time_ns() + YEAR_NS


@dataclass
class Machine:
    """One machine: its folder, and what its configuration says of models."""

    folder: Path
    said: Mapping[str, Any] = field(default_factory=dict)

    @property
    def config(self) -> Config:
        return Config(folder=self.folder, **self.said)

    @property
    def cache(self) -> Path:
        return self.folder / "cache"

    @property
    def fingerprints(self) -> Fingerprints:
        return Fingerprints(self.cache / "fingerprints.json", now=later)

    @property
    def shelf(self) -> Shelf:
        return Shelf(lambda: places_of(self.config), self.fingerprints, self.cache, device="cpu", room=ROOM)


def travelled(settings: Mapping[str, Any], front: Machine) -> dict[str, Any]:
    """Settings as they arrive at another machine."""
    said: dict[str, Any] = json.loads(json.dumps(portable(settings, front.fingerprints)))
    return said


def named(path: object, name: str = "tiny", **more: Any) -> dict[str, Any]:
    """Settings of a call, of a model at a path."""
    model = {"name": name, "path": str(path), "dtype": "float32", "device": "cuda:1", "network": False, "vae": None, "parts": None}
    return {"model": {**model, **more}, "prompt": "a cat", "seed": 7, "room": {"memory_bytes": 1, "scratch": "/front/scratch"}}
