"""Signals set flags in the main thread; where that hangs, a guard takes them, and ends the process when its time is over.

A handler of Python's runs when the main thread comes back from the system. In a call that a dead network share does not answer
it never does, and the signal stays pending. There the guard finds it: it looks seldom, so that an idle daemon costs next to
nothing, and once a second when a stop was asked for.
"""

import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from daemon.service.wake import WakeEvent

STOPPING = (signal.SIGTERM, signal.SIGINT)
LOOK_SECONDS = 3.0
STOPPING_LOOK_SECONDS = 1.0


@contextmanager
def handled(*, stop: Callable[[], None], reload: Callable[[], None], guarded: Callable[[], bool]) -> Iterator[None]:
    """Call `stop` on SIGTERM and SIGINT and `reload` on SIGHUP, and give the old handlers back at the end.

    All must be quick and may run in any line of the main thread; `stop` and `guarded` run in the guard's too. `guarded` is called
    at each of the guard's looks, also after the end, as long as it returns true. Only a main thread has signals: in another one
    nothing is done.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    asked = WakeEvent()

    def ask_stop(_number: int, _frame: FrameType | None) -> None:
        stop()
        asked.set()

    def ask_reload(_number: int, _frame: FrameType | None) -> None:
        reload()

    handlers: dict[int, Any] = {**dict.fromkeys(STOPPING, ask_stop), signal.SIGHUP: ask_reload, signal.SIGIO: signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
    threading.Thread(target=_guard, args=[stop, guarded, asked], name="guard", daemon=True).start()
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _guard(stop: Callable[[], None], guarded: Callable[[], bool], asked: WakeEvent) -> None:
    # The system gives a signal to the main thread where it can, and shows what waits to those only that block it.
    signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)
    look_seconds = LOOK_SECONDS
    while guarded():
        was_set = asked.sleep_until(time.monotonic() + look_seconds)
        if pending := not signal.sigpending().isdisjoint(STOPPING):
            stop()
        if was_set or pending:
            look_seconds = STOPPING_LOOK_SECONDS
