"""Nothing that a member of the group does makes the daemon wait for ever, and a stop is obeyed."""

from collections.abc import Iterator

import pytest

from tests.conftest import wait_until
from tests.system import stalls
from tests.system.aimed import Aimed, aim
from tests.system.installed import SPOOL, Installed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

PICTURES = 300
PINGS = 6
# More than a few scans of so many files may take; a single one took a minute once.
MOST_PROCESSOR_SECONDS = 10.0


@pytest.fixture(scope="module")
def target(installed: Installed) -> Iterator[Aimed]:
    with aim(installed) as aimed:
        yield aimed


@pytest.fixture
def aimed(target: Aimed) -> Aimed:
    target.begin_anew()
    return target


def test_a_fifo_that_changes_places_with_an_embedding_holds_up_no_job_no_cancelling_and_no_stop(aimed: Aimed) -> None:
    assert stalls.fifo_in_place_of_an_embedding(aimed) == []


def test_hostile_settings_in_a_paused_inbox_do_not_keep_the_daemon_from_its_watchdog(aimed: Aimed) -> None:
    restarts, before = aimed.service.show("NRestarts"), processor_seconds(aimed)
    aimed.alice("pause_with_hostile_settings", f"{SPOOL}/inbox/encode", PICTURES)
    pings: set[str] = set()

    def pinged() -> bool:
        pings.add(aimed.service.show("WatchdogTimestampMonotonic"))
        return len(pings) > PINGS and f"{2 * PICTURES} waiting" in aimed.service.show("StatusText")

    wait_until(pinged, what="pings of the watchdog with all files seen")
    assert processor_seconds(aimed) - before < MOST_PROCESSOR_SECONDS
    assert aimed.service.show("NRestarts") == restarts


def processor_seconds(aimed: Aimed) -> float:
    """What the daemon itself, without its worker, has used of the processor."""
    fields = aimed.box.path(f"/proc/{aimed.service.pid()}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / 100
