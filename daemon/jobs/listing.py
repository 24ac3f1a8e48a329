"""What lies in a spool, file by file: what is held, runs, waits, has failed and is done, with its prompt and why it is there.

From the folders alone, so that it says the same with the daemon down.
"""

import pwd
import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

import tiffsd
from daemon.beneath import Beneath
from daemon.errors import DaemonError
from daemon.inbox.grouping import is_tied
from daemon.inbox.telling_names import is_nobodys
from daemon.jobs.running import read_running
from daemon.layout import DONE, FAILED, HOLD, INBOX, RUNNING
from daemon.names import shown, stem_of, without_id
from daemon.settings.prompts import read_prompt
from daemon.stages import LATENTS, PROMPTS, STAGES, Stage

REPORTS = ("error.txt", "error.json")
LONGEST_PROMPT_BYTES = 64 * 1024
LONGEST_SENTENCE_BYTES = 4096


@dataclass(frozen=True)
class Listed:
    """One file or job: where it lies below the spool, since when (ISO 8601, local time), whose it is, its prompt, why it is there,
    and the command that goes on with it; texts are empty where there is nothing to say."""

    kind: str
    stage: str
    name: str
    path: str
    since: str
    owner: str
    prompt: str = ""
    reason: str = ""
    command: str = ""


def listed(root: Path, kinds: Collection[str], *, waits: Mapping[str, Sequence[str]]) -> Iterator[Listed]:
    """What lies in a spool, those first that wait for a person, each kind the oldest first.

    `waits` are the daemon's own sentences on what waits, by stage."""
    beneath = Beneath(root)
    for kind, read in _KINDS.items():
        found = sorted(read(beneath, waits), key=lambda entry: (entry.since, entry.path)) if kind in kinds else []
        stems = Counter(_stem(entry.name) for entry in found)
        for entry in found:
            named = _stem(entry.name) if stems[_stem(entry.name)] == 1 else entry.name
            yield replace(entry, command=f"{entry.command} {shlex.quote(named)}" if entry.command else "")


def _held(beneath: Beneath, _waits: Mapping[str, Sequence[str]]) -> Iterator[Listed]:
    for stage in STAGES.values():
        for path in _principals(beneath, HOLD, stage):
            yield from _file(beneath, "held", stage.name, path, command="tiffsd release")


def _waiting(beneath: Beneath, waits: Mapping[str, Sequence[str]]) -> Iterator[Listed]:
    for stage in STAGES.values():
        for path in _principals(beneath, INBOX, stage):
            reason = next((sentence for sentence in waits.get(stage.name, ()) if shown(path.name) in sentence), "")
            yield from _file(beneath, "waiting", stage.name, path, reason=reason)


def _running(beneath: Beneath, _waits: Mapping[str, Sequence[str]]) -> Iterator[Listed]:
    for job in read_running(beneath.root):
        path = beneath.root / RUNNING / f"{job.name}.txt"
        yield from _file(beneath, "running", job.stage, path, reason=job.doing, command="tiffsd cancel", prompted=False)


def _failed(beneath: Beneath, _waits: Mapping[str, Sequence[str]]) -> Iterator[Listed]:
    for stage in STAGES.values():
        for name in _names(beneath, beneath.root / FAILED / stage.folder):
            folder = beneath.root / FAILED / stage.folder / name
            reason = _line(beneath, folder / "error.txt")
            yield from _file(beneath, "failed", stage.name, folder, reason=reason, command="tiffsd retry")


def _done(beneath: Beneath, _waits: Mapping[str, Sequence[str]]) -> Iterator[Listed]:
    today = beneath.root / DONE / datetime.now().astimezone().date().isoformat()
    for name in _names(beneath, today):
        yield from _file(beneath, "done", "", today / name)


_KINDS = {"held": _held, "running": _running, "waiting": _waiting, "failed": _failed, "done": _done}


def _principals(beneath: Beneath, kind: str, stage: Stage) -> Iterator[Path]:
    """The files that are jobs of a stage, or halves of them: not what lies beside these."""
    folder = beneath.root / kind / stage.folder
    for name in _names(beneath, folder):
        if Path(name).suffix.lower() in stage.extensions and not _is_beside(stage, name):
            yield folder / name


def _is_beside(stage: Stage, name: str) -> bool:
    return is_tied(stage, name) and not any(name.lower().endswith(half + Path(name).suffix.lower()) for half in stage.halves)


def _names(beneath: Beneath, folder: Path) -> list[str]:
    try:
        return [name for name in beneath.names(folder) if not is_nobodys(name)]
    except OSError:  # not there, or not to be read by this user
        return []


def _file(
    beneath: Beneath, kind: str, stage: str, path: Path, *, reason: str = "", command: str = "", prompted: bool = True
) -> Iterator[Listed]:
    with suppress(FileNotFoundError):  # it has gone on meanwhile
        found = beneath.lstat(path)
        since = datetime.fromtimestamp(found.st_ctime).astimezone().isoformat(timespec="seconds")
        place, prompt = str(path.relative_to(beneath.root)), _prompt(beneath, path) if prompted else ""
        yield Listed(kind, stage, path.name, place, since, _user(found.st_uid), prompt, reason, command)


def _prompt(beneath: Beneath, path: Path) -> str:
    """The prompt that a file says, or that the first of a failed job's files says."""
    suffix = path.suffix.lower()
    try:
        if suffix not in LATENTS + PROMPTS:
            inside = [
                name for name in beneath.names(path) if Path(name).suffix.lower() in LATENTS + PROMPTS and name != "error.txt"
            ]
            return next(filter(None, (_prompt(beneath, path / name) for name in sorted(inside))), "")
        with beneath.plain(path) as file:
            if suffix in LATENTS:
                return str(tiffsd.inspect(file, name=path.name).recipe.get("prompt", ""))
            text = read_prompt(file.read(LONGEST_PROMPT_BYTES), path.name, characters=LONGEST_PROMPT_BYTES)
            return str(text.settings.get("prompt", ""))
    except (OSError, DaemonError, tiffsd.TiffsdError):
        return ""


def _line(beneath: Beneath, path: Path) -> str:
    with suppress(OSError), beneath.plain(path) as file:
        return file.read(LONGEST_SENTENCE_BYTES).decode("utf-8", "replace").partition("\n")[0]
    return ""


def _stem(name: str) -> str:
    """How a command may call a file, or a folder of one, where no other of its kind has this stem."""
    return without_id(name) if without_id(name) != name else stem_of(name)


def _user(number: int) -> str:
    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)
