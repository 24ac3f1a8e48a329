"""Giving a priority to a file that waits: by a line in the settings file beside it, as a person would write it."""

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import Any

from daemon.beneath import Beneath
from daemon.errors import DaemonError, InputError, NotThere
from daemon.inbox.grouping import companions, group_into_drops
from daemon.layout import HOLD, INBOX
from daemon.names import base_of, is_proof, new_id, shown
from daemon.settings.prompts import settings_file
from daemon.settings.values import MOST_URGENT
from daemon.stages import STAGES, Stage

SETTINGS = (".yaml", ".yml")
MOST_BYTES = 256 * 1024
_LINE = re.compile(r"^priority[ \t]*:.*$", re.MULTILINE)


def prioritise(root: Path, path: Path, priority: Any) -> str:
    """Say in the settings file beside a file that waits which priority it has. Raises DaemonError."""
    if type(priority) is not int or not -MOST_URGENT <= priority <= MOST_URGENT:
        raise InputError(f"a priority is a whole number from {-MOST_URGENT} up to {MOST_URGENT}")
    stage = _stage_of(root, path)
    beneath = Beneath(root)
    beside = sorted(beneath.names(path.parent))
    if path.name not in beside or is_proof(path.name):
        raise NotThere(f"{path} does not wait any more")
    known = _settings_beside(stage, path.name, beside)
    target = path.with_name(known or f"{base_of(path.name)}.yaml")
    if known is None:
        _check_would_belong(stage, path.name, target.name, beside)
    _write(beneath, target, _with_line(beneath, target if known else None, priority))
    if not beneath.lexists(path) and known is None:
        with suppress(FileNotFoundError):
            beneath.unlink(target)
        raise NotThere(f"{path} does not wait any more")
    return f"{path} has priority {priority}, by {target}"


def _stage_of(root: Path, path: Path) -> Stage:
    for stage in STAGES.values():
        if path.parent in (root / INBOX / stage.folder, root / HOLD / stage.folder):
            return stage
    raise NotThere(f"{path} waits in no folder of this spool; name a file such as inbox/1-text/cat.txt")


def _settings_beside(stage: Stage, name: str, beside: list[str]) -> str | None:
    found = [other for other in companions(stage, name, beside) if other.lower().endswith(SETTINGS)]
    # Of two the one that counts first.
    return min(found, key=lambda other: SETTINGS.index(other.lower()[other.rindex(".") :]), default=None)


def _check_would_belong(stage: Stage, name: str, settings: str, beside: list[str]) -> None:
    """Raise DaemonError where a new settings file would go with another file, or with none."""
    groups, _ = group_into_drops(stage, [*beside, settings])
    # Where two could have it, the first to arrive has: turned round, another may be first.
    turned, _ = group_into_drops(stage, [*reversed(beside), settings])
    for found in (groups, turned):
        if not any(settings in one.roles.values() and name in one.roles.values() for one in found):
            raise DaemonError(f"{shown(settings)} would not go with {shown(name)} alone; write the priority into the file itself")


def _with_line(beneath: Beneath, path: Path | None, priority: int) -> bytes:
    """The text of the settings file with the priority in it. Raises DaemonError where that is not for a program to write."""
    line = f"priority: {priority}"
    if path is None:
        return f"{line}\n".encode()
    with beneath.plain(path) as file:
        data = file.read(MOST_BYTES + 1)
    said = settings_file(data, path.name)
    text = data.decode("utf-8-sig").replace("\r\n", "\n")
    changed = _LINE.sub(line, text, count=1) if _LINE.search(text) else f"{text.rstrip()}\n{line}\n".lstrip()
    try:
        now = settings_file(changed.encode(), path.name) if len(data) <= MOST_BYTES else None
    except InputError:
        now = None
    if now != {**said, "priority": priority}:
        raise DaemonError(f"{path}: write `{line}` into it yourself; it is not of the form that a program may change")
    return changed.encode()


def _write(beneath: Beneath, path: Path, data: bytes) -> None:
    part = path.with_name(f".{new_id()}{new_id()}.part")
    try:
        with os.fdopen(beneath.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL), "wb") as file:
            file.write(data)
        beneath.rename(part, path)
    except OSError:
        with suppress(OSError):
            beneath.unlink(part)
        raise
