"""The clock of the wall jumps: readiness goes by the monotonic clock and by change alone."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.fast_daemon import FastDaemon, came_of
from tests.real.programs import needed

# Of each architecture that is installed there is one; the loader puts the right folder in the place of $LIB.
LIBRARY = "faketime/libfaketime.so.1"


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FastDaemon]:
    needed("faketime", f"/usr/lib/*/{LIBRARY}")
    running = FastDaemon(tmp_path / "daemon")
    running.environment |= {
        "LD_PRELOAD": f"/usr/$LIB/{LIBRARY}",
        "FAKETIME_TIMESTAMP_FILE": str(tmp_path / "clock"),
        "FAKETIME_NO_CACHE": "1",
        "DONT_FAKE_MONOTONIC": "1",
        "FAKETIME_DONT_FAKE_MONOTONIC": "1",
    }
    yield running
    running.close()


def test_a_clock_that_is_set_forth_and_back_changes_nothing(daemon: FastDaemon, tmp_path: Path) -> None:
    clock = tmp_path / "clock"
    clock.write_text("+0")
    daemon.start()
    for number, jump in enumerate(["+3600", "-7200", "+0", "-400d", "+400d"]):
        daemon.drop("inbox/1-text", f"before{number}.txt", f"before jump {number}")
        clock.write_text(jump)
        daemon.drop("inbox/1-text", f"after{number}.txt", f"after jump {number}")
        came_of(daemon, f"before{number}", f"before jump {number}")
        came_of(daemon, f"after{number}", f"after jump {number}")
    assert len(list(daemon.spool.glob("done/*"))) >= 3  # so the daemon did see other days


def test_files_from_the_future_and_from_long_ago_are_used_in_order_of_arrival(tmp_path: Path) -> None:
    daemon = FastDaemon(tmp_path / "daemon")
    try:
        daemon.start()
        for stem, days in (("future", 400), ("past", -10_000), ("present", 0)):
            path = daemon.drop("inbox/1-text", f"{stem}.txt", stem)
            stamp = time.time() + days * 86_400
            os.utime(path, (stamp, stamp))
            came_of(daemon, stem, stem)
    finally:
        daemon.close()
