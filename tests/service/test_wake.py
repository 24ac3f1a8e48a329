"""The bell that wakes the main loop."""

import subprocess
import sys
import threading
import time

from daemon.service.wake import Bell
from tests.conftest import wait_until

# A handler that waits for a lock which the interrupted thread holds waits for ever: it can only be seen from outside.
STORM = """
import signal, time
from daemon.service.wake import Bell

bell, rings = Bell(), 0
def ring(number, frame):
    global rings
    rings += 1
    bell.ring()

signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
while rings < 3000:
    bell.hush()
    bell.sleep_until(time.monotonic())
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_signals_in_any_instant_never_lock_up_the_loop() -> None:
    subprocess.run([sys.executable, "-c", STORM], timeout=60, check=True)


def test_a_ring_ends_the_sleep_and_is_not_lost_before_it() -> None:
    bell = Bell()
    bell.ring()
    started = time.monotonic()
    bell.sleep_until(started + 60)
    sleeper = threading.Thread(target=lambda: bell.sleep_until(started + 60))
    sleeper.start()
    bell.ring()
    wait_until(lambda: not sleeper.is_alive(), seconds=30, what="the ring wakes")


def test_rings_that_were_heard_wake_nobody() -> None:
    bell = Bell()
    bell.ring()
    bell.ring()
    bell.hush()
    due = time.monotonic() + 0.05
    bell.sleep_until(due)
    assert time.monotonic() >= due
