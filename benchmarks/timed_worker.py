"""The real worker, with a clock around the forward passes of its models, which appends to the file that FORWARD_SECONDS names."""

import os
import sys
import time
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

from daemon.compute import worker
from daemon.models.registry import Models

TIMED = {"unet": "forward", "text_encoder": "forward", "vae": "decode"}


def timed(method: Callable[..., Any], note: Callable[[float], object]) -> Callable[..., Any]:
    """The method, with the seconds it took noted."""

    @wraps(method)
    def measured(*args: Any, **kwargs: Any) -> Any:
        started = time.perf_counter()
        try:
            return method(*args, **kwargs)
        finally:
            note(time.perf_counter() - started)

    return measured


def _append(seconds: float) -> None:
    with Path(os.environ["FORWARD_SECONDS"]).open("a", encoding="utf-8") as file:
        file.write(f"{seconds}\n")


def main() -> None:
    load = Models._load

    def load_timed(self: Models, model: Any, part: Any, name: str, *more: Any) -> Any:
        loaded = load(self, model, part, name, *more)
        if name in TIMED:
            setattr(loaded, TIMED[name], timed(getattr(loaded, TIMED[name]), _append))
        return loaded

    Models._load = load_timed
    worker.main(*map(int, sys.argv[1:]))


if __name__ == "__main__":
    main()
