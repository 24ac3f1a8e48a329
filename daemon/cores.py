"""The threads of the front stay together on one core, and what they start has all that there are.

Python lets one of its threads run at a time. Each call of the system gives another one its turn, and where that runs on another
core, the two hand their lock over and wake a core for it: up to two thousand times a picture, which is a third of what a picture
costs. On one core the lock mostly stays with who has it. What computes long beside that lock, as a codec does on a large picture,
and what is another process has all cores. The kernel chooses the core, and every few seconds again: another program may have come
to it.
"""

import ctypes
import os
import threading
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress

SECONDS_ON_A_CORE = 10.0

_LIBC = ctypes.CDLL(None)
_CORES = frozenset(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else frozenset(range(os.cpu_count() or 1))
_been: list[tuple[int, float]] = []  # the cores of the front and when it came to each, the latest one last; none while it has all
_turn = threading.Lock()  # of who looks which threads are on a core, and moves them


def number_of_cores() -> int:
    """How many cores this process may use, also while its threads stay on one."""
    return len(_CORES)


@contextmanager
def pinned() -> Iterator[None]:
    """Within the block this thread, and those that it begins there, stay on one core, where the system can do that."""
    if _been or number_of_cores() == 1 or not _gather():
        yield
        return
    try:
        yield
    finally:
        _been.clear()
        _set(0, _CORES)


@contextmanager
def unpinned() -> Iterator[Collection[int]]:
    """Within the block this thread has all cores: for what computes beside Python's lock, and for a process that it starts.

    The value is what it has been given; nothing where it was not on a core because of us.
    """
    with _turn:
        given = os.sched_getaffinity(0) if _is_pinned(0) and _set(0, _CORES) else set[int]()
    try:
        yield given
    finally:
        with _turn:
            if _has(given):
                _set(0, [core for core, _ in _been[-1:]] or _CORES)


@contextmanager
def sleeping() -> Iterator[None]:
    """In the block this thread sleeps. Now and then it wakes where the kernel has room for it, and the other threads follow."""
    if not _been or time.monotonic() - _been[-1][1] < SECONDS_ON_A_CORE:
        yield
        return
    with unpinned() as given:
        yield
        if _has(given):
            _gather()


def _has(given: Collection[int]) -> bool:
    """Whether this thread still has the cores that we gave it: what somebody else has said of it meanwhile counts."""
    return bool(given) and os.sched_getaffinity(0) == given


def _gather() -> bool:
    """Let this thread stay on the core that it runs on, and those with it that stay on an earlier one; whether that can be done."""
    core = _running_on()
    if core is None:
        return False
    with _turn:
        others = [thread.native_id for thread in threading.enumerate() if thread.native_id and _is_pinned(thread.native_id)]
        if not _set(0, [core]):
            return False
        _been[:] = [*((known, came) for known, came in _been if known != core), (core, time.monotonic())]
        for thread in others:
            _set(thread, [core])
    return True


def _running_on() -> int | None:
    """The core that this thread runs on; None where the system does not say."""
    call = getattr(_LIBC, "sched_getcpu", None)
    core = -1 if call is None or not hasattr(os, "sched_setaffinity") else int(call())
    return None if core < 0 else core


def _is_pinned(thread: int) -> bool:
    """Whether a thread, by its number in the system, is on a core because of us: what somebody else has said of it counts."""
    ours = [{core} for core, _ in _been]
    with suppress(OSError):
        return bool(ours) and os.sched_getaffinity(thread) in ours
    return False


def _set(thread: int, cores: Collection[int]) -> bool:
    with suppress(OSError):
        os.sched_setaffinity(thread, cores)
        return True
    return False
