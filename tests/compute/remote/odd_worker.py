"""A worker whose results cannot travel: `python -m tests.compute.remote.odd_worker PIPE ...`, as `WorkerProcess` starts one."""

import math
import sys
from contextlib import suppress

import numpy as np

from daemon.compute.pipe import ArrayPipe

RESULTS = [
    ({}, {"residual": math.nan}),
    ({"words": np.array(["no number"])}, {}),
    ({"latents": np.zeros(3, np.float32)}, {"step": np.int64(3)}),
]

if __name__ == "__main__":
    pipe = ArrayPipe(int(sys.argv[1]))
    with suppress(EOFError):
        while True:
            _, _, jobs = pipe.recv()
            for number, _, _ in jobs:
                pipe.send(("done", number, *RESULTS[number]))
