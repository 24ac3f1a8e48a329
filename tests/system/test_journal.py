"""What the journal gets: one line for what happened, with its priority; nothing while nothing happens."""

import pytest

from tests.conftest import wait_until
from tests.system.installed import Installed

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

INFO, ERROR = "6", "3"


def test_what_went_well_is_information_and_what_failed_an_error(service: Installed) -> None:
    cursor = service.cursor()
    service.drop("inbox/1-text", "good.txt", "---\nhold: diffuse\n---\na red house")
    service.drop("inbox/1-text", "bad.txt", "---\nsteps: many\n---\na red house")
    service.found("hold/2-diffuse/good.*.tiff")[0].unlink()
    service.found("failed/1-text/bad.*/bad.txt")

    good, bad = (service.said(text, after=cursor) for text in ("good.txt ->", "bad.txt"))

    assert (good["PRIORITY"], good["_PID"]) == (INFO, str(service.pid()))
    assert (bad["PRIORITY"], bad["_PID"]) == (ERROR, str(service.pid()))
    assert "many" in bad["MESSAGE"]


def test_the_journal_is_quiet_while_nothing_happens(service: Installed) -> None:
    service.drop("hold/1-text", "waiting.txt", "nobody looks at what is on hold")
    wait_until(lambda: "1 on hold" in service.show("StatusText"), what="the file is seen")
    cursor = service.cursor()

    pings = set()

    def five_pings() -> bool:
        pings.add(service.show("WatchdogTimestampMonotonic"))
        return len(pings) > 5

    wait_until(five_pings, what="five pings of the watchdog")

    assert service.journal(after=cursor) == []
    (service.spool / "hold/1-text/waiting.txt").unlink()
