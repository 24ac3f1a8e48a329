"""The file of one running job in `running/`: what it is doing, for people to read, and to delete when they want it cancelled."""

import grp
import os
import pwd
import re
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from daemon.beneath import Beneath, FolderMissing, reopened
from daemon.jobs.pace import Pace
from daemon.layout import RUNNING
from daemon.names import shown

HEAD_BYTES = 4096
LONGEST_PROMPT = 500  # characters
_BEGUN = re.compile(r"Begun (\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d[+-]\d\d:\d\d)(?: for (.+))?\.")
_STEP = re.compile(r"step (\d+) of (\d+)(?:, ([\d.e-]{1,9} steps/s, [\d.]{1,9} (?:s|min|h) left))?")


class RunningFile:
    """One job's file; it appears with `start`, tells the step with `update`, and goes with `end`.

    `owner` is the user id of who dropped what the job is about, None where it is not known.
    """

    def __init__(self, root: Path, stage: str, *, name: str, owner: int | None = None) -> None:
        self.path = root / RUNNING / name
        self._beneath, self._stage, self._pace = Beneath(root), stage, Pace()
        self._for = "" if owner is None else f" for {user_name(owner)}"
        self._begun, self._prompt, self._doing = "", "", "waiting for the worker"
        # With O_PATH it is no open file: one that is would be flushed when the daemon ends, and on a share that is gone for ever.
        self._handle: int | None = None

    def start(self) -> None:
        """Write the file, in a folder that a person may have deleted. Raises OSError: a job without its file is cancelled."""
        self._begun = datetime.now().astimezone().isoformat(timespec="seconds")
        try:
            made = self._made()
        except FolderMissing:
            self._beneath.make_folder(self.path.parent)
            made = self._made()
        except FileExistsError:
            with suppress(FileNotFoundError):
                self._beneath.unlink(self.path)  # of a job of this name that a crash ended
            made = self._made()
        try:
            self._handle = reopened(made, os.O_PATH)
            self._write(made)
        finally:
            os.close(made)

    def _made(self) -> int:
        return self._beneath.open(self.path, os.O_WRONLY | os.O_CREAT | os.O_EXCL)

    def update(self, step: int, steps: int) -> None:
        """Tell how far the job is, where that can be done; a file that a person deleted stays deleted."""
        self._doing = str(self._pace.at(step, steps))
        self._write_again()

    def show(self, prompt: str) -> None:
        """Tell what it is about, too."""
        words = shown(prompt)[:LONGEST_PROMPT]
        if words != self._prompt:
            self._prompt = words
            self._write_again()

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

    def _write_again(self) -> None:
        if self._handle is None:
            return
        with suppress(OSError):
            descriptor = reopened(self._handle, os.O_WRONLY)
            try:
                self._write(descriptor)
            finally:
                os.close(descriptor)

    def _write(self, descriptor: int) -> None:
        lines = [f"{self._stage}: {self._doing}", "Delete this file to cancel the job.", f"Begun {self._begun}{self._for}."]
        text = "".join(f"{line}\n" for line in (*lines, *filter(None, [self._prompt]))).encode("utf-8", "replace")
        # Cut after it is written and not before: who reads it in between finds the new first line.
        os.pwrite(descriptor, text, 0)
        os.ftruncate(descriptor, len(text))


@dataclass(frozen=True)
class Running:
    """What a file in `running/` says; `steps` is None while the job waits, `pace` tells how fast it goes, and what time is left."""

    name: str
    stage: str
    doing: str
    step: int = 0
    steps: int | None = None
    pace: str = ""
    since: str = ""
    owner: str = ""
    prompt: str = ""


def read_running(root: Path) -> list[Running]:
    """What runs, by the files; works from another process, and over a network share."""
    found = []
    beneath = Beneath(root)
    for path in _files(beneath, root / RUNNING):
        try:
            with beneath.plain(path) as file:
                first, *others = file.read(HEAD_BYTES).decode("utf-8", "replace").split("\n")
        except OSError:
            continue
        stage, _, doing = first.partition(": ")
        told = _STEP.fullmatch(doing)
        step, steps, pace = (int(told[1]), int(told[2]), told[3] or "") if told else (0, None, "")
        since, owner, prompt = _about(others)
        found.append(Running(shown(path.stem), stage, doing, step, steps, pace, since, owner, prompt))
    return found


def _about(lines: list[str]) -> tuple[str, str, str]:
    """Since when a job runs, for whom, and its prompt, by the lines below the first."""
    begun = _BEGUN.fullmatch(lines[1]) if len(lines) > 1 else None
    if begun is None:
        return "", "", ""
    try:
        datetime.fromisoformat(begun[1])
    except ValueError:
        return "", "", ""
    return begun[1], begun[2] or "", lines[2] if len(lines) > 2 else ""


def user_name(number: int) -> str:
    """The name of a user, or the number of one that has none."""
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def group_name(number: int) -> str:
    """The name of a group, or the number of one that has none."""
    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


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
