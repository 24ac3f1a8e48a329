"""How far a download from the hub is, for the log: soon, then ever more seldom, and also while nothing comes."""

import logging
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm

logger = logging.getLogger(__name__)

FIRST_SECONDS, LONGEST_SECONDS = 5.0, 60.0
GB, MB, KB = 1e9, 1e6, 1e3


def in_words(size: float) -> str:
    """A number of bytes for people."""
    if size >= GB:
        return f"{size / GB:.2f} GB"
    return f"{size / MB:.1f} MB" if size >= MB else f"{size / KB:.1f} kB"


class Fetched:
    """What has come so far; its `bar` is the class that the hub's client makes its bars of. None of them is drawn."""

    def __init__(self) -> None:
        self.files = self.bytes = 0
        self._lock = threading.Lock()
        fetched = self

        class Bar(tqdm):  # type: ignore[misc]
            def __init__(self, *args: Any, **options: Any) -> None:
                options.pop("name", None)
                super().__init__(*args, **{**options, "disable": True})
                self._of_bytes, self._counted = options.get("unit") == "B", 0

            def update(self, n: float | None = 1) -> None:
                with fetched._lock:
                    self._counted += int(n or 0)
                    # Of the bytes there are two bars, one of the network and one of the disk.
                    if self._of_bytes:
                        fetched.bytes = max(fetched.bytes, self._counted)
                    else:
                        fetched.files = self._counted

        self.bar = Bar


@contextmanager
def logging_progress(what: str, most_bytes: int, files: int) -> Iterator[Fetched]:
    """Say of a download how far it is, and when it has ended what came; of what was here already nothing."""
    fetched, ended, began = Fetched(), threading.Event(), time.monotonic()

    def say() -> None:
        pause = FIRST_SECONDS
        while not ended.wait(pause):
            far = f"{in_words(fetched.bytes)} of at most {in_words(most_bytes)}, {fetched.files} of {files} files"
            logger.info("fetching %s: %s after %.0f s", what, far, time.monotonic() - began)
            pause = min(2 * pause, LONGEST_SECONDS)

    thread = threading.Thread(target=say, name="says how far", daemon=True)
    thread.start()
    try:
        yield fetched
    finally:
        ended.set()
        thread.join()
    if fetched.bytes:
        logger.info("fetched %s: %s in %.1f s", what, in_words(fetched.bytes), time.monotonic() - began)
