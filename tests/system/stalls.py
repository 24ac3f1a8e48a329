"""The attacks that are to make the daemon wait: each plays one to its end, and returns what waits in vain."""

import time
from pathlib import Path

from tests.conftest import wait_until
from tests.system.aimed import Aimed
from tests.system.installed import SPOOL

SAVED = "---\nsave_embedding: e\nhold: diffuse\n---\na red house"
NAMES_IT = "---\nembedding: e\nhold: diffuse\n---\na blue house"
INNOCENT = "---\nhold: diffuse\n---\na green house"
LONG = "---\nsteps: 1000\n---\na green house"
NAMING = 60
# Where the kernel keeps a thread that opens a FIFO, and one that reads of it: until somebody comes who writes.
FIFO_OPENS, FIFO_READS = ("wait_for_partner", "fifo_open"), ("pipe_read", "anon_pipe_read")
JOB_THREADS = 3


def fifo_in_place_of_an_embedding(aimed: Aimed) -> list[str]:
    """She exchanges a saved embedding with a FIFO, again and again, while many prompts name it."""
    service, embedding = aimed.service, f"{SPOOL}/embeddings/e.tiff"
    service.drop("inbox/1-text", "saved.txt", SAVED)
    service.found("embeddings/e.tiff")
    with aimed.alice_meanwhile("exchange_with_a_fifo", embedding):
        drop = f"printf %s '{NAMES_IT}' > {SPOOL}/inbox/1-text"
        aimed.box.sh(f"for n in $(seq {NAMING}); do {drop}/names$n.txt; done", user="alice")
        service.drop("inbox/1-text", "innocent.txt", INNOCENT)
        wait_until(lambda: _innocent_is_done(aimed) or _waiting(aimed) >= JOB_THREADS, seconds=100, what="the end of all jobs")
        if _waiting(aimed):
            return [f"{_waiting(aimed)} threads wait for somebody who writes to a FIFO"]
        return [*_cancelled(aimed), *_stopped(aimed)]


def _innocent_is_done(aimed: Aimed) -> bool:
    return any(aimed.spool.glob("hold/2-diffuse/innocent.*.tiff"))


def _waiting(aimed: Aimed) -> int:
    """How many threads of the daemon wait for somebody at the other end of a FIFO."""
    tasks = list(aimed.box.path(f"/proc/{aimed.service.pid()}/task").iterdir())
    channels = [_read(task / "wchan") for task in tasks]
    opening, reading = (sum(any(where in channel for where in waits) for channel in channels) for waits in (FIFO_OPENS, FIFO_READS))
    # What a child writes to its stderr is heard by a thread of its own, at a pipe.
    children = sum(len(_read(task / "children").split()) for task in tasks)
    return opening + max(0, reading - children)


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _cancelled(aimed: Aimed) -> list[str]:
    """Whether a job that runs ends when its file is deleted."""
    aimed.service.drop("inbox/1-text", "long.txt", LONG)
    running = aimed.service.running("long")
    aimed.box.sh(f"rm {SPOOL}/running/{running.name}", user="alice")
    aimed.service.found("failed/2-diffuse/long.*/error.txt")
    return []


def _stopped(aimed: Aimed) -> list[str]:
    """Whether the daemon ends in time while there is work, and she goes on."""
    aimed.service.drop("inbox/1-text", "longer.txt", LONG)
    aimed.service.running("longer")
    started = time.monotonic()
    aimed.service.control("stop")
    seconds = time.monotonic() - started
    aimed.service.control("start")
    return [f"it ended after {seconds:.0f} s"] * (seconds >= 30)
