"""What a file in the spool says of itself while it is nobody's job yet: priority, model, mask, and the ids it may be known by.

A look never waits: neither a link, nor a FIFO, nor a file that another program has locked holds up the daemon. What cannot be read
says nothing.
"""

import re
from contextlib import suppress
from pathlib import Path
from typing import Any, BinaryIO

import tiffsd
from daemon.names import id_of, stem_of
from daemon.plain_files import opened
from daemon.settings.vocabulary import MOST_URGENT, NAME
from daemon.stages import MASK_ENDING

TEXTS = (".txt", ".yaml", ".yml")
TIFFS = (".tif", ".tiff")
HEAD_BYTES = 4096
FRONT_MATTER = re.compile(rb"\s*---[ \t]*\r?\n(.*?)^---", re.DOTALL | re.MULTILINE)
MASK = re.compile(rb"""^mask:[ \t]*["']?([^"'#\r\n]*[^"'#\s])["']?[ \t]*(?:#.*)?\r?$""", re.MULTILINE)
PRIORITY = re.compile(rb"^priority:[ \t]*([+-]?\d{1,3})[ \t]*(?:#.*)?\r?$", re.MULTILINE)
MODEL = re.compile(rb"^model:[ \t]*[\"']?([\w .+-]*[\w.+-])[\"']?[ \t]*(?:#.*)?\r?$", re.MULTILINE)


def stated_priority(path: Path) -> int:
    """The `priority:` of a prompt's front matter, a settings file or an artifact's record, -100 to 100; 0 where there is none.

    A wrong value is refused when the file is read as a job.
    """
    stated = _stated(path, "priority", PRIORITY)
    return max(-MOST_URGENT, min(MOST_URGENT, int(stated))) if isinstance(stated, int | bytes) else 0


def stated_model(path: Path) -> str | None:
    """The `model:` of the same; None where there is none."""
    stated = _stated(path, "model", MODEL)
    return stated.decode("utf-8", "replace") if isinstance(stated, bytes) else stated if isinstance(stated, str) else None


def _stated(path: Path, key: str, line: re.Pattern[bytes]) -> Any:
    """What the line matches in a text, as bytes, or the value in an artifact's record; None where there is none."""
    extension = path.suffix.lower()
    if extension not in TEXTS + TIFFS:
        return None
    try:
        with opened(path) as file:
            return _in_text(file, extension, line) if extension in TEXTS else tiffsd.inspect(file, name=path.name).recipe.get(key)
    except (OSError, tiffsd.TiffsdError):
        return None


def stated_mask(path: Path) -> str | None:
    """The `mask:` of a prompt's front matter or of a settings file, if it is the name of a mask; a wrong one is refused later."""
    try:
        with opened(path) as file:
            found = _in_text(file, path.suffix.lower(), MASK)
    except OSError:
        return None
    name = found.decode("utf-8", "replace") if found else ""
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


def _in_text(file: BinaryIO, extension: str, line: re.Pattern[bytes]) -> bytes | None:
    """What the line matches among the settings at the head of a prompt or settings file."""
    head = file.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")
    if extension == ".txt":
        matter = FRONT_MATTER.match(head)
        head = matter[1] if matter else b""
    found = line.search(head)
    return found[1] if found else None
