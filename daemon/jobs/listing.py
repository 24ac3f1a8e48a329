"""What lies in a spool, file by file: what is held, runs, waits, has failed and is done, with its prompt and why it is there.

From the folders alone, so that it says the same with the daemon down. `overview.py` has the first of it, for status.json.
"""

import os
import shlex
import stat
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path

from daemon.beneath import Beneath
from daemon.inbox.grouping import is_tied
from daemon.inbox.telling_names import FOLDER_SENTENCE, is_nobodys
from daemon.jobs.running import Running, read_running, user_name
from daemon.jobs.wording import Inside, Wording, inside_of, wording_of
from daemon.layout import DONE, FAILED, HOLD, INBOX, RUNNING
from daemon.names import is_proof, stem_of, without_id
from daemon.stages import APPLY_ENDINGS, STAGES, Stage

KINDS = ("held", "running", "waiting", "failed", "done")
COMMANDS = {"held": "tiffsd release", "running": "tiffsd cancel", "failed": "tiffsd retry"}

Why = Callable[[str, str], tuple[str, str]]
"""Stage and name of a file in an inbox -> why it waits there, and the command that goes on; empty where there is nothing to say."""


@dataclass(frozen=True)
class Listed:
    """One file or job: where it lies below the spool, since when (ISO 8601, local time), whose it is, its prompt, why it is there,
    and the command that goes on with it; texts are empty where there is nothing to say. `unread` is why its prompt is not known,
    `goes_elsewhere` whether another place takes it, as the reason says."""

    kind: str
    stage: str
    name: str
    path: str
    since: str
    owner: str
    prompt: str = ""
    unread: str = ""
    reason: str = ""
    command: str = ""
    goes_elsewhere: bool = False


@dataclass(frozen=True)
class Place:
    """A folder of which something is listed: of which kind that is, and which stage it is for, empty for those of all."""

    kind: str
    stage: str
    folder: Path

    def lists(self, name: str) -> bool:
        """Whether a name there is that of a job, or of half of one: not of what lies beside these."""
        if self.kind not in ("held", "waiting"):
            return not (is_nobodys(name) or is_proof(name) or name.lower().endswith(APPLY_ENDINGS))
        stage = STAGES[self.stage]
        return name.lower().endswith(stage.extensions) and not is_nobodys(name) and not _is_beside(stage, name)

    def entry(self, name: str, found: os.stat_result, wording: Wording) -> Listed:
        """What the folder and the file say of it."""
        since = datetime.fromtimestamp(found.st_ctime).astimezone().isoformat(timespec="seconds")
        where = str(Path(*self.folder.parts[-1 - (self.kind != "running") :]) / name)
        reason = wording.state if self.kind == "held" else ""
        return Listed(self.kind, self.stage, name, where, since, user_name(found.st_uid), wording.prompt, wording.unread, reason)


def places(root: Path, kind: str) -> list[Place]:
    """The folders in which what is of a kind lies; of what runs none, which says itself what it is."""
    today = datetime.now().astimezone().date().isoformat()
    by_stage = {"held": HOLD, "waiting": INBOX, "failed": FAILED}
    if kind == "done":
        return [Place(kind, "", root / DONE / today)]
    return [Place(kind, stage.name, root / by_stage[kind] / stage.folder) for stage in STAGES.values()] if kind in by_stage else []


def listed(root: Path, kinds: Collection[str], *, why: Why) -> Iterator[Listed]:
    """What lies in a spool, those first that wait for a person, each kind the oldest first."""
    beneath = Beneath(root)
    for kind in KINDS:
        if kind in kinds:
            found = running_entries(beneath, read_running(root)) if kind == "running" else _lying(beneath, kind, why)
            yield from with_commands(sorted(found, key=lambda entry: (entry.since, entry.path)))


def running_entries(beneath: Beneath, running: Iterable[Running]) -> Iterator[Listed]:
    """The jobs that run, by what their files say; of a file that says less, by what it is like."""
    for job in running:
        place = Place("running", job.stage, beneath.root / RUNNING)
        with suppress(OSError):  # it has ended meanwhile
            entry = place.entry(f"{job.name}.txt", beneath.lstat(place.folder / f"{job.name}.txt"), Wording(job.prompt))
            yield replace(entry, since=job.since or entry.since, owner=job.owner or entry.owner, reason=job.doing)


def with_commands(entries: Iterable[Listed], *, all_of_them: bool = True) -> Iterator[Listed]:
    """The entries of one kind with the commands that go on with them: by the stem, where no other has it.

    `all_of_them` is false where there are more, of which nobody knows the stems."""
    found = list(entries)
    stems = Counter(stem_in(entry.name) for entry in found)
    for entry in found:
        alone = all_of_them and stems[stem_in(entry.name)] == 1
        named = shlex.quote(stem_in(entry.name) if alone else entry.name)
        goes_on = entry.kind in COMMANDS and not entry.goes_elsewhere
        yield replace(entry, command=f"{COMMANDS[entry.kind]} {named}") if goes_on else entry


def explained(entry: Listed, why: Why) -> Listed:
    """An entry with the reason why it waits, where it does."""
    if entry.kind != "waiting":
        return entry
    reason, command = why(entry.stage, entry.name)
    return replace(entry, reason=reason, command=command)


def stem_in(name: str) -> str:
    """How a command may call a file, or a folder of one, where no other of its kind has this stem."""
    return without_id(name) if without_id(name) != name else stem_of(name)


def _lying(beneath: Beneath, kind: str, why: Why) -> Iterator[Listed]:
    for place in places(beneath.root, kind):
        for name in _names(beneath, place.folder):
            path = place.folder / name
            with suppress(OSError):  # it has gone on meanwhile
                if not place.lists(name):
                    yield from _folder(beneath, place, name)
                    continue
                inside = inside_of(beneath, path) if kind == "failed" else Inside(path)
                if inside.is_emptied:
                    continue  # its files are on their way again, or gone
                wording = Wording() if inside.speaks is None else wording_of(beneath, inside.speaks)
                entry = place.entry(name, beneath.lstat(path), wording)
                if kind == "failed":
                    entry = replace(entry, reason=inside.sentence, goes_elsewhere=inside.goes_elsewhere)
                yield explained(entry, why)


def _folder(beneath: Beneath, place: Place, name: str) -> Iterator[Listed]:
    """A folder that somebody has put into an inbox, where nothing is taken out of it."""
    if place.kind == "waiting" and not is_nobodys(name):
        found = beneath.lstat(place.folder / name)
        if stat.S_ISDIR(found.st_mode):
            yield replace(place.entry(name, found, Wording()), reason=FOLDER_SENTENCE)


def _is_beside(stage: Stage, name: str) -> bool:
    return is_tied(stage, name) and not any(name.lower().endswith(half + Path(name).suffix.lower()) for half in stage.halves)


def _names(beneath: Beneath, folder: Path) -> list[str]:
    try:
        return beneath.names(folder)
    except OSError:  # not there, or not to be read by this user
        return []
