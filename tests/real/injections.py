"""Let strace break the calls of a running daemon: SIGKILL at the Nth rename, EIO at the Nth fsync of one thread."""

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from tests.conftest import wait_until
from tests.outside import outside
from tests.real.fast_daemon import FastDaemon
from tests.real.programs import skip_if_forbidden


def threads_of(pid: int, *, main: bool) -> list[int]:
    """The main thread, which claims, or all others, of which only a job's thread touches files."""
    found = [int(path.name) for path in Path(f"/proc/{pid}/task").iterdir()]
    return [thread for thread in found if (thread == pid) is main]


@contextmanager
def injected(daemon: FastDaemon, fault: str, *, main: bool) -> Iterator[Path]:
    """Break the calls of the daemon's main thread, or of its others, as `strace -e inject=FAULT` says; yields the trace."""
    trace = daemon.folder / "trace.txt"
    trace.unlink(missing_ok=True)
    threads = [argument for thread in threads_of(daemon.pid(), main=main) for argument in ("-p", str(thread))]
    command = ["strace", "-q", "-o", str(trace), "-e", f"inject={fault}", *threads]
    tracer = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=outside(LC_ALL="C"))
    try:
        wait_until(lambda: is_traced(daemon.pid(), main=main) or tracer.poll() is not None, what="strace is attached")
        if tracer.poll() is not None and tracer.stderr:
            skip_if_forbidden(tracer.stderr.read())
        yield trace
    finally:
        tracer.terminate()
        tracer.communicate(timeout=30)


def is_traced(pid: int, *, main: bool) -> bool:
    with suppress(FileNotFoundError):
        return all(
            "TracerPid:\t0" not in Path(f"/proc/{pid}/task/{thread}/status").read_text() for thread in threads_of(pid, main=main)
        )
    return False


def dies(daemon: FastDaemon, *, unless: Path, pattern: str) -> bool:
    """Wait until the daemon is dead, or a file that matches is there; whether it died."""
    assert daemon.process is not None
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        with suppress(subprocess.TimeoutExpired):
            daemon.process.wait(timeout=0.02)
            return True
        if list(unless.glob(pattern)) and not any((unless / ".work").iterdir()):
            return False
    raise AssertionError(daemon.log()[-3000:])
