"""What a file in the spool says of itself while it is nobody's job yet: its priority, its mask, and the ids it may be known by.

A look never waits: neither a link, nor a FIFO, nor a file that another program has locked holds up the daemon. What cannot be read
says nothing.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO

import tiffsd
from daemon.names import id_of, stem_of
from daemon.plain_files import opened
from daemon.settings import MOST_URGENT, NAME
from daemon.stages import MASK_ENDING

TEXTS = (".txt", ".yaml", ".yml")
TIFFS = (".tif", ".tiff")
HEAD_BYTES = 4096
FRONT_MATTER = re.compile(rb"\s*---[ \t]*\r?\n(.*?)^---", re.DOTALL | re.MULTILINE)
MASK_LINE = re.compile(rb"""^mask:[ \t]*["']?([^"'#\r\n]*[^"'#\s])["']?[ \t]*(?:#.*)?\r?$""", re.MULTILINE)
LINE = re.compile(rb"^priority:[ \t]*([+-]?\d{1,3})[ \t]*(?:#.*)?\r?$", re.MULTILINE)


def stated_priority(path: Path) -> int:
    """The `priority:` of a prompt's front matter, a settings file or an artifact's record, -100 to 100; 0 where there is none.

    A wrong value is refused when the file is read as a job.
    """
    extension = path.suffix.lower()
    if extension not in TEXTS + TIFFS:
        return 0
    try:
        with opened(path) as file:
            found = _in_text(file, extension) if extension in TEXTS else _in_record(file, path.name)
    except (OSError, tiffsd.TiffsdError):
        return 0
    return max(-MOST_URGENT, min(MOST_URGENT, found))


def stated_mask(path: Path) -> str | None:
    """The `mask:` of a prompt's front matter or of a settings file, if it is the name of a mask; a wrong one is refused later."""
    try:
        with opened(path) as file:
            head = _spoken(file, path.suffix.lower())
    except OSError:
        return None
    found = MASK_LINE.search(head)
    name = found[1].decode("utf-8", "replace") if found else ""
    return name if NAME.fullmatch(name) and name.lower().endswith(MASK_ENDING) else None


def stated_ids(path: Path) -> set[str]:
    """By what a kept original may be looked for when this file is used: the ids in its name and in it, else its stem."""
    is_tiff = path.suffix.lower() in TIFFS
    found = {id_of(path.name)}
    if is_tiff:
        with suppress(OSError), opened(path) as file:
            found.add(tiffsd.find_id(file, path.name))
    ids = {identity for identity in found if identity}
    return ids or ({stem_of(path.name)} if is_tiff else set())


def _in_text(file: BinaryIO, extension: str) -> int:
    line = LINE.search(_spoken(file, extension))
    return int(line[1]) if line else 0


def _spoken(file: BinaryIO, extension: str) -> bytes:
    """The lines of settings at the head of a prompt or settings file."""
    head = file.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")
    if extension != ".txt":
        return head
    matter = FRONT_MATTER.match(head)
    return matter[1] if matter else b""


def _in_record(file: BinaryIO, name: str) -> int:
    stated = tiffsd.inspect(file, name=name).recipe.get("priority")
    return stated if isinstance(stated, int) else 0
