"""A Linux of its own that runs our program as its only one: User Mode Linux, a kernel of Debian that is a program itself.

It reads this machine's files as they are and can change none of them; what it writes is in its memory. It needs no KVM. Its
kernel has one processor; its filesystems, block layer and device mapper are those of any other of its version.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

CHECKOUT = Path(__file__).parents[3]
ROOM = CHECKOUT / "build/user-mode-linux"
MEMORY = "1G"
PACKAGE = "user-mode-linux"
_MODULES = ("loop", "dm-mod", "dm-log-writes", "crc32_generic", "f2fs")
# Each program that the guest finds here, and the package of Debian that has it.
_PROGRAMS = {
    "busybox": "busybox-static",
    "dmsetup": "dmsetup",
    "mkfs.btrfs": "btrfs-progs",
    "mkfs.ext4": "e2fsprogs",
    "mkfs.f2fs": "f2fs-tools",
    "mkfs.xfs": "xfsprogs",
}
# A page that a program gets or gives back is dear there: it is to keep what it has.
_KEEP = "PYTHONMALLOC=malloc MALLOC_MMAP_THRESHOLD_=1000000000 MALLOC_TRIM_THRESHOLD_=2000000000"
_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"
_INIT = """#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sys /sys
mount -t tmpfs -o size=700m,mode=755 run /run
for module in {modules}; do busybox insmod $module; done
cd {checkout}
{command}
echo "exit $?"
busybox poweroff -f
"""


def missing() -> str | None:
    """What this machine lacks for a guest, in a sentence; None where it has all, or can fetch it."""
    if not sys.platform.startswith("linux") or os.uname().machine != "x86_64":
        return "User Mode Linux runs on Linux with x86_64 only"
    lacking = sorted(package for program, package in _PROGRAMS.items() if not shutil.which(program, path=_PATH))
    if lacking:
        return f"programs are missing that Debian has: apt-get install --no-install-recommends {' '.join(lacking)}"
    if not (_kernel().exists() or shutil.which("apt-get")):
        return f"{PACKAGE} is a package of Debian, and there is no apt-get to fetch it"
    return None


def _kernel() -> Path:
    return ROOM / "usr/bin/linux.uml"


def fetch() -> None:
    """Have the kernel, unpacked and not installed. Raises CalledProcessError where it cannot be fetched."""
    if not _kernel().exists():
        ROOM.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "download", "--quiet=2", PACKAGE], cwd=ROOM, check=True)
        for package in ROOM.glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", package, ROOM], check=True)
            package.unlink()


def version() -> str:
    """What `uname -r` says in the guest."""
    return next(ROOM.glob("usr/lib/uml/modules/*")).name


def answers(questions: Iterable[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
    """What `inside.py` answers, one after the other. Raises RuntimeError where it fails."""
    asked = [json.dumps(question) for question in questions]
    _write_init(shlex.join([sys.executable, "-m", "tests.spool.replay.inside", *asked]))
    said: list[str] = []
    with subprocess.Popen(_command(), stdout=subprocess.PIPE, text=True) as guest:
        assert guest.stdout is not None
        for line in map(str.rstrip, guest.stdout):
            said.append(line)
            if line.startswith("{"):
                yield json.loads(line)
    if "exit 0" not in said:
        raise RuntimeError("the guest failed: " + "\n".join(line for line in said if not line.startswith("{")))


def _write_init(command: str) -> None:
    modules = [shlex.quote(str(path)) for name in _MODULES for path in ROOM.rglob(f"{name}.ko")]
    environment = f"env -i PATH={_PATH} DM_DISABLE_UDEV=1 PYTHONDONTWRITEBYTECODE=1 {_KEEP}"
    init = ROOM / "init"
    init.write_text(
        _INIT.format(modules=" ".join(modules), checkout=shlex.quote(str(CHECKOUT)), command=f"{environment} {command}")
    )
    init.chmod(0o755)


def _command() -> list[str]:
    kernel = [f"mem={MEMORY}", "root=/dev/root", "rootfstype=hostfs", "rootflags=/", "ro", f"init={ROOM / 'init'}"]
    return [str(_kernel()), *kernel, "con=null", "con0=null,fd:1", "ssl=null", "quiet", "loglevel=1"]
