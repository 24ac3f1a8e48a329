"""The log of dm-log-writes: every write to a disk, in the order in which they came to its medium, and our marks among them.

A write stands before the first flush that came when it was over, and so may be lost by a cut that comes before that flush. One
with FUA is on the medium when it is over. The form is that of Documentation/admin-guide/device-mapper/log-writes.rst.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR = 512  # bytes
_MAGIC, _VERSION = 0x6A736677736872, 1
_SUPER = struct.Struct("<QQQI")  # magic, version, entries, bytes of a sector
_ENTRY = struct.Struct("<QQQQ")  # sector, sectors, flags, bytes of a mark
_END = "dm-log-writes-end"  # the mark that the kernel makes itself
_FLUSH, _FUA, _DISCARD, _MARK = 1, 2, 4, 8


@dataclass(frozen=True)
class Entry:
    """One write: `flush` says that all before it are on the medium, `fua` that it is itself, a `mark` that we were there."""

    sector: int
    content: bytes
    flush: bool = False
    fua: bool = False
    mark: str | None = None


def read(path: Path) -> Iterator[Entry]:
    """All entries, in their order. Raises ValueError where it is no such log."""
    with path.open("rb") as file:
        magic, version, entries, sector_bytes = _SUPER.unpack(file.read(_SUPER.size))
        if (magic, version, sector_bytes) != (_MAGIC, _VERSION, SECTOR):
            raise ValueError(f"{path} is no log of dm-log-writes with sectors of {SECTOR} bytes")
        file.seek(SECTOR)
        for _ in range(entries):
            head = file.read(SECTOR)
            sector, sectors, flags, length = _ENTRY.unpack_from(head)
            mark = head[_ENTRY.size : _ENTRY.size + length].rstrip(b"\0").decode() if flags & _MARK else None
            if mark == _END:
                return
            content = bytes(sectors * SECTOR) if flags & _DISCARD else file.read(sectors * SECTOR)
            yield Entry(sector, content, flush=bool(flags & _FLUSH), fua=bool(flags & _FUA), mark=mark)
