"""The file of one running job in `running/`: what it is doing, for people to read, and to delete when they want it cancelled."""

import os
import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from daemon.beneath import Beneath, reopened
from daemon.layout import RUNNING
from daemon.names import shown

HEAD_BYTES = 4096


class RunningFile:
    """One job's file; it appears with `start`, tells the step with `update`, and goes with `end`."""

    def __init__(self, root: Path, stage: str, *, name: str) -> None:
        self.path = root / RUNNING / name
        self._beneath, self._stage = Beneath(root), stage
        # With O_PATH it is no open file: one that is would be flushed when the daemon ends, and on a share that is gone for ever.
        self._handle: int | None = None

    def start(self) -> None:
        """Write the file, in a folder that a person may have deleted. Raises OSError: a job without its file is cancelled."""
        self._beneath.make_folder(self.path.parent)
        with suppress(FileNotFoundError):
            self._beneath.unlink(self.path)  # of a job of this name that a crash ended
        made = self._beneath.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)
        try:
            self._handle = reopened(made, os.O_PATH)
            self._write("waiting for the worker", made)
        finally:
            os.close(made)

    def update(self, step: int, steps: int) -> None:
        """Tell how far the job is, where that can be done; a file that a person deleted stays deleted."""
        if self._handle is None:
            return
        with suppress(OSError):
            descriptor = reopened(self._handle, os.O_WRONLY)
            try:
                self._write(f"step {step} of {steps}", descriptor)
            finally:
                os.close(descriptor)

    def deleted(self) -> bool:
        """Whether a person has asked for the job to be cancelled."""
        return self._beneath.is_gone(self.path)

    def end(self) -> None:
        """Take the file away, where it is one; what stays does no harm."""
        with suppress(OSError):
            self._beneath.unlink(self.path)
        if self._handle is not None:
            os.close(self._handle)
            self._handle = None

    def _write(self, doing: str, descriptor: int) -> None:
        text = f"{self._stage}: {doing}\nDelete this file to cancel the job.\n".encode()
        # Cut after it is written and not before: who reads it in between finds the new first line.
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))


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
    beneath = Beneath(root)
    for path in _files(beneath, root / RUNNING):
        try:
            with beneath.plain(path) as file:
                first = file.read(HEAD_BYTES).decode("utf-8", "replace").split("\n")[0]
        except OSError:
            continue
        stage, _, doing = first.partition(": ")
        numbers = re.fullmatch(r"step (\d+) of (\d+)", doing)
        steps = (int(numbers[1]), int(numbers[2])) if numbers else (0, None)
        found.append(Running(shown(path.stem), stage, doing, *steps))
    return found


def clear_running(root: Path) -> None:
    """Take away the files of jobs that a daemon left when it was killed."""
    beneath = Beneath(root)
    for path in _files(beneath, root / RUNNING):
        with suppress(OSError):
            beneath.unlink(path)


def _files(beneath: Beneath, folder: Path) -> list[Path]:
    try:
        return sorted(folder / name for name in beneath.names(folder) if name.endswith(".txt"))
    except OSError:
        return []
