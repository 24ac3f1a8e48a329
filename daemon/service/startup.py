"""The start: a spool is acquired, and a machine that is at fault is waited for in this process.

systemd gives a daemon up that has ended a few times, and then a person would be needed. So the process stays, tries again, says
what it waits for, and asks systemd for more time; a set-up at fault ends it as ever.
"""

import logging
import time
from collections.abc import Callable
from functools import partial
from pathlib import PurePath

from daemon.errors import AnotherDaemon, MachineError
from daemon.layout import mode_for
from daemon.names import shown
from daemon.service.status import notify
from daemon.service.wake import WakeEvent
from daemon.settings.config import Config
from daemon.spool.folders import explaining_errors
from daemon.spool.ordering import KEEPS_ORDER
from daemon.spool.spool import Spool

FIRST_WAIT_SECONDS = 1.0
LONGEST_WAIT_SECONDS = 10.0
# As in the units: what systemd gives a start, from the last try on.
START_SECONDS = 300

log = logging.getLogger(__name__)


def acquire(spool: Spool) -> None:
    """Own a spool that has all its folders. Raises SpoolError, AnotherDaemon or MachineError, and owns nothing then."""
    with explaining_errors(spool.root):
        spool.root.mkdir(mode_for(PurePath()), parents=True, exist_ok=True)
    spool.acquire()
    try:
        spool.create()
        spool.check()
    except BaseException:
        spool.release()
        raise


def acquire_when_possible(spool: Spool, wake: WakeEvent, given_up: Callable[[], bool]) -> bool:
    """The same as soon as the machine lets it; False where `given_up` says so before. `wake` ends a wait."""
    return retry_until_possible(partial(acquire, spool), wake, given_up)


def retry_until_possible(act: Callable[[], None], wake: WakeEvent, given_up: Callable[[], bool]) -> bool:
    """Do an act, again and again where it raises MachineError; False where it was given up."""
    said: set[str] = set()
    wait_seconds = FIRST_WAIT_SECONDS
    while not given_up():
        try:
            act()
        except AnotherDaemon:
            raise
        except MachineError as error:
            if str(error) not in said:
                log.error("cannot start yet, will retry: %s", error)
                said.add(str(error))
            notify(f"STATUS=cannot start yet, will retry: {shown(str(error))}\n{_more_time()}")
            wake.sleep_until(time.monotonic() + wait_seconds)
            wake.clear()
            wait_seconds = min(2 * wait_seconds, LONGEST_WAIT_SECONDS)
        else:
            if said:
                log.info("the system error is over, starting")
                notify(_more_time())
            return True
    return False


def spare_syncs(spool: Spool, config: Config) -> list[str]:
    """Let the spool wait no more for the disk than its filesystem and the configuration ask; what people should know of it."""
    trusts_order = config.durability == "ordered"
    why = spool.spare_syncs(trusts_order=trusts_order)
    warnings = [f"`durability: ordered` has no effect: {why}, and it takes {KEEPS_ORDER}"] if why and trusts_order else []
    for warning in warnings:
        log.warning("%s", warning)
    return warnings


def _more_time() -> str:
    return f"EXTEND_TIMEOUT_USEC={START_SECONDS * 1_000_000}"
