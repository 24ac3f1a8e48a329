"""The file of one running job in `running/`: what it is doing, for people to read, and to delete when they want it cancelled."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.names import shown
from daemon.plain_files import opened

FOLDER = "running"
HEAD_BYTES = 4096


class RunningFile:
    """One job's file; it appears with `start`, tells the step with `update`, and goes with `end`."""

    def __init__(self, root: Path, stage: str, *, name: str) -> None:
        self.path = root / FOLDER / name
        self._stage = stage

    def start(self) -> None:
        """Write the file, in a folder that a person may have deleted. Raises OSError: a job without its file is cancelled."""
        self.path.parent.mkdir(exist_ok=True)
        self._write("waiting for the worker", os.O_CREAT)

    def update(self, step: int, steps: int) -> None:
        """Tell how far the job is, where that can be done; a file that a person deleted stays deleted."""
        with suppress(OSError):
            self._write(f"step {step} of {steps}", 0)

    def deleted(self) -> bool:
        """Whether a person has asked for the job to be cancelled."""
        return not self.path.exists()

    def end(self) -> None:
        """Take the file away, where it is one; what stays does no harm."""
        with suppress(OSError):
            self.path.unlink()

    def _write(self, doing: str, flags: int) -> None:
        descriptor = os.open(self.path, os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC | flags, 0o666)
        # Cut after it is written and not before: who reads it in between finds the new first line.
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(f"{self._stage}: {doing}\nDelete this file to cancel the job.\n")
            file.truncate()


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
    for path in _files(root / FOLDER):
        try:
            with opened(path) as file:
                first = file.read(HEAD_BYTES).decode("utf-8", "replace").split("\n")[0]
        except OSError:
            continue
        stage, _, doing = first.partition(": ")
        numbers = re.fullmatch(r"step (\d+) of (\d+)", doing)
        steps = (int(numbers[1]), int(numbers[2])) if numbers else (0, None)
        found.append(Running(shown(path.stem), stage, doing, *steps))
    return found


def _files(folder: Path) -> list[Path]:
    try:
        return sorted(folder / name for name in os.listdir(folder) if name.endswith(".txt"))
    except OSError:
        return []
