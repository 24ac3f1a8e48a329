"""Run in the sandbox of the unit: what jobs need, and what nobody there may do. Prints each with its error, null for success."""

import ctypes
import fcntl
import json
import mmap
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

STATE, CACHE = Path("/var/lib/tiffsd"), Path("/var/cache/tiffsd")
CLONE_NEWUSER, ADDR_NO_RANDOMIZE = 0x10000000, 0x0040000
libc = ctypes.CDLL(None, use_errno=True)


def call(name: str, *arguments: object) -> None:
    if getattr(libc, name)(*arguments) == -1:
        raise OSError(ctypes.get_errno(), name)


def write(folder: Path) -> None:
    file = folder / "attempt"
    file.write_text("")
    file.unlink()


def lease() -> None:
    """On a file of somebody else's."""
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    with Path("/etc/tiffsd/config.yaml").open() as file:
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(file, fcntl.F_SETLEASE, fcntl.F_UNLCK)


def limited_child() -> None:
    """A child with less memory than it wants: it must start, and it must fail."""

    def limit() -> None:
        resource.setrlimit(resource.RLIMIT_AS, (256 << 20, 256 << 20))

    child = subprocess.run([sys.executable, "-c", "bytearray(512 << 20)"], preexec_fn=limit, stderr=subprocess.PIPE, text=True)
    if "MemoryError" not in child.stderr:
        raise OSError(0, f"no limit: {child.stderr}")


def setuid_file() -> None:
    with tempfile.NamedTemporaryFile() as file:
        Path(file.name).chmod(0o4755)


def code_at_run_time() -> None:
    mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()


NEEDED: dict[str, Callable[[], object]] = {
    "write the spool": lambda: write(STATE),
    "write the cache": lambda: write(CACHE),
    "write /tmp": lambda: write(Path("/tmp")),
    "share memory": lambda: write(Path("/dev/shm")),
    "hold a lease on a file of somebody else's": lease,
    "limit the memory of a child": limited_child,
    "watch a child": lambda: os.close(os.pidfd_open(os.getpid())),
    "offer itself to the out-of-memory killer": lambda: Path("/proc/self/oom_score_adj").write_text("500"),
    "compile": code_at_run_time,
    "keep a thread on one core": lambda: os.sched_setaffinity(0, [min(os.sched_getaffinity(0))]),
    "learn the processor": lambda: Path("/proc/cpuinfo").read_text(),
    "speak to systemd": lambda: socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).close(),
}
# All of this any user of a machine may do.
FORBIDDEN: dict[str, Callable[[], object]] = {
    "write a folder that is open to all": lambda: write(Path("/opt/open")),
    "look into a home that is open to all": lambda: os.listdir("/home/open"),
    "reach a network": lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).close(),
    "listen to the kernel": lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW).close(),
    "see the processes of others": lambda: Path("/proc/1").stat(),
    "open a device": lambda: Path("/dev/open").open("rb").close(),
    "make a namespace": lambda: call("unshare", CLONE_NEWUSER),
    "make a set-uid program": setuid_file,
    "change a priority": lambda: os.setpriority(os.PRIO_PROCESS, 0, 5),
    "change the layout of memory": lambda: call("personality", ADDR_NO_RANDOMIZE),
}


def outcome(attempt: Callable[[], object]) -> str | None:
    try:
        attempt()
    except OSError as error:
        return str(error)
    return None


attempts = {"needed": NEEDED, "forbidden": FORBIDDEN}
json.dump({kind: {what: outcome(attempt) for what, attempt in all.items()} for kind, all in attempts.items()}, sys.stdout)
