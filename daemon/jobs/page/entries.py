"""What is listed of a spool -> the entries of its page: with pictures to look at, links, and how to let it go on.

Links are relative to the root of the spool, and percent-encoded; all else is plain text, which the page shows as text.
"""

import json
import os
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache, partial
from pathlib import Path, PurePath
from typing import Any
from urllib.parse import quote

from daemon.beneath import Beneath
from daemon.jobs.emptied import REPORT
from daemon.jobs.listing import Listed, stem_in
from daemon.jobs.overview import Overview
from daemon.jobs.page.finished import Finished
from daemon.jobs.running import Running
from daemon.jobs.wording import Wording
from daemon.layout import HOLD, INBOX, PICTURES, PREVIEWS
from daemon.names import base_of, proof_name, shown, stem_of
from daemon.stages import LATENTS, STAGES

LONGEST_PROMPT, LONGEST_REASON, LONGEST_UNREAD = 2000, 1000, 300  # characters

Entry = dict[str, Any]
Look = tuple[int, str]  # the time of a picture in nanoseconds of the epoch, and the link to it
UNSAID = Wording()
_NUMBER = re.compile(r"-\d{1,4}\Z")


@dataclass(frozen=True, slots=True)
class Told:
    """One entry, and the same as JSON."""

    entry: Entry
    text: str


class Looks:
    """Which pictures lie beside what is listed, by as few calls as can be: the folders stay open for one look."""

    def __init__(self, root: Path, stack: ExitStack) -> None:
        self._beneath, self._stack = Beneath(root), stack
        self._folders: dict[str, int | None] = {}

    def at(self, folder: str, name: str) -> Look | None:
        """The time of a file and the link to it, another one whenever the file is; None where there is none."""
        descriptor = self._descriptor(folder)
        if descriptor is None:
            return None
        try:
            found = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
        except OSError:
            return None
        return found.st_mtime_ns, f"{link(folder, name)}?{found.st_mtime_ns // 1_000_000:x}"

    def _descriptor(self, folder: str) -> int | None:
        if folder not in self._folders:
            self._folders[folder] = None
            with suppress(OSError):
                self._folders[folder] = self._stack.enter_context(self._beneath.folder(self._beneath.root / folder))
        return self._folders[folder]


@lru_cache(maxsize=4096)
def link(*parts: str) -> str:
    """The relative link to what lies at a place below the spool."""
    return "/".join(quote(os.fsencode(part), safe="/") for part in parts)


class Entries:
    """The entries of a page from one look to the next: what has not changed is not made again."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[object, Told]] = {}
        self._before: dict[str, tuple[object, Told]] = {}

    def begin(self) -> None:
        """Begin a look; what it does not tell is forgotten."""
        self._before, self._known = self._known, {}

    def listed(self, entries: Iterable[Listed], overview: Overview, looks: Looks) -> list[Told]:
        """What is held, waits or has failed."""
        return [self._listed(entry, *overview.said_of(entry), looks) for entry in entries]

    def running(self, entries: Iterable[Listed], running: Sequence[Running], looks: Looks) -> list[Told]:
        """What runs, with the picture as it would be by now."""
        jobs = {f"{job.name}.txt": job for job in running}
        return [self._running(entry, jobs.get(entry.name), looks) for entry in entries]

    def finished(self, pictures: Iterable[Finished], by_stem: Mapping[str, Wording]) -> list[Told]:
        """What is done: each picture with its recipe and its way, by its own file, else by the latents of its stem."""
        found = []
        for one in pictures:
            unsaid = one.wording == UNSAID
            wording = by_stem.get(stem_of(one.files[0]), one.wording) if unsaid else one.wording
            found.append(self._remembered(f"{PICTURES}/{one.base}", (one, wording), partial(_finished, one, wording)))
        return found

    def _listed(self, entry: Listed, speaks: Path | None, wording: Wording, looks: Looks) -> Told:
        folder = STAGES[entry.stage].folder
        proof = proof_name(entry.name) if entry.kind == "held" and is_latents(entry.name) else None
        shown_by = looks.at(f"{HOLD}/{folder}", proof) if proof else None
        preview = looks.at(PREVIEWS, f"{base_of(speaks.name)}.png") if speaks is not None else None
        made = partial(_listed, entry, wording, proof if shown_by else None, shown_by, preview)
        return self._remembered(entry.path, (entry, wording, shown_by, preview), made)

    def _running(self, entry: Listed, job: Running | None, looks: Looks) -> Told:
        preview = looks.at(PREVIEWS, f"{base_of(entry.name)}.png")
        return self._remembered(entry.path, (entry, job, preview), partial(_running, entry, job, preview))

    def _remembered(self, path: str, key: object, make: Callable[[], Entry]) -> Told:
        known = self._before.get(path)
        if known is None or known[0] != key:
            entry = make()
            known = key, Told(entry, json.dumps(entry, separators=(",", ":")))
        self._known[path] = known
        return known[1]


def _listed(entry: Listed, wording: Wording, proof: str | None, shown_by: Look | None, preview: Look | None) -> Entry:
    made = _entry(entry, wording) | {"link": link(entry.path)}
    folder = STAGES[entry.stage].folder
    match entry.kind:
        case "held":
            made |= {"move": [f"{HOLD}/{folder}", f"{INBOX}/{folder}"], "paint": is_latents(entry.name)}
        case "failed":
            made |= {"link": link(entry.path) + "/", "report": link(entry.path, REPORT)}
    if proof:
        made["proof"] = shown(proof)
    if shown_by and preview and preview[0] > shown_by[0]:
        # A proof comes later than the preview of its latents: that which is younger is of what somebody painted on it.
        return made | {"painted": True} | _seen(preview)
    return made | _seen(shown_by or preview)


def _running(entry: Listed, job: Running | None, preview: Look | None) -> Entry:
    made = _entry(entry, Wording(entry.prompt)) | {"link": link(entry.path)}
    if job is not None:
        made |= {"step": job.step, "steps": job.steps, "pace": job.pace}
    return made | _seen(preview)


def _finished(one: Finished, wording: Wording) -> Entry:
    name = one.files[0]
    since = datetime.fromtimestamp(one.at / 1e9).astimezone().isoformat(timespec="seconds")
    made = _entry(Listed("done", "", name, f"{PICTURES}/{name}", since, ""), wording)
    made["files"] = [[shown(PurePath(file).suffix[1:]), link(PICTURES, file)] for file in one.files]
    return made | {"picture": f"{link(PICTURES, name)}?{one.at // 1_000_000:x}"}


def _seen(look: Look | None) -> Entry:
    return {"picture": look[1]} if look else {}


def _entry(entry: Listed, wording: Wording) -> Entry:
    said = {
        "kind": entry.kind,
        "stage": entry.stage,
        "name": shown(entry.name),
        "job": shown(_job(entry)),
        "path": shown(entry.path),
        "since": entry.since,
        "owner": entry.owner,
        "unread": _cut(entry.unread, LONGEST_UNREAD),
        "prompt": _cut(wording.prompt or entry.prompt, LONGEST_PROMPT),
        "reason": _cut(shown(entry.reason), LONGEST_REASON),
        "command": entry.command,
        "settings": wording.settings,
        "way": wording.way,
    }
    return {key: value for key, value in said.items() if value}


def is_latents(name: str) -> bool:
    """Whether a name is that of a file which may hold latents."""
    return PurePath(name).suffix.lower() in LATENTS


def _job(entry: Listed) -> str:
    """What a person called the job: the pictures cat-1 to cat-4 of one prompt stand together."""
    stem = stem_in(entry.name) if entry.kind == "failed" else stem_of(entry.name)
    return _NUMBER.sub("", stem) or stem


def _cut(words: str, most: int) -> str:
    return words if len(words) <= most else f"{words[:most]}..."
