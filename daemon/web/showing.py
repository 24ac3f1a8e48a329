"""What the page shows: what the daemon has said last, or where none runs what lies in the folders now.

People go on moving files with the daemon down, and nobody writes `index.js` then. So it is made here from the same parts, and it
says that no daemon runs.
"""

import hashlib
import threading
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from daemon.beneath import Beneath
from daemon.jobs.alive import is_alive
from daemon.jobs.listing import Why
from daemon.jobs.overview import Overview
from daemon.jobs.page.page import DATA, LISTED, Page
from daemon.layout import INBOX

Facts = Callable[[Path], tuple[Mapping[str, Any], Why]]
"""A spool on which no daemon runs -> what is to be said of its stages, and why files wait."""


class Showing:
    """What is shown of one spool; any thread may ask."""

    def __init__(self, root: Path, facts: Facts) -> None:
        self._root, self._beneath, self._facts = root, Beneath(root), facts
        self._overview, self._page = Overview(root, first=LISTED), Page(root)
        self._one_at_a_time = threading.Lock()

    def data(self) -> bytes:
        """What index.js says. Raises OSError."""
        return self._said() if is_alive(self._root) else self._lying()

    def stamp(self) -> str:
        """Another one whenever there is something new to be shown."""
        if is_alive(self._root):
            try:
                found = self._beneath.lstat(self._root / DATA)
            except OSError:
                return "nothing yet"
            return f"{found.st_mtime_ns:x}-{found.st_ino:x}"
        # All but the time.
        return hashlib.sha256(self._lying().partition(b",")[2]).hexdigest()[:16]

    def _said(self) -> bytes:
        try:
            with self._beneath.plain(self._root / DATA) as file:
                return file.read()
        except FileNotFoundError:
            return self._lying()

    def _lying(self) -> bytes:
        with self._one_at_a_time:
            facts, why = self._facts(self._root)
            there = self._beneath.lexists(self._root / INBOX)
            complaint = f"There is no spool at {self._root}: is it the right configuration, and is its disk there?"
            facts = facts if there else {**facts, "complaints": [complaint]}
            listed = self._overview.look([], why=why)
            text = self._page.data(self._overview, listed, [], now=datetime.now().astimezone(), facts=facts)
            return text.encode("ascii")
