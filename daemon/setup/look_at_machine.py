"""What the machine has: Python and the packages, processor, memory, watches of folders, and the right to ask for leases."""

import ctypes
import errno
import os
import platform
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

from daemon.cores import number_of_cores
from daemon.extras import installing, packages_of
from daemon.lease import is_being_written
from daemon.setup.findings import Finding, note, ok

MEMORY, STATUS = Path("/proc/meminfo"), Path("/proc/self/status")
LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
INOTIFY = Path("/proc/sys/fs/inotify")
FEW_INSTANCES, FEW_WATCHES = 64, 1024
GB = 1e9
SMALL_MEMORY_GB, LITTLE_FREE_GB = 4.0, 1.0
CAP_LEASE = 28
# What each extra is for, and the module by which it is known.
EXTRAS = {
    "web": ("uvicorn", "the page with a server"),
    "gguf": ("gguf", "models in GGUF"),
    "heif": ("pillow_heif", "HEIC pictures"),
    "exr": ("OpenEXR", "OpenEXR pictures"),
}


def look_at_program() -> Iterator[Finding]:
    """Python, the program, and which of the extras are there."""
    yield ok("tiffsd", f"{version('tiffsd')}, Python {platform.python_version()}, in {sys.prefix}")
    lacking = [name for name, (module, _) in EXTRAS.items() if find_spec(module) is None]
    there = ", ".join(name for name in EXTRAS if name not in lacking) or "none"
    if not lacking:
        yield ok("extras", there)
        return
    wanted = installing(*(word for name in lacking for word in packages_of(name)))
    what = ", ".join(f"{name} ({EXTRAS[name][1]})" for name in lacking)
    yield note("extras", f"there: {there}; not there: {what}", f"who wants them: `{wanted}`")


def look_at_processor(cpu: dict[str, str]) -> Iterator[Finding]:
    """The processor, and what instructions torch uses of it; `cpu` is what torch says, empty where it says nothing."""
    cores = number_of_cores()
    said = ", ".join(filter(None, [cpu.get("processor", platform.machine()), f"{cores} cores", cpu.get("instruction_set", "")]))
    if cpu.get("instruction_set", "").upper() in ("DEFAULT", "NO AVX"):
        yield note(
            "processor", said, "it computes without wide instructions, slowly: a virtual machine may hide them (CPU type `host`)"
        )
    else:
        yield ok("processor", said)


def look_at_memory() -> Iterator[Finding]:
    """How much memory there is for the models, in gigabytes of 10^9 bytes."""
    total, free = _memory("MemTotal"), _memory("MemAvailable")
    if total is None or free is None:
        return
    limit = _limit()
    bounded = limit is not None and limit < total
    said = f"{total / GB:.1f} GB, {free / GB:.1f} free" + (
        f", at most {limit / GB:.1f} for this program" if bounded and limit else ""
    )
    most = limit if bounded and limit else total
    if most < SMALL_MEMORY_GB * GB:
        yield note(
            "memory",
            said,
            "enough for the embedded model; Stable Diffusion 1.5 takes about 4 GB in float32, XL 14: add memory, or swap",
        )
    elif free < LITTLE_FREE_GB * GB:
        yield note("memory", said, "end what else takes memory, or lower `memory_gb` under `compute` in config.yaml")
    else:
        yield ok("memory", said)


def look_at_watches(folders: int) -> Iterator[Finding]:
    """Whether so many folders can be watched by inotify."""
    instances, watches = (_number(INOTIFY / name) for name in ("max_user_instances", "max_user_watches"))
    if instances is None or watches is None:
        yield note("watches", "the kernel has no inotify here", "nothing: the folders are looked at every `watch.rescan_seconds`")
        return
    said = f"{watches} folders and {instances} programs for each user"
    raised = "`sysctl fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=65536`, and see sysctl.d(5) for the next boot"
    if not _one_more_instance():
        yield note("watches", f"{said}, and none is left: drops are found by looking every `watch.rescan_seconds`", raised)
    elif instances < FEW_INSTANCES or watches < max(FEW_WATCHES, folders):
        yield note("watches", said, raised)
    else:
        yield ok("watches", said)


def look_at_leases(folder: Path, *, shared: bool, served: bool) -> Iterator[Finding]:
    """Whether the kernel says that nobody writes to a file any more; a spool is `shared` by a group, `served` by a unit."""
    if not os.access(folder, os.W_OK | os.X_OK):
        return
    slower = "a file is taken `watch.settle_unleased_seconds` after its last change, and not at once"
    if _lease_on_a_file_in(folder) is not False:
        yield note("leases", f"not on this filesystem: {slower}", "nothing, if that is soon enough; a local disk has them")
    elif shared and not (served or _has(CAP_LEASE)):
        yield note(
            "leases",
            f"for your own files only; of others' {slower}",
            "run the daemon by its unit (`tiffsd service install`), which has CAP_LEASE",
        )
    else:
        yield ok("leases", "the kernel says when nobody writes to a file any more")


def _lease_on_a_file_in(folder: Path) -> bool | None:
    """What the kernel says of a file that nobody writes, and that has no name."""
    try:
        writing = os.open(folder, os.O_TMPFILE | os.O_WRONLY, 0o600)
    except (OSError, AttributeError):  # another filesystem, or system, than has such files
        return None
    try:
        reading = os.open(f"/proc/self/fd/{writing}", os.O_RDONLY)
    finally:
        os.close(writing)
    try:
        with _sigio_ignored():
            return is_being_written(reading)
    finally:
        os.close(reading)


@contextmanager
def _sigio_ignored() -> Iterator[None]:
    before = signal.signal(signal.SIGIO, signal.SIG_IGN)
    try:
        yield
    finally:
        signal.signal(signal.SIGIO, before)


def _has(capability: int) -> bool:
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", STATUS.read_text(encoding="ascii", errors="replace"), re.MULTILINE)
    return bool(found and int(found[1], 16) >> capability & 1)


def _memory(name: str) -> int | None:
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB", MEMORY.read_text(encoding="ascii"), re.MULTILINE)
    except OSError:
        return None
    return int(found[1]) * 1024 if found else None


def _limit() -> int | None:
    """What the control group of this program lets it have at the most, in bytes."""
    return next((number for path in LIMITS if (number := _number(path)) is not None), None)


def _number(path: Path) -> int | None:
    try:
        word = path.read_text(encoding="ascii").strip()
    except OSError:
        return None
    return int(word) if word.isdecimal() else None


def _one_more_instance() -> bool:
    """Whether inotify gives one more user; True where the C library cannot be asked."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        descriptor = library.inotify_init1(os.O_CLOEXEC)
    except (OSError, AttributeError):
        return True
    if descriptor >= 0:
        os.close(descriptor)
        return True
    return ctypes.get_errno() not in (errno.EMFILE, errno.ENFILE)
