"""A process that has loaded what the tests need of others, and runs pytest in forks of itself: of most mutants that is the cost.

Started as a file in the folder of a copy, so that it knows nothing of the program itself: each fork imports that anew. It reads
lines of JSON, the arguments of pytest and the seconds that it may take, and answers each with its exit status and what it said.
"""

import json
import os
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module
from typing import IO

HUNG = -1
# What is imported nearly everywhere, or takes long; no plugins of pytest, which it must import itself. One may be missing.
LIBRARIES = (
    "pytest",
    "hypothesis",
    "numpy",
    "PIL.Image",
    "tifffile",
    "imagecodecs",
    "safetensors.numpy",
    "pydantic",
    "yaml",
    "click",
)
OF_MODELS = ("torch", "diffusers.pipelines.stable_diffusion.pipeline_stable_diffusion", "scipy.stats", "peft")
LOOK_SECONDS = 0.01


def main() -> None:
    """Answer until the input ends."""
    for name in (*LIBRARIES, *OF_MODELS):
        with suppress(ImportError):
            import_module(name)
    sys.path[0] = os.getcwd()  # noqa: PTH109 (where this file lies is not where the tests start)
    for line in sys.stdin:
        asked = json.loads(line)
        with tempfile.TemporaryFile() as said:
            code = _forked(asked["arguments"], asked["seconds"], said)
            said.seek(0)
            answer = {"code": code, "said": said.read().decode(errors="replace")[-4000:]}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _forked(arguments: Sequence[str], seconds: float, said: IO[bytes]) -> int:
    """The exit status of pytest in a fork; whoever takes longer is killed with all that it started, and HUNG."""
    child = os.fork()
    if child == 0:
        _run(arguments, said.fileno())
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status)
        time.sleep(LOOK_SECONDS)
    with suppress(ProcessLookupError):
        os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return HUNG


def _run(arguments: Sequence[str], said: int) -> None:
    code = 3
    try:
        os.setsid()
        nothing = os.open(os.devnull, os.O_RDONLY)
        for descriptor, target in ((nothing, 0), (said, 1), (said, 2)):
            os.dup2(descriptor, target)
        code = int(import_module("pytest").main(list(arguments)))
        sys.stdout.flush()
        sys.stderr.flush()
    except BaseException:  # noqa: BLE001 (whatever it is: a fork must neither go on here nor end in silence)
        os.write(2, traceback.format_exc().encode())
    finally:
        os._exit(code)


if __name__ == "__main__":
    main()
