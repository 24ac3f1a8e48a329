"""The heads of artifacts, which several ask for within moments: a scan for the priority that one states, the page for its words."""

import os
from typing import BinaryIO

import tiffsd

MOST_KNOWN = 256
LONGEST_KNOWN = 2**14  # characters of one: whoever drops many long ones must not fill the memory

Version = tuple[int, int, int, int]  # device, inode, mtime_ns, size: what a move leaves as it is


class Heads:
    """The headers of the latest artifacts that were read, but for very long ones. Both methods raise what `tiffsd.inspect` does."""

    def __init__(self) -> None:
        self._known: dict[Version, tiffsd.Header] = {}

    def read(self, file: BinaryIO, name: str) -> tiffsd.Header:
        """The header of an open file, as it is now."""
        version = _version(file)  # before it is read: a writer may still have it open
        header = tiffsd.inspect(file, name=name)
        if len(repr(header)) <= LONGEST_KNOWN:
            self._known[version] = header
        if len(self._known) > MOST_KNOWN:
            del self._known[next(iter(self._known))]
        return header

    def read_once(self, file: BinaryIO, name: str) -> tiffsd.Header:
        """The header of an open file, as it was read when the file was like that."""
        return self._known.get(_version(file)) or self.read(file, name)


def _version(file: BinaryIO) -> Version:
    found = os.fstat(file.fileno())
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size
