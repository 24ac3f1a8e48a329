"""The file of one running job in `running/`: what it is doing, for people to read, and to delete when they want it cancelled."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from daemon.names import shown

FOLDER = "running"


class RunningFile:
    """One job's file; it appears with `start`, tells the step with `update`, and goes with `end`."""

    def __init__(self, root: Path, stage: str, *, name: str) -> None:
        self.path = root / FOLDER / name
        self._stage = stage

    def start(self) -> None:
        self._write("waiting for the worker", os.O_CREAT)

    def update(self, step: int, steps: int) -> None:
        """Tell how far the job is. A file that a person deleted stays deleted."""
        if not self.deleted():
            self._write(f"step {step} of {steps}", 0)

    def deleted(self) -> bool:
        """Whether a person has asked for the job to be cancelled."""
        return not self.path.exists()

    def end(self) -> None:
        self.path.unlink(missing_ok=True)

    def _write(self, doing: str, flags: int) -> None:
        try:
            descriptor = os.open(self.path, os.O_WRONLY | os.O_TRUNC | os.O_NOFOLLOW | flags, 0o666)
        except FileNotFoundError:
            return  # deleted between the look and the write: `deleted` will say so
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{self._stage}: {doing}\nDelete this file to cancel the job.\n")


@dataclass(frozen=True)
class Running:
    """What a file in `running/` says; `steps` is None while the job waits."""

    name: str
    stage: str
    doing: str
    step: int = 0
    steps: int | None = None


def read_running(root: Path) -> list[Running]:
    """What runs, by the files; works from another process, and over a network share."""
    found = []
    for path in sorted((root / FOLDER).glob("*.txt")):
        try:
            first = path.read_text(encoding="utf-8", errors="replace").split("\n")[0]
        except OSError:
            continue
        stage, _, doing = first.partition(": ")
        numbers = re.fullmatch(r"step (\d+) of (\d+)", doing)
        steps = (int(numbers[1]), int(numbers[2])) if numbers else (0, None)
        found.append(Running(shown(path.stem), stage, doing, *steps))
    return found
