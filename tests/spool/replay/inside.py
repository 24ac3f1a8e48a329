"""What runs in the guest: the questions of the command line, one JSON each, answered by one line of JSON each."""

import json
import logging
import sys
import time
from collections.abc import Callable
from typing import Any

from daemon.spool.ordering import why_unordered
from tests.spool.replay import devices
from tests.spool.replay.kinds import KINDS
from tests.spool.replay.recorded import Real
from tests.spool.replay.replayed import Replay
from tests.spool.stories import STORIES


def replayed(kind: str, story: str, without: list[str], busy: bool) -> dict[str, Any]:
    """The figures of one story."""
    began = time.monotonic()
    figures = Replay(STORIES[story], KINDS[kind], without=without, busy=busy).try_all()
    return {**vars(figures), "seconds": round(time.monotonic() - began, 1)}


def refused(kind: str) -> dict[str, Any]:
    """Why `durability: ordered` is refused on one kind of filesystem."""
    made = KINDS[kind]
    with devices.loop(devices.made("disk.img", made.mib)) as device:
        devices.said(*made.make, device)
        with devices.mounted(device, made) as place:
            return {"why": why_unordered(Real(place, boot_id="boot"), place)}


QUESTIONS: dict[str, Callable[..., dict[str, Any]]] = {"replayed": replayed, "refused": refused}


def main() -> None:
    logging.disable(logging.CRITICAL)
    for argument in sys.argv[1:]:
        name, *rest = json.loads(argument)
        print(json.dumps(QUESTIONS[name](*rest)), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
