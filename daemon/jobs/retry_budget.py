"""How often a file is tried at which the machine fails: for lack of memory, or because fresh workers end.

Nobody can tell a file that never fits from a machine that is short of memory for a while. So a file is tried a few times, and waits
by itself in between, while others go on; then it goes to `failed/` with the figure. Where different files of a stage lack memory
one after the other, and nothing is done in between, the machine is short: the stage rests too, longer each time, so that a night of
that costs a few files and not all.

The tries are counted by what the files are like (inode, size, time), which going back to the inbox does not change and saving them
does. The counts are gone when the daemon ends, which costs some tries more.
"""

import threading
from collections import OrderedDict
from collections.abc import Hashable, Mapping

from daemon.errors import ComputeLost, Loss, OutOfMemory, Stopped
from daemon.jobs.outcome import JobResult, Outcome, no_fault_result

MOST_TRIES = 4  # for lack of memory
MOST_ENDS = 12  # at which a fresh worker ends, as it did at others: all of these are the machine's fault, or nearly all
WAIT_SECONDS = 10.0  # before the second try; twice as long before each further one
LONGEST_WAIT_SECONDS = 40.0
SHORT_FILES = 3  # different ones, in a row, that show that it is not they
MOST_KNOWN = 4096


class RetryBudget:
    """How many tries the files of one daemon have left; any thread may ask."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._tries: OrderedDict[Hashable, int] = OrderedDict()
        self._short: dict[str, set[Hashable]] = {}

    def result_of(
        self, error: Stopped | OutOfMemory | ComputeLost | OSError, stage: str, files: Mapping[str, Hashable]
    ) -> JobResult:
        """How a job on these files, by role, is to end after an error that may be the machine's fault."""
        if isinstance(error, Stopped | OSError):
            return no_fault_result(error)
        if isinstance(error, ComputeLost) and error.kind is Loss.CLUSTER:
            return JobResult(Outcome.KEPT, f"{error}; {error.advice}")  # no try says anything of the file
        key, ends = (stage, type(error), frozenset(files.items())), isinstance(error, ComputeLost)
        most = MOST_ENDS if ends else MOST_TRIES
        with self._lock:
            tries = self._counted(key, most)
            is_machine = ends or self._is_short(stage, key)
        if tries >= most:
            return JobResult(Outcome.FAILED, f"{error}. It was tried {tries} times; {error.advice}")
        wait = min(WAIT_SECONDS * 2 ** (tries - 1), LONGEST_WAIT_SECONDS)
        reason = f"{error}; will retry after {wait:g} s at the earliest, try {tries + 1} of {most}"
        return JobResult(Outcome.KEPT if is_machine else Outcome.LATER, reason, wait)

    def succeeded(self, stage: str) -> None:
        """A job of the stage is done: the machine is well."""
        with self._lock:
            self._short.pop(stage, None)

    def _is_short(self, stage: str, key: Hashable) -> bool:
        short = self._short.setdefault(stage, set())
        short.add(key)
        return len(short) >= SHORT_FILES

    def _counted(self, key: Hashable, most: int) -> int:
        tries = self._tries.pop(key, 0) + 1
        if tries < most:
            self._tries[key] = tries  # one that is given up and put back by a person begins anew
        while len(self._tries) > MOST_KNOWN:
            self._tries.popitem(last=False)
        return tries
