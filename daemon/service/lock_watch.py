"""Whether the spool is still this daemon's. Where somebody has taken its lock away, nothing more may be moved in it."""

import logging

from daemon.layout import LOCK
from daemon.spool.spool import Spool

LOCK_LOST = (
    f"{LOCK} was removed or replaced, so another daemon may have this spool too, and this one claims nothing more; "
    "stop every daemon of this spool, then start one"
)

log = logging.getLogger(__name__)


class LockWatch:
    """The lock of a spool that this daemon has acquired; `is_lost` as it was at the last look."""

    def __init__(self, spool: Spool) -> None:
        self._spool = spool
        self.is_lost = False

    def look(self) -> bool:
        """Look again; whether there is news, which the log says."""
        ours = self._spool.is_still_ours()
        if ours is not self.is_lost:
            return False
        self.is_lost = not ours
        say = log.info if ours else log.error
        say("%s", f"{self._spool.root / LOCK} is this daemon's again: files are claimed" if ours else LOCK_LOST)
        return True

    def complaints(self) -> tuple[str, ...]:
        """What people should see to."""
        return (LOCK_LOST,) * self.is_lost
