"""A worker for one pretended GPU: a stage takes the time that PRETENDED_SECONDS says, `text=0.02 diffuse=0.5`, of no processor.

When each call ended, by the monotonic clock, and what it took, is a line in the file that PRETENDED_CALLS names.
"""

import os
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from tests.real import fast_worker
from tests.real.fast_worker import Arrays


def taking(stage: Callable[[Arrays, Mapping[str, Any]], Arrays], seconds: float) -> Callable[[Arrays, Mapping[str, Any]], Arrays]:
    """The stage, as it would be on a GPU that needs so long for it."""

    def slow(arrays: Arrays, settings: Mapping[str, Any]) -> Arrays:
        time.sleep(seconds)
        with Path(os.environ["PRETENDED_CALLS"]).open("a", encoding="utf-8") as file:
            file.write(f"{time.monotonic()} {seconds}\n")
        return stage(arrays, settings)

    return slow


def main() -> None:
    for words in os.environ["PRETENDED_SECONDS"].split():
        name, _, seconds = words.partition("=")
        fast_worker.STAGES[name] = taking(fast_worker.STAGES[name], float(seconds))
    fast_worker.main(*map(int, sys.argv[1:]))


if __name__ == "__main__":
    main()
