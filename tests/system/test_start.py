"""A start on a machine that is at fault: the service waits for it, says for what, and goes on by itself; nobody starts it anew."""

import time
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import wait_until
from tests.system.installed import Installed
from tests.system.small_disk import SmallDisk, small_disk

pytestmark = [pytest.mark.system, pytest.mark.slow, pytest.mark.timeout(300)]

PROMPT = "---\nsteps: 2\n---\na red house"
WAITING = "cannot start yet, will retry"
# Longer than systemd is told to give a start, so that it would end the service if that did not ask for more.
SHORT_START = "[Service]\nTimeoutStartSec=20\n"
FULL_SECONDS = 60


@pytest.fixture
def disk(service: Installed) -> Iterator[SmallDisk]:
    with small_disk(service) as disk:
        yield disk


def start(disk: SmallDisk) -> None:
    disk.service.control("start", "--no-block")
    wait_until(lambda: disk.service.show("StatusText").startswith(WAITING), what="it waits")


def waits(disk: SmallDisk, why: str) -> None:
    """Systemd says of the service that it starts, and what it waits for."""
    assert disk.service.show("ActiveState") == "activating"
    assert why in disk.service.show("StatusText")


def goes_on(disk: SmallDisk) -> None:
    """It becomes active as the process that it was, and makes a picture."""
    service, pid = disk.service, disk.service.pid()
    wait_until(lambda: service.show("ActiveState") == "active", what="the service is active")
    assert (service.pid(), service.show("NRestarts"), service.show("Result")) == (pid, "0", "success")
    disk.drop("house.txt", PROMPT)
    wait_until(lambda: list(disk.spool.glob("pictures/house.*.png")), seconds=100, what="a picture")


def said_once(disk: SmallDisk, why: str, *, after: str) -> None:
    """The journal has one entry on the wait, an error, and one on its end."""
    said = disk.service.said(WAITING, after=after)
    assert said["PRIORITY"] == "3"
    assert why in said["MESSAGE"]
    assert disk.service.said("the system error is over, starting", after=after)["PRIORITY"] == "6"


@pytest.mark.thorough
def test_a_disk_that_is_full_at_the_start_for_a_minute_is_waited_for(disk: SmallDisk) -> None:
    short = disk.service.box.path("/run/systemd/system/tiffsd.service.d/short.conf")
    short.write_text(SHORT_START)
    disk.service.box.run("systemctl", "daemon-reload")
    try:
        cursor = disk.service.cursor()
        disk.fill()
        began = time.monotonic()
        start(disk)
        tried: set[float] = set()

        def minute_is_over() -> bool:
            waits(disk, "free some space")
            tried.add(time.monotonic() - began)
            return max(tried) > FULL_SECONDS

        wait_until(minute_is_over, seconds=100, what="a minute of waiting")
        assert disk.service.show("NRestarts") == "0"
        disk.free()
        goes_on(disk)
        said_once(disk, "No space left on device; free some space", after=cursor)
    finally:
        short.unlink()


FAULTS: dict[str, tuple[Callable[[SmallDisk], None], Callable[[SmallDisk], None], str]] = {
    "no inodes": (SmallDisk.use_up_names, SmallDisk.free, "free some inodes"),
    "read-only": (SmallDisk.make_read_only, SmallDisk.make_writable, "mount it writable"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_disk_that_cannot_be_written_to_at_the_start_is_waited_for(disk: SmallDisk, fault: str) -> None:
    befall, mend, why = FAULTS[fault]
    cursor = disk.service.cursor()
    befall(disk)
    start(disk)
    waits(disk, why)
    mend(disk)
    goes_on(disk)
    said_once(disk, why, after=cursor)


def test_a_stop_ends_the_wait_at_once_and_cleanly(disk: SmallDisk) -> None:
    disk.fill()
    start(disk)
    began = time.monotonic()
    disk.service.control("stop")
    assert time.monotonic() - began < 10
    facts = ("ActiveState", "Result", "ExecMainStatus", "NRestarts")
    assert [disk.service.show(name) for name in facts] == ["inactive", "success", "0", "0"]
