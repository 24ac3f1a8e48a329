"""What one change in the folders costs the front for its page: the look at what lies there, and the writing of it; item 22."""

import tempfile
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from PIL import Image

import tiffsd
from benchmarks.figures import Figure, run
from benchmarks.timing import spread
from daemon.jobs.overview import Overview
from daemon.jobs.page.page import LISTED, Page
from daemon.service.status import page_facts, read_status, why_waiting
from tests.artifacts import latents
from tests.page.spools import new_spool

SIZES, CHANGES = (100, 1000), 20
MOST_MILLISECONDS = 20


def figures() -> Iterator[Figure]:
    """Processor time of a change, by how many latents wait and how many pictures are finished."""
    for count in SIZES:
        with tempfile.TemporaryDirectory() as place:
            half = spread(_milliseconds(new_spool(Path(place) / "spool"), count))
            what = f"one change beside {count} held latents and as many pictures, processor time of the front"
            yield Figure(22, what, half.median, "ms", half.low, half.high, at_most=MOST_MILLISECONDS)


def _milliseconds(root: Path, count: int) -> list[float]:
    for number in range(count):
        tiffsd.write(root / f"hold/2-diffuse/cat{number:04d}.{number:08x}.tiff", latents())
        Image.new("RGB", (64, 64)).save(root / f"pictures/dog{number:04d}.{number:08x}.png")
    overview, page = Overview(root, first=LISTED), Page(root)
    _look(root, overview, page)
    while overview.is_behind or page.is_behind:
        _look(root, overview, page)
    found = []
    for number in range(CHANGES):
        (root / f"inbox/1-text/new{number}.txt").write_text("a cat", encoding="utf-8")
        found.append(_look(root, overview, page))
    return found


def _look(root: Path, overview: Overview, page: Page) -> float:
    """Milliseconds of processor time, without the status, which there is without a page too."""
    now = datetime.now().astimezone()
    status = read_status(root, now=now)
    began = time.process_time()
    listed = overview.look(status.running, why=why_waiting(status.stages))
    page.write(overview, listed, status.running, now=now, facts=page_facts(status))
    return 1000 * (time.process_time() - began)


if __name__ == "__main__":
    run(figures)
