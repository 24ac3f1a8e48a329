"""`tiffsd` with the fast worker, and short rests after troubles: `python -m tests.real.fast_program run`.

NO_EVENTS=1 in the environment takes inotify away from it.
"""

import errno
import os
from typing import Any

from daemon import compute, troubles, watch
from daemon.cli import main


def no_observer() -> Any:
    raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))


if __name__ == "__main__":
    compute.WORKER = "tests.real.fast_worker"
    troubles.FIRST_BACKOFF_SECONDS, troubles.LONGEST_BACKOFF_SECONDS = 0.5, 2.0
    if os.environ.get("NO_EVENTS"):
        watch.Observer = no_observer
    main()
