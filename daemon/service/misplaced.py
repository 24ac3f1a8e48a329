"""Files that people dropped beside the inboxes, into `inbox/` or the spool itself, where nobody would ever take them: where they
belong, in words."""

import logging
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from stat import S_ISREG

from daemon.beneath import Beneath
from daemon.inbox.telling_names import COUNTS_IN, is_nobodys, sign_of
from daemon.jobs.page.page import FILES as PAGE_FILES
from daemon.layout import INBOX
from daemon.names import base_of, shown
from daemon.stages import COMFYUI, EXR, PICTURES, STAGES, TIFFS

log = logging.getLogger(__name__)

MOST_NAMES = 5
OURS = {"status.txt", "status.json", *PAGE_FILES}


class Misplaced:
    """What lies beside the inboxes of a spool; the log says it once of each file."""

    def __init__(self, root: Path) -> None:
        self._root, self._beneath = root, Beneath(root)
        self._said: dict[str, str] = {}

    def look(self) -> None:
        """Look again. Folders that cannot be listed are the business of whoever scans the inboxes."""
        found: dict[str, str] = {}
        with suppress(OSError):
            found = dict(self._found(self._root)) | dict(self._found(self._root / INBOX))
        for place in found.keys() - self._said.keys():
            log.warning("%s", found[place])
        self._said = found

    def complaints(self) -> tuple[str, ...]:
        """Where these files belong, one sentence for each."""
        return tuple(self._said.values())

    def _found(self, folder: Path) -> Iterator[tuple[str, str]]:
        names = sorted(self._beneath.names(folder))
        places = [(name, place) for name in names if (place := _place_of(name)) and self._is_file(folder / name)]
        for name, place in places[:MOST_NAMES]:
            where = str((folder / name).relative_to(self._root))
            yield where, f"{shown(where)} lies beside the inboxes, where nothing is taken from; move it to {place}"

    def _is_file(self, path: Path) -> bool:
        with suppress(OSError):
            return S_ISREG(self._beneath.lstat(path).st_mode)
        return False


@lru_cache(maxsize=256)  # the spool and its folders have the same names at each look
def _place_of(name: str) -> str | None:
    """Where what has such a name belongs; None where that may lie beside the inboxes."""
    if sign := sign_of(name):
        place = COUNTS_IN.get(sign)
        return place and f"{place}/{STAGES['diffuse'].folder}, or wherever it shall count"
    if name in OURS or is_nobodys(name):
        return None
    extension = name[len(base_of(name)) :].lower()
    if extension in (*TIFFS, *COMFYUI):
        return " or ".join(f"{INBOX}/{STAGES[stage].folder}" for stage in ("diffuse", "decode"))
    if extension in EXR:
        return f"{_place_of('x.png')}, or with latents to {_place_of('x.tiff')}"
    if extension in PICTURES:
        return f"{INBOX}/{STAGES['encode'].folder}, or to {INBOX}/{STAGES['text'].folder} to repeat its recipe"
    return f"{INBOX}/{STAGES['text'].folder}" if extension in STAGES["text"].extensions else None
