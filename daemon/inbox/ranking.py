"""In which order the files of an inbox are claimed: owners in turn, and of each by the priority that files state, then by arrival.

A file that waits moves up, by one priority every AGING_SECONDS, so that no stream of urgent files keeps it for ever. It does so
among the files of its owner only: a long backlog must not pass those of others. Which owner has which turn is for the dispatch to
say; here they are mixed, the first file of each before the second of any, so that whoever looks at the first few sees all owners.

What a file states is read once, by a function that is handed in, for a bounded time at each look and the newest file first: with a
hundred thousand waiting files a scan costs no more, and one that is dropped on top of them with a priority comes first at once. A
file that another program holds (InUse) is read again at the next look, and no look is made for it alone.
"""

import time
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from daemon.errors import InUse
from daemon.inbox.arrivals import Arrival
from daemon.inbox.grouping import Group
from daemon.stages import PROMPTS

BUDGET_SECONDS = 0.05
AGING_SECONDS = 300.0  # of waiting count as much as a priority of 1
SAID_FIRST = (".yaml", ".yml", *PROMPTS)  # in a drop the settings file counts before the prompt beside it, and that before the file

ReadPriority = Callable[[Path], int]


class Ranking:
    """The priorities of one folder's files, as far as they are known; `read_priority` reads that of one file, 0 for none.

    `most` is the highest that a file may have, whatever it states and however long it waits.
    """

    def __init__(self, folder: Path, read_priority: ReadPriority, *, most: Callable[[], int]) -> None:
        self._folder = folder
        self._read_priority, self._most = read_priority, most
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
                priority = self._read_priority(self._folder / name) if name in here else 0
            except InUse:
                held.append(name)
                continue
            if priority:
                self._known[name] = priority
        unread = bool(self._unread)
        self._unread = {**dict.fromkeys(held), **self._unread}
        return unread

    def ordered(self, arrived: Mapping[str, Arrival], groups: Iterable[Group], now: float) -> list[str]:
        """Names in order of arrival -> the order in which they are claimed; a group counts by the name that opens it."""
        order = list(arrived)
        opened = {found.opener: found for found in groups}
        if self._known:
            most = self._most()
            ages = {name: int((now - known.arrived[0]) / AGING_SECONDS) for name, known in arrived.items()}
            priorities = {**self._known, **{name: self.priority(found) for name, found in opened.items()}}
            order.sort(key=lambda name: -min(most, priorities.get(name, 0) + ages[name]))
        owners = {name: known.owner for name, known in arrived.items()}
        owners |= {name: arrived[found.principal].owner for name, found in opened.items()}
        return _in_turn(order, owners)

    def priority(self, found: Group) -> int:
        """What the files of a group state, as far as it is known: the settings file first."""
        roles = [*(role for role in SAID_FIRST if role in found.roles), *found.roles] if self._known else []
        return min(self._most(), next((known for role in roles if (known := self._known.get(found.roles[role]))), 0))


def _in_turn(order: list[str], owners: Mapping[str, int | None]) -> list[str]:
    """The first of each owner before the second of any; within these, and for each owner, the order stays."""
    if len(set(owners.values())) < 2:
        return order
    seen: Counter[int | None] = Counter()
    places = {}
    for name in order:
        places[name] = seen[owners[name]]
        seen[owners[name]] += 1
    return sorted(order, key=places.__getitem__)
