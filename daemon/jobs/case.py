"""What a spool holds of one job: its files wherever they lie, what they say of themselves, and the daemon's records of it.

From the folders alone. A folder that this user may not read says nothing, and a file that cannot be read says why.
"""

import json
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import tiffsd
from daemon.beneath import Beneath
from daemon.errors import DaemonError, NotThere
from daemon.jobs.redacting import NO_PROMPT, PROMPTS, Redaction
from daemon.layout import DONE, EMBEDDINGS, FAILED, HOLD, INBOX, KEEP, PICTURES, PREVIEWS, RUNNING, STEPS, TRASH, WORK
from daemon.names import id_of, latents_base, shown, stem_of, without_id
from daemon.settings.prompts import read_prompt
from daemon.stages import LATENTS

OF_ALL = (RUNNING, STEPS, EMBEDDINGS, PICTURES, PREVIEWS, KEEP, WORK, TRASH)
IN_FOLDERS = (INBOX, HOLD, FAILED, DONE)
MOST_FILES, MOST_READ = 60, 12
MOST_BYTES = 32 * 1024  # of one text
RECORDS = (".json", ".txt", ".yaml", ".yml")


@dataclass(frozen=True)
class Found:
    """One file of a job, where it lies below the spool."""

    path: Path
    place: str
    found: os.stat_result

    def line(self) -> str:
        """Where it lies, its size in bytes, its mode, and when it was changed."""
        at = datetime.fromtimestamp(self.found.st_mtime).astimezone().isoformat(timespec="seconds")
        return f"{shown(self.place)}  {self.found.st_size} bytes  {stat.filemode(self.found.st_mode)}  {at}"


class Case:
    """The files of the jobs that a name means: a file in the spool, the folder of a failed job, or the stem of one."""

    def __init__(self, root: Path, name: str) -> None:
        self._beneath, self._given = Beneath(root), Path(name).name
        base = latents_base(self._given) if Path(name).suffix else self._given
        self.ids = {identity for identity in (id_of(self._given), id_of(f"{self._given}.txt")) if identity}
        self.stem = without_id(base)

    def files(self) -> list[Found]:
        """Those files, the latest first. Raises NotThere where there is none."""
        every = list(self._walked())
        self._follow_the_history(every)
        jobs = {_job_of(one) for one in filter(self._is_meant, every)} - {""}
        meant = [one for one in every if self._is_meant(one) or _job_of(one) in jobs]
        found = sorted(meant, key=lambda one: one.found.st_mtime, reverse=True)
        if not found:
            raise NotThere(f"{self._given}: the spool holds no file of that name or stem; `tiffsd list` says what there is")
        return found[:MOST_FILES]

    def _is_meant(self, one: Found) -> bool:
        identity, stem = _known_by(one)
        return identity in self.ids if identity and self.ids else stem == self.stem

    def _follow_the_history(self, every: Iterable[Found]) -> None:
        """Know the files, too, from which a file with an id was made."""
        for one in every if self.ids else ():
            if _known_by(one)[0] in self.ids and one.path.suffix.lower() in LATENTS:
                with suppress(OSError, tiffsd.TiffsdError), self._beneath.plain(one.path) as file:
                    header = tiffsd.inspect(file, name=one.path.name)
                    said = (header.parent, *(entry.get("parent") for entry in header.history))
                    self.ids |= {parent for parent in said if isinstance(parent, str)}

    def _walked(self) -> Iterator[Found]:
        root = self._beneath.root
        folders = [root / name for name in OF_ALL]
        for kind in IN_FOLDERS:
            folders += [root / kind / name for name in self._names(root / kind)]
        for folder in folders:
            yield from self._in(folder)

    def _in(self, folder: Path, *, deeper: int = 2) -> Iterator[Found]:
        for name in self._names(folder):
            path = folder / name
            with suppress(OSError):
                found = self._beneath.lstat(path)
                if not stat.S_ISDIR(found.st_mode):
                    yield Found(path, str(path.relative_to(self._beneath.root)), found)
                elif deeper:
                    yield from self._in(path, deeper=deeper - 1)

    def _names(self, folder: Path) -> list[str]:
        try:
            return sorted(self._beneath.names(folder))
        except OSError:  # not there, or not to be read by this user
            return []

    def told(self, files: Iterable[Found], redaction: Redaction) -> Iterator[tuple[str, str]]:
        """What the files say that say something, the first of them: where each lies, and its words."""
        texts = [one for one in files if one.path.suffix.lower() in (*RECORDS, *LATENTS)]
        for one in texts[:MOST_READ]:
            yield shown(one.place), self._said(one, redaction)

    def _said(self, one: Found, redaction: Redaction) -> str:
        try:
            with self._beneath.plain(one.path) as file:
                if one.path.suffix.lower() in LATENTS:
                    return _as_json(_record(tiffsd.inspect(file, name=one.path.name)), redaction)
                data = file.read(MOST_BYTES + 1)
        except (OSError, DaemonError, tiffsd.TiffsdError) as error:
            return f"cannot be read: {getattr(error, 'strerror', None) or redaction.text(shown(str(error)))}"
        text = data[:MOST_BYTES].decode("utf-8", "replace") + " (cut)" * (len(data) > MOST_BYTES)
        if one.path.suffix == ".json":
            with suppress(ValueError, RecursionError):
                return _as_json(json.loads(text), redaction)
        if redaction.prompts or one.path.parent.name == RUNNING or one.path.name.startswith("error"):
            return redaction.text(text)
        return _without_its_prompt(text, one, redaction)


def _known_by(one: Found) -> tuple[str | None, str]:
    """The id and the stem by which a file is known: of what lies in the folder of a failed job those of the folder."""
    parts = Path(one.place).parts
    if parts[0] == FAILED and len(parts) > 3:
        return id_of(f"{parts[2]}.txt"), without_id(parts[2])
    return id_of(one.path.name), stem_of(one.path.name)


def _job_of(one: Found) -> str:
    """Which job in .work/ a file is of; empty where it is of none."""
    parts = Path(one.place).parts
    return parts[1] if parts[0] == WORK and len(parts) > 2 else ""


def _record(header: tiffsd.Header) -> dict[str, Any]:
    return {
        "kind": header.kind,
        "id": header.id,
        "parent": header.parent,
        "layout": header.layout,
        "size": header.size,
        "state": header.state,
        "step": header.step,
        "steps": header.steps,
        "recipe": dict(header.recipe),
        "history": header.history,
        "software": header.software,
    }


def _as_json(record: Any, redaction: Redaction) -> str:
    recipe = record.get("recipe", record) if isinstance(record, dict) else None
    if isinstance(recipe, dict):
        _hide_prompts(recipe, redaction)
    return json.dumps(redaction.value(record), indent=1, ensure_ascii=False, default=str)


def _hide_prompts(settings: Mapping[str, Any], redaction: Redaction) -> None:
    for name in PROMPTS:
        redaction.hide(str(settings.get(name) or ""))


def _without_its_prompt(text: str, one: Found, redaction: Redaction) -> str:
    """The settings of a prompt, and of its words how many there are; of what cannot be read nothing."""
    try:
        settings = dict(read_prompt(text.encode(), one.path.name, characters=MOST_BYTES).settings)
    except (DaemonError, tiffsd.TiffsdError):
        return f"{len(text)} characters, {NO_PROMPT}"
    _hide_prompts(settings, redaction)
    return json.dumps(redaction.value(settings), indent=1, ensure_ascii=False, default=str)
