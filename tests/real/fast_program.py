"""`tiffsd` with the fast worker, and short rests after troubles: `python -m tests.real.fast_program run`.

NO_EVENTS=1 in the environment takes inotify away from it.
"""

import errno
import os
from typing import Any

from daemon.cli import main
from daemon.compute import local
from daemon.inbox import watch
from daemon.service import backoff


def no_observer() -> Any:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


if __name__ == "__main__":
    local.WORKER = "tests.real.fast_worker"
    backoff.FIRST_BACKOFF_SECONDS, backoff.LONGEST_BACKOFF_SECONDS = 0.5, 2.0
    if os.environ.get("NO_EVENTS"):
        watch.Observer = no_observer
    main()
