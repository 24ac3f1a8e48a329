"""The event that wakes the main loop."""

import subprocess
import sys
import threading
import time

from daemon.service.wake import WakeEvent
from tests.conftest import wait_until

# A handler that waits for a lock which the interrupted thread holds waits for ever: it can only be seen from outside.
STORM = """
import signal, time
from daemon.service.wake import WakeEvent

wake, rings = WakeEvent(), 0
def ring(number, frame):
    global rings
    rings += 1
    wake.set()

signal.signal(signal.SIGALRM, ring)
signal.setitimer(signal.ITIMER_REAL, 0.0005, 0.0005)
while rings < 3000:
    wake.clear()
    wake.sleep_until(time.monotonic())
signal.setitimer(signal.ITIMER_REAL, 0)
"""


def test_signals_in_any_instant_never_lock_up_the_loop() -> None:
    subprocess.run([sys.executable, "-c", STORM], timeout=60, check=True)


def test_a_ring_ends_the_sleep_and_is_not_lost_before_it() -> None:
    wake = WakeEvent()
    wake.set()
    started = time.monotonic()
    wake.sleep_until(started + 60)
    sleeper = threading.Thread(target=lambda: wake.sleep_until(started + 60))
    sleeper.start()
    wake.set()
    wait_until(lambda: not sleeper.is_alive(), seconds=30, what="it wakes")


def test_rings_that_were_heard_wake_nobody() -> None:
    wake = WakeEvent()
    wake.set()
    wake.set()
    wake.clear()
    due = time.monotonic() + 0.05
    wake.sleep_until(due)
    assert time.monotonic() >= due
