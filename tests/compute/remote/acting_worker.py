"""A worker that does what its prompts say: the real pipe and protocol, and instead of a model numbers drawn from the words.

steps          progress and estimates on the way
until FILE     go on when that file is there, or when it is cancelled
dies           end by a signal
apart          fail where it runs together with others
"""

import os
import signal
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from daemon.compute.pipe import ArrayPipe
from daemon.compute.worker import _end_with
from tests.real.fast_worker import noise_of


class Acting:
    def __init__(self, pipe: ArrayPipe) -> None:
        self.pipe, self.waiting, self.cancelled = pipe, list[tuple[Any, ...]](), set[int]()

    def serve(self) -> None:
        while True:
            while self.pipe.poll() or not self.waiting:
                self.take(self.pipe.recv())
            _, _stage, jobs = self.waiting.pop(0)
            for number, arrays, settings in jobs:
                self.pipe.send(("computing", [number]))
                self.pipe.send(self.answer(number, arrays, settings, together=len(jobs)))

    def take(self, message: tuple[Any, ...]) -> None:
        if message[0] == "cancel":
            self.cancelled.add(message[1])
        else:
            self.waiting.append(message)

    def answer(self, number: int, arrays: Mapping[str, Any], settings: Mapping[str, Any], *, together: int) -> tuple[Any, ...]:
        words = settings["prompt"].split()
        if "dies" in words:
            os.kill(os.getpid(), signal.SIGKILL)
        noise = noise_of(settings["prompt"])
        for step in range(1, 4) if "steps" in words else ():
            self.pipe.send(("estimate", number, noise * np.float32(step)))
            self.pipe.send(("progress", number, step, 3))
        while "until" in words and not Path(words[words.index("until") + 1]).exists() and number not in self.cancelled:
            while self.pipe.poll(0.02):
                self.take(self.pipe.recv())
        if number in self.cancelled:
            return "failed", number, "Cancelled", "the job was cancelled", ""
        return "done", number, {"latents": noise, **arrays}, {"state": "final", "numbers": f"{together} together"}


def main(pipe_fd: int, parent: int, *_: int) -> None:
    _end_with(parent)
    with suppress(EOFError, ConnectionError):
        Acting(ArrayPipe(pipe_fd)).serve()


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
