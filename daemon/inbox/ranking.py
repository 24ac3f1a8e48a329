"""In which order the files of an inbox are claimed: by the priority that they state, then by arrival.

What a file states is read once, by a function that is handed in, for a bounded time at each look and the newest file first: with a
hundred thousand waiting files a scan costs no more, and one that is dropped on top of them with a priority comes first at once. A
file that another program holds (InUse) is read again at the next look, and no look is made for it alone.
"""

import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from daemon.errors import InUse
from daemon.inbox.grouping import Group

BUDGET_SECONDS = 0.05
SAID_FIRST = (".yaml", ".yml", ".txt")  # in a drop the settings file counts before the prompt beside it, and that before the file

Stated = Callable[[Path], int]


class Ranking:
    """The priorities of one folder's files, as far as they are known; `stated` reads that of one file, 0 for none."""

    def __init__(self, folder: Path, stated: Stated) -> None:
        self._folder = folder
        self._stated = stated
        self._unread: dict[str, None] = {}  # the one to be read next at the end
        self._known: dict[str, int] = {}  # those other than 0

    def learn(self, changed: Iterable[str], here: Mapping[str, object]) -> bool:
        """Read files that are new or have changed, given in order of arrival, for a moment; whether some are still unread."""
        for name in changed:
            self._unread.pop(name, None)
            self._unread[name] = None
        self._known = {name: priority for name, priority in self._known.items() if name in here and name not in self._unread}
        deadline = time.monotonic() + BUDGET_SECONDS
        held: list[str] = []
        while self._unread and time.monotonic() < deadline:
            name, _ = self._unread.popitem()
            try:
                priority = self._stated(self._folder / name) if name in here else 0
            except InUse:
                held.append(name)
                continue
            if priority:
                self._known[name] = priority
        unread = bool(self._unread)
        self._unread = {**dict.fromkeys(held), **self._unread}
        return unread

    def ordered(self, arrived: Iterable[str], groups: Iterable[Group]) -> list[str]:
        """Names in order of arrival -> the order in which they are claimed; a group counts by the name that opens it."""
        if not self._known:
            return list(arrived)
        priorities = dict(self._known)
        for found in groups:
            roles = [*(role for role in SAID_FIRST if role in found.roles), *found.roles]
            priorities[found.opener] = next((known for role in roles if (known := self._known.get(found.roles[role]))), 0)
        return sorted(arrived, key=lambda name: -priorities.get(name, 0))
