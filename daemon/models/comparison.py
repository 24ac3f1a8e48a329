"""Whether the weights of models fit their configurations, and devices are there: found out by a process of its own (`comparer`),
which needs torch."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

SECONDS = 300.0
"""How long comparing may take; building the largest model without its weights takes some seconds."""


@dataclass(frozen=True)
class Model:
    """Where a model lies that is to be compared, as `sources.source_of` takes it."""

    path: str
    parts: str | Mapping[str, str | None] | None = None
    vae: str | None = None


@dataclass(frozen=True)
class Misfits:
    """What does not fit: of each model a sentence for each component, of each separate VAE at most one, and the devices that torch
    does not find."""

    models: list[list[str]]
    vaes: list[list[str]]
    devices: list[str]


def misfits(models: Sequence[Model], devices: Sequence[str] = (), vaes: Sequence[str] = ()) -> Misfits:
    """Find which weights the files of models and separate VAEs lack, or have in other shapes, and which devices are missing.

    No weight is read. Where the comparison itself fails, that is the sentence of each."""
    if not models and not devices and not vaes:
        return Misfits([], [], [])
    with tempfile.TemporaryDirectory(prefix="tiffsd-compared-") as folder:
        asked, answer = Path(folder) / "asked.json", Path(folder) / "answer.json"
        said = {"models": [asdict(model) for model in models], "vaes": [*vaes], "devices": [*devices]}
        asked.write_text(json.dumps(said), encoding="utf-8")
        command = [sys.executable, "-P", "-m", "daemon.models.comparer", str(asked), str(answer)]
        try:
            done = subprocess.run(command, capture_output=True, text=True, env=surroundings(), timeout=SECONDS, check=False)
            fault = (done.stderr.strip().splitlines() or [f"it ended with code {done.returncode}"])[-1] if done.returncode else None
        except subprocess.TimeoutExpired:
            fault = f"it took more than {SECONDS:.0f} s"
        if fault is not None:
            sentence = f"its weights could not be compared with its configuration ({fault})"
            return Misfits([[sentence] for _ in models], [[sentence] for _ in vaes], [])
        return Misfits(**json.loads(answer.read_text(encoding="utf-8")))


def surroundings() -> dict[str, str]:
    """What a process of ours is to find: this program, nothing of the network, and no warnings of libraries."""
    ours = str(Path(__file__).resolve().parents[2])
    paths = [ours, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "HF_HUB_OFFLINE": "1", "PYTHONWARNINGS": "ignore"}
