"""What a file in the spool says of itself while it is nobody's job yet: its priority, and the ids it may be known by.

A look never waits: neither a link, nor a FIFO, nor a file that another program has locked holds up the daemon. What cannot be read
says nothing.
"""

import os
import re
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import tiffsd
from daemon.names import id_of
from daemon.settings import MOST_URGENT

TEXTS = (".txt", ".yaml", ".yml")
TIFFS = (".tif", ".tiff")
HEAD_BYTES = 4096
FRONT_MATTER = re.compile(rb"\s*---[ \t]*\r?\n(.*?)^---", re.DOTALL | re.MULTILINE)
LINE = re.compile(rb"^priority:[ \t]*([+-]?\d{1,3})[ \t]*(?:#.*)?\r?$", re.MULTILINE)


def stated_priority(path: Path) -> int:
    """The `priority:` of a prompt's front matter, a settings file or an artifact's record, -100 to 100; 0 where there is none.

    A wrong value is refused when the file is read as a job.
    """
    extension = path.suffix.lower()
    if extension not in TEXTS + TIFFS:
        return 0
    try:
        with _opened(path) as file:
            found = _in_text(file, extension) if extension in TEXTS else _in_record(file, path.name)
    except (OSError, tiffsd.TiffsdError):
        return 0
    return max(-MOST_URGENT, min(MOST_URGENT, found))


def stated_ids(path: Path) -> set[str]:
    """The ids by which a kept original may be looked for when this file is used: the one in its name and the one in it."""
    found = {id_of(path.name)}
    if path.suffix.lower() in TIFFS:
        try:
            with _opened(path) as file:
                found.add(tiffsd.find_id(file, path.name))
        except OSError:
            pass
    return {identity for identity in found if identity}


def _in_text(file: BinaryIO, extension: str) -> int:
    head = file.read(HEAD_BYTES).removeprefix(b"\xef\xbb\xbf")
    if extension == ".txt":
        matter = FRONT_MATTER.match(head)
        head = matter[1] if matter else b""
    line = LINE.search(head)
    return int(line[1]) if line else 0


def _in_record(file: BinaryIO, name: str) -> int:
    stated = tiffsd.inspect(file, name=name).recipe.get("priority")
    return stated if isinstance(stated, int) else 0


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    """The file, if it is one. Raises OSError."""
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(f"{path} is no file")
        yield file
