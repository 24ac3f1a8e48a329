"""The status and the page, written where they have changed: a daemon that has nothing to say does not touch the disk.

Where nothing has changed and nothing runs any more, the memory that jobs have freed goes back to the system.
"""

import ctypes
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import datetime
from typing import Any

from daemon.inbox.inbox import Scan
from daemon.jobs.heads import Heads
from daemon.jobs.overview import FIRST, First, Overview
from daemon.jobs.page.page import LISTED, Page
from daemon.names import shown
from daemon.service.status import Status, notify, page_facts, read_status, why_waiting, write_status
from daemon.spool.spool import Spool
from daemon.stages import STAGES

STATUS_SECONDS = 1.0
# Counting very many files is dear, and most time is kept for work.
PAUSE_PER_COUNT = 20.0

Described = Mapping[str, Any]  # what computes, as it describes itself


class StatusWriter:
    """What is written of one spool; `due` says when next, `worked` whether there was work since freed memory was given back.

    `heads` are those of artifacts that were read for a scan. The others tell what folders cannot show: the latest `scans`, why
    stages are `degraded`, which are `gated`, what computes, and what is complained of.
    """

    def __init__(
        self,
        spool: Spool,
        *,
        heads: Heads,
        scans: Callable[[], Mapping[str, Scan]],
        degraded: Callable[[], Mapping[str, str]],
        gated: Callable[[str], bool],
        describe: Callable[[], Described],
        complaints: Callable[[Described], Sequence[str]],
    ) -> None:
        self._spool, self._scans, self._degraded, self._gated = spool, scans, degraded, gated
        self._describe, self._complaints = describe, complaints
        self._overview, self._page = Overview(spool.root, first=LISTED, heads=heads), Page(spool.root)
        self._last: Status | None = None
        self.due = 0.0
        self.worked = False

    def is_behind(self) -> bool:
        """Whether there is something to be written, or memory to be given back, though nothing happens."""
        return self.worked or self._overview.is_behind or self._page.is_behind

    def write(self, now: float, *, idle: bool, alive: bool = True) -> None:
        """Write what has changed; `idle` says that no job runs, `now` is monotonic."""
        started = time.monotonic()
        status = self._read(alive=alive)
        listed = self._overview.look(status.running, why=why_waiting(status.stages), owner_of=self._spool.owner_of)
        status = replace(status, listed={kind: one.cut_to(FIRST, latest=kind == "done") for kind, one in listed.items()})
        self._write_page(status, listed)
        self.due = now + max(STATUS_SECONDS, PAUSE_PER_COUNT * (time.monotonic() - started))
        if self._last and {**vars(status), "at": ""} == {**vars(self._last), "at": ""}:
            if self.worked and idle:
                self.worked = False
                _trim_memory()
            return
        with suppress(OSError):
            write_status(self._spool.root, status)
        notify(f"STATUS={status.line()}")
        self._last = status

    def _read(self, *, alive: bool) -> Status:
        waits = {
            name: [f"{shown(waiting.name)}: {waiting.reason}" for waiting in scan.waiting] for name, scan in self._scans().items()
        }
        return read_status(
            self._spool.root,
            now=datetime.now().astimezone(),
            alive=alive,
            degraded=self._degraded(),
            waits=waits,
            worker=(described := self._describe()),
            gates=[name for name in STAGES if self._gated(name)],
            complaints=self._complaints(described),
        )

    def _write_page(self, status: Status, listed: Mapping[str, First]) -> None:
        """Write the page where it has changed: also where the status has not, since it shows the pictures beside the files."""
        with suppress(OSError):
            now = datetime.now().astimezone()
            self._page.write(self._overview, listed, status.running, now=now, facts=page_facts(status))


def _trim_memory() -> None:
    """An idle daemon is small, whatever its jobs have needed."""
    with suppress(AttributeError):  # another C library than GNU's
        ctypes.CDLL(None).malloc_trim(0)
