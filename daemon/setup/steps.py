"""What a set-up does to a machine, one step after the other; each can be told before it is done."""

import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from difflib import unified_diff
from pathlib import Path

from daemon.errors import DaemonError
from daemon.setup.marks import is_as_written, is_marked

FILE_MODE, FOLDER_MODE = 0o644, 0o755
COMMAND_SECONDS = 400.0  # longer than a unit may take to start
Runner = Callable[[Sequence[str]], "subprocess.CompletedProcess[str]"]


@dataclass(frozen=True)
class Put:
    """A file is written; one that is there is replaced, or with `spared` left as it is. `what` says in a few words what it is."""

    path: Path
    text: str
    what: str
    spared: bool = False


@dataclass(frozen=True)
class Remove:
    """A file that install wrote is taken away."""

    path: Path


@dataclass(frozen=True)
class Run:
    """A command of the system."""

    words: tuple[str, ...]


Step = Put | Remove | Run


def told(step: Step) -> Iterator[str]:
    """The lines that say what a step does."""
    if isinstance(step, Run):
        yield f"  run      {shlex.join(step.words)}"
    elif isinstance(step, Remove):
        yield f"  remove   {step.path}{_kept(step.path)}"
    elif not step.path.exists():
        yield f"  write    {step.path}: {step.what}"
    elif step.spared:
        yield f"  leave    {step.path}: {step.what}, which is there"
    elif (before := text_of(step.path)) == step.text:
        yield f"  leave    {step.path}: {step.what}, which is the same"
    else:
        yield f"  replace  {step.path}: {step.what}, which differs{_kept(step.path)}"
        difference = unified_diff(before.splitlines(), step.text.splitlines(), n=0, lineterm="")
        yield from (f"           {line}" for line in [*difference][2:] if not line.startswith("@@"))


def do(step: Step, run: Runner) -> None:
    """Do a step. Raises DaemonError where a command fails, OSError where a file cannot be written."""
    if isinstance(step, Run):
        _run(step.words, run)
    elif isinstance(step, Remove):
        _keep_what_was_changed(step.path)
        step.path.unlink(missing_ok=True)
    elif not step.path.exists() or not (step.spared or text_of(step.path) == step.text):
        _make_folders(step.path.parent)
        _keep_what_was_changed(step.path)
        write(step.path, step.text)


def changes(step: Step) -> bool:
    """Whether a step changes a file."""
    if isinstance(step, Run):
        return False
    there = step.path.exists()
    return there if isinstance(step, Remove) else not there or not (step.spared or text_of(step.path) == step.text)


def is_ours(path: Path) -> bool:
    """Whether install wrote the file at a path, whatever was done to it since."""
    return path.is_file() and is_marked(text_of(path))


def text_of(path: Path) -> str:
    """What stands in a file; what is no text of UTF-8 differs from all that is."""
    return path.read_text(encoding="utf-8", errors="surrogateescape")


def write(path: Path, text: str) -> None:
    """Write a file that everybody may read, at once or not at all."""
    with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=path.parent, prefix=f".{path.name}.", delete=False) as file:
        try:
            file.write(text)
            file.flush()
            os.fchmod(file.fileno(), FILE_MODE)
            os.fsync(file.fileno())
            Path(file.name).replace(path)
        except OSError:
            Path(file.name).unlink(missing_ok=True)
            raise


def on_this_machine(words: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    """Run a command of the system; what it says is caught."""
    return subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=COMMAND_SECONDS, check=False)


def _run(words: Sequence[str], run: Runner) -> None:
    command = shlex.join(words)
    try:
        done = run(words)
    except FileNotFoundError:
        raise DaemonError(f"`{command}` cannot be run: there is no {words[0]}; what was done before it stays") from None
    except subprocess.TimeoutExpired:
        raise DaemonError(f"`{command}` takes too long; look at `systemctl status`, then run the same again") from None
    if done.returncode:
        said = (done.stderr.strip() or done.stdout.strip()).splitlines()
        why = f": {' '.join(line.strip() for line in said[:2])}" if said else ""
        raise DaemonError(f"`{command}` failed{why}; what was done before it stays, and the same command goes on from there")


def _make_folders(folder: Path) -> None:
    """Make what is missing of a folder, open for everybody to read whatever the umask says: the service runs as another user."""
    for missing in reversed([place for place in (folder, *folder.parents) if not place.exists()]):
        missing.mkdir()
        missing.chmod(FOLDER_MODE)


def _old(path: Path) -> Path:
    return path.with_name(f"{path.name}.old")


def _is_changed(path: Path) -> bool:
    return path.is_file() and not is_as_written(text_of(path))


def _kept(path: Path) -> str:
    return f" (not as install wrote it, so the old one is kept as {_old(path).name})" if _is_changed(path) else ""


def _keep_what_was_changed(path: Path) -> None:
    if _is_changed(path):
        path.replace(_old(path))
