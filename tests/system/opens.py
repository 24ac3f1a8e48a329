"""Who opens the files of a folder: the kernel tells by fanotify, whatever the path and in whichever container."""

import ctypes
import os
import struct
from pathlib import Path
from typing import Self

FAN_CLOEXEC, FAN_NONBLOCK, FAN_UNLIMITED_QUEUE = 0x1, 0x2, 0x10
FAN_MARK_ADD = 0x1
FAN_ACCESS, FAN_MODIFY, FAN_OPEN, FAN_EVENT_ON_CHILD, FAN_ONDIR = 0x1, 0x2, 0x20, 0x08000000, 0x40000000
WATCHED = FAN_ACCESS | FAN_MODIFY | FAN_OPEN | FAN_EVENT_ON_CHILD | FAN_ONDIR
NAMES = {FAN_OPEN: "opened", FAN_ACCESS: "read", FAN_MODIFY: "written"}
EVENT = struct.Struct("=IBBHQii")  # length, version, reserved, length of this part, mask, descriptor, process
BUFFER_BYTES = 1 << 16
LIBC = ctypes.CDLL(None, use_errno=True)


class Opens:
    """What is done to a folder and all below it, from when it is made until it is closed, but by this process."""

    def __init__(self, folder: Path) -> None:
        self._fd = self._called("fanotify_init", FAN_CLOEXEC | FAN_NONBLOCK | FAN_UNLIMITED_QUEUE, os.O_RDONLY | os.O_CLOEXEC)
        self._seen: list[str] = []
        for place in (folder, *(path for path in folder.rglob("*") if path.is_dir())):
            mask = ctypes.c_uint64(WATCHED)
            self._called("fanotify_mark", self._fd, FAN_MARK_ADD, mask, -1, ctypes.c_char_p(os.fsencode(place)))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def by_others(self) -> list[str]:
        """All of it so far: what, where, and by which process."""
        while events := self._read():
            while events:
                length, _, _, _, mask, fd, process = EVENT.unpack_from(events)
                events = events[length:]
                place = Path(f"/proc/self/fd/{fd}").readlink()
                os.close(fd)
                if process != os.getpid():
                    what = " and ".join(name for bit, name in NAMES.items() if mask & bit)
                    self._seen.append(f"{place} was {what} by {_name(process)}")
        return self._seen

    def _read(self) -> bytes:
        try:
            return os.read(self._fd, BUFFER_BYTES)
        except BlockingIOError:
            return b""

    @staticmethod
    def _called(name: str, *arguments: object) -> int:
        result: int = getattr(LIBC, name)(*arguments)
        if result == -1:
            raise OSError(ctypes.get_errno(), f"{name}: {os.strerror(ctypes.get_errno())}")
        return result


def _name(process: int) -> str:
    try:
        return Path(f"/proc/{process}/comm").read_text().strip()
    except OSError:
        return f"process {process}, which has ended"
