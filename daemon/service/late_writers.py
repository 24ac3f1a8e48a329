"""Files that somebody goes on writing after they were taken for finished: they go back to their inbox and run once more.

Where the system cannot say whether a program holds a file, standing still for a while is all that is known of it. A program that
had it open when it was claimed writes into it wherever it lies by then: in `done/`, where it would not be what was used, or in
`failed/`, where it may be whole. So for a while such files are looked at again.
"""

import logging
import math
import time
from collections.abc import Callable, Mapping

from daemon.errors import NotThere, in_words
from daemon.names import shown
from daemon.spool.recent import RecentDrop, paths_of
from daemon.spool.records import Fingerprint
from daemon.spool.spool import Spool

log = logging.getLogger(__name__)

BUDGET_SECONDS = 0.3  # for one look: on a share each file costs some turns of the network

Marks = Mapping[str, Fingerprint]


class LateWriters:
    """The files of one spool that were written to late. `settle_seconds` says for a stage how long they must stand still then,
    `clock` gives seconds of the epoch."""

    def __init__(self, spool: Spool, settle_seconds: Callable[[str], float], *, clock: Callable[[], float] = time.time) -> None:
        self._spool, self._settle_seconds, self._clock = spool, settle_seconds, clock
        self._changed: dict[int, tuple[Marks, float]] = {}  # by the drop: what its files are like, and since when
        self._looks = 0

    def look(self, now: float) -> None:
        """Look at those that may still be written, as far as there is time; the next look goes on there. `now` is monotonic."""
        drops = self._spool.recent.late(self._clock())
        here, start = set(map(id, drops)), self._looks % max(1, len(drops))
        self._changed = {key: known for key, known in self._changed.items() if key in here}
        until = time.monotonic() + BUDGET_SECONDS
        for drop in drops[start:] + drops[:start]:
            self._looks += 1
            try:
                self._look_at(drop, now)
            except (OSError, NotThere) as error:
                log.error("%s: was written to late, and stays in %s: %s", _label(drop), drop.place, in_words(error))
            if time.monotonic() >= until:
                break

    def _look_at(self, drop: RecentDrop, now: float) -> None:
        marks, before = self._spool.marks_of(drop), self._changed.pop(id(drop), None)
        if marks.keys() != drop.members.keys():
            self._leave(drop)  # a person, or a program, has taken them away
        elif any(mark[1:] != drop.members[role].mark[1:] for role, mark in marks.items()):
            self._wait_for(drop, marks, before, now)

    def _leave(self, drop: RecentDrop) -> None:
        if drop.has_failed:
            self._spool.recent.forget(drop)
        else:
            self._spool.recent.gone(drop)

    def _wait_for(self, drop: RecentDrop, marks: Marks, before: tuple[Marks, float] | None, now: float) -> None:
        since = before[1] if before and before[0] == marks else now
        self._changed[id(drop)] = marks, since
        if now < since + self._settle_seconds(drop.stage) or self._is_being_written(drop):
            return
        if self._is_what_it_was(drop, marks):
            self._changed[id(drop)] = marks, math.inf  # only its time was set
            return
        was = "failed" if drop.has_failed else "was used"
        self._spool.take_back(drop)
        log.warning(
            "%s: was written to after it %s (in %s); back in its inbox, it runs again", _label(drop), was, shown(drop.place)
        )

    def _is_being_written(self, drop: RecentDrop) -> bool:
        return any(self._spool.is_being_written(path) for _, path in paths_of(drop, self._spool.root))

    def _is_what_it_was(self, drop: RecentDrop, marks: Marks) -> bool:
        if any(mark[1] != drop.members[role].mark[1] for role, mark in marks.items()):
            return False
        files = [(path, drop.members[role]) for role, path in paths_of(drop, self._spool.root)]
        return all(file.mark[1] == 0 or (file.sha256 and self._spool.digest(path) == file.sha256) for path, file in files)


def _label(drop: RecentDrop) -> str:
    return f"{drop.stage} {shown(drop.members['principal'].dropped)}"
