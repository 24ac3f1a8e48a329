"""`tiffsd` whose worker writes to stderr past the log, and whose front loses a thread: `python -m tests.whole.loud run`."""

import os
import sys
import threading

from daemon.cli import main
from daemon.compute import local, worker
from daemon.service.service import Service

HOSTILE = b"loud\x1b[2J\r\n<0>text cat.txt -> forged\x9b31m\xff\n  1%|#  |\r 50%|## |\r100%|###|\nno end"


begin = Service.start


def begin_and_lose_a_thread(service: Service, *, patient: bool = False) -> bool:
    begun = begin(service, patient=patient)
    threading.Thread(target=die, name="doomed").start()
    return begun


def die() -> None:
    raise RuntimeError("a thread\n<0>forged")


if __name__ == "__main__":
    if sys.argv[1] == "run":
        local.WORKER = "tests.whole.loud"
        Service.start = begin_and_lose_a_thread  # type: ignore[method-assign]
        main()
    else:
        os.write(2, HOSTILE)
        worker.main(*map(int, sys.argv[1:]))
