"""One worker process as the front sees it: spawned, a pipe to it, ended, and the sentence on how it ended."""

import logging
import os
import signal
import socket
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from daemon.compute.gpus import VISIBLE
from daemon.compute.pipe import ArrayPipe
from daemon.cores import unpinned
from daemon.stray import overhear

END_SECONDS = 5.0
LAST_WORDS_SECONDS = 0.5
# Every layer takes memory to work in, and gives it back. The C library may give it back to the system, which has to clear each page
# for the next layer; whether it does hangs on what happens to lie behind it. At full size that is up to a third of the time. Blocks
# above the threshold, the highest there is, still go back, so that large ones leave no holes.
KEPT_MEMORY = {"MALLOC_MMAP_THRESHOLD_": str(32 << 20), "MALLOC_TRIM_THRESHOLD_": str(1 << 40)}
# On some processors (AMD's at least) MKL adds in another order where weights do not begin at a multiple of 64 bytes, as those of a
# mapped file never do; so the same model gave other last bits from a file than from a folder. With this it does not.
# Source: oneMKL's developer guide, "Getting Reproducible Results", conditional numerical reproducibility.
SAME_BITS = {"MKL_CBWR": "AUTO"}

# On a GPU torch's memory for pictures of many sizes falls to pieces that fit nothing any more; segments that can grow do not.
# torch reads both names, and the first one first.
GROWING_SEGMENTS = {"PYTORCH_CUDA_ALLOC_CONF": "expandable_segments:True"}
ALSO_READ = "PYTORCH_ALLOC_CONF"


class WorkerProcess:
    """The process and the pipe to it. The thread that makes it must live as long: the kernel ends a worker together with it.

    `module` is what it runs, `threads` how many torch computes with (0: its default). `budget_bytes` bounds the models that it
    keeps in the memory of the machine, `gpu_bytes` those on a GPU (0: what is free there). `gpu` is the one GPU that it sees (None:
    all).
    What it logs comes by the pipe, from this process's level up; what it writes elsewhere is overheard.
    """

    def __init__(self, module: str, *, threads: int, budget_bytes: int, gpu_bytes: int = 0, gpu: str | None = None) -> None:
        ours, theirs = socket.socketpair()
        self.pipe = ArrayPipe(ours.detach())
        # A plain child instead of multiprocessing's: that one would import the command line's main module again.
        level = logging.getLogger().getEffectiveLevel()
        arguments = map(str, (theirs.fileno(), os.getpid(), threads, budget_bytes, level, gpu_bytes))
        with unpinned():
            self._popen = subprocess.Popen(
                [sys.executable, "-P", "-m", module, *arguments],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment() | ({} if gpu is None else {VISIBLE: gpu}),
            )
        theirs.close()
        assert self._popen.stdout is not None
        self._ear = overhear(self._popen.stdout, f"worker {self.pid}")

    @property
    def pid(self) -> int:
        return self._popen.pid

    def alive(self) -> bool:
        return self._popen.poll() is None

    def kill(self) -> None:
        """End it by force; what reads the pipe finds its end."""
        self._popen.kill()

    def end(self, *, kill: bool) -> None:
        """End the process and wait for it; `kill` is for one that is not idle. Closing the pipe is left to who reads it."""
        if kill:
            self._popen.kill()
        else:
            # Half of the pipe: a descriptor must not be closed under a thread that reads it.
            with suppress(OSError), socket.socket(fileno=os.dup(self.pipe.fileno())) as ours:
                ours.shutdown(socket.SHUT_WR)
        try:
            self._popen.wait(timeout=END_SECONDS)
        except subprocess.TimeoutExpired:
            self._popen.kill()
            self._popen.wait()
        self._ear.join(LAST_WORDS_SECONDS)  # what the worker has started itself may have the other end still

    @property
    def how_it_ended(self) -> str:
        """How it ended that is no more, in words."""
        code = self._popen.returncode
        return f"was killed by signal {-code}" if code is not None and code < 0 else f"ended with code {code}"

    def exit_reason(self) -> str:
        """Return the sentence on how the process ended."""
        with suppress(subprocess.TimeoutExpired):
            self._popen.wait(timeout=END_SECONDS)
        guess = "; it may have needed more memory than the machine has" if self._popen.returncode == -signal.SIGKILL else ""
        return f"the worker process {self.how_it_ended} in the middle of the job{guess}"


def environment() -> dict[str, str]:
    """What a worker has: what the daemon has, and what the libraries take from there. What a person has set is left."""
    ours = str(Path(__file__).resolve().parents[2])
    paths = [ours, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        **KEPT_MEMORY,
        **SAME_BITS,
        **({} if ALSO_READ in os.environ else GROWING_SEGMENTS),
        **os.environ,
        "PYTHONPATH": os.pathsep.join(paths),
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "TRANSFORMERS_VERBOSITY": "error",
        "DIFFUSERS_VERBOSITY": "error",
        "CUBLAS_WORKSPACE_CONFIG": ":4096:8",
    }
