"""The inboxes of a spool as the configuration wants them, those nearest to a picture first: what is begun is to be finished."""

from collections.abc import Callable
from pathlib import Path

from daemon.inbox.inbox import Inbox
from daemon.jobs.probe import Stated
from daemon.settings.config import Config
from daemon.spool.spool import Spool
from daemon.stages import STAGES, downstream_first

ORDER = downstream_first()


def inboxes_of(spool: Spool, config: Callable[[], Config], read: Callable[[Path], Stated]) -> dict[str, Inbox]:
    """An inbox for each stage; `read` tells what a file says, `config` gives the configuration as it is now."""
    return {name: _inbox(name, spool, config, read) for name in ORDER}


def _inbox(name: str, spool: Spool, config: Callable[[], Config], read: Callable[[Path], Stated]) -> Inbox:
    at_start = config()
    watch = at_start.watch
    return Inbox(
        STAGES[name],
        spool.inbox(name),
        settle_seconds=at_start.settle_seconds(name),
        settle_unleased_seconds=at_start.settle_unleased_seconds(name),
        empty_grace_seconds=watch.empty_grace_seconds,
        empty_grace_unleased_seconds=watch.empty_grace_unleased_seconds,
        pair_patience_seconds=watch.pair_patience_hours * 3600,
        read_priority=lambda path: read(path).priority,
        read_mask=lambda path: read(path).mask,
        most_urgent=lambda: config().limits.priority,
        is_own=spool.is_own,
        owner_of=spool.owner_of,
    )
