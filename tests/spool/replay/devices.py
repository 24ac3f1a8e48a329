"""Disks of a guest: files in its memory behind loop devices, mounted, and recorded by dm-log-writes."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.spool.replay.kinds import Kind

ROOM = Path("/run")
LOG_MIB = 256
_libc = ctypes.CDLL(None, use_errno=True)


def made(name: str, mib: int) -> Path:
    """An empty file of this size."""
    path = ROOM / name
    path.unlink(missing_ok=True)
    path.touch()
    os.truncate(path, mib << 20)
    return path


@contextmanager
def loop(file: Path) -> Iterator[str]:
    """The block device that is this file."""
    device = said("losetup", "--find", "--show", str(file))
    try:
        yield device
    finally:
        said("losetup", "--detach", device)


@contextmanager
def logged(device: str, log: str) -> Iterator[str]:
    """The block device that is this one, with all that is written to it noted on another."""
    sectors = said("blockdev", "--getsz", device)
    said("dmsetup", "create", "logged", "--table", f"0 {sectors} log-writes {device} {log}")
    try:
        yield "/dev/mapper/logged"
    finally:
        said("dmsetup", "remove", "logged")


def mark(text: str) -> None:
    """Say in the log that all that came before is over."""
    said("dmsetup", "message", "logged", "0", "mark", text)


@contextmanager
def mounted(device: str, kind: Kind) -> Iterator[Path]:
    """Where a block device is mounted."""
    place = ROOM / "disk"
    place.mkdir(exist_ok=True)
    options = kind.options.encode() or None
    mount = _libc.mount(device.encode(), os.fsencode(place), kind.type.encode(), 0, options)
    _check(mount, f"{device} cannot be mounted as {kind.type}")
    try:
        yield place
    finally:
        _check(_libc.umount2(os.fsencode(place), 0), f"{place} cannot be unmounted")


def _check(result: int, what: str) -> None:
    if result:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def said(*command: str) -> str:
    """What a program says; CalledProcessError where it fails."""
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()
