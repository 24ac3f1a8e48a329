"""The way to a folder below a root in which others may write, walked without following what they have put there.

Whoever may write in a folder may rename what lies in it, and put a link in its place between any two calls of ours. So a folder
below the root is not named by a path, but walked to from the root, one component after the other: none may be a link, none may lie
on another device, and one that is the daemon's own is nobody else's. The root itself is the administrator's: it may be a link, and
so may the folders above it.

Most walks are shorter, by two means that only ever come to where the walk would come: whatever they refuse is walked, to do it or
to say why not. Where the kernel has `openat2` (Linux 5.6), it goes all of the way in one call that refuses links. And whoever has
the spool locked may keep the folders directly below the root open: one look tells whether a name still leads to the same folder,
since the number of a folder is nobody else's as long as it is open. They are closed when nobody keeps or uses them any more.
"""

import ctypes
import errno
import os
import stat
import struct
import weakref
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from daemon import lease
from daemon.layout import PRIVATE

FOLDER = os.O_DIRECTORY | os.O_CLOEXEC
_OTHERS_WRITE = stat.S_IWGRP | stat.S_IWOTH
_OPENAT2, _RESOLVE = 437, 0x01 | 0x02 | 0x04 | 0x08  # no mount, no link of /proc, no link at all, and not above where it begins
_HOW = {FOLDER | flags: struct.pack("=QQQ", FOLDER | flags, 0, _RESOLVE) for flags in (os.O_PATH, os.O_RDONLY)}
_HOW_BYTES = 24
_SYSCALL = ctypes.CDLL(None).syscall
_SYSCALL.argtypes = (ctypes.c_long, ctypes.c_int, ctypes.c_char_p, ctypes.c_char_p, ctypes.c_size_t)
_SYSCALL.restype = ctypes.c_long


class FolderMissing(FileNotFoundError):
    """A folder on the way is missing: of what lay in it nobody can tell whether it is gone, since the folder may come back."""


class Entrance:
    """A folder directly below a root, open as long as this object lives."""

    __slots__ = ("descriptor", "device", "has_subvolumes", "mark")

    def __init__(self, descriptor: int, found: os.stat_result) -> None:
        self.descriptor, self.device, self.mark = descriptor, found.st_dev, _mark_of(found)
        self.has_subvolumes = lease.has_subvolumes(found.st_dev)

    def __del__(self) -> None:
        os.close(self.descriptor)


class Kept:
    """The entrances of a root that are kept open, by name, as long as this object lives."""

    def __init__(self, root: Path) -> None:
        self.entrances: dict[str, Entrance] = {}
        _KEPT[os.fspath(root)] = weakref.ref(self)


_KEPT: dict[str, "weakref.ref[Kept]"] = {}


class Reached:
    """A folder that was walked to: a context whose value is its descriptor."""

    __slots__ = ("_descriptor", "_entrance")

    def __init__(self, descriptor: int, entrance: Entrance | None = None) -> None:
        self._descriptor, self._entrance = descriptor, entrance  # whose descriptor it is: not ours to close

    def __enter__(self) -> int:
        return self._descriptor

    def __exit__(self, *_: object) -> None:
        if self._entrance is None:
            os.close(self._descriptor)


class Ways:
    """The ways from one root. All methods raise OSError; a path with `..` in it, or not below the root, is a ValueError."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._text = os.fspath(root)
        self.above = "" if self._text == "." else f"{self._text.rstrip('/')}/"

    def let_go(self) -> bool:
        """Walk anew to what was kept open of this root; whether anything was."""
        kept = self._kept()
        if kept is None or not kept.entrances:
            return False
        kept.entrances = {}
        return True

    def to(self, path: Path, flags: int = os.O_PATH) -> Reached:
        """The way to a folder, opened with O_PATH, or with O_RDONLY to list and sync it.

        NotADirectoryError where a component is a link or a file, PermissionError where one that is the daemon's own is somebody
        else's, OSError of EXDEV where one is a mount.
        """
        text = os.fspath(path)
        return self.at(Place("", "", b".") if text == self._text else _place_below(self.above, text), flags)

    def to_parent(self, path: Path) -> tuple[str, Reached]:
        """The last name of a path, and the way to the folder that it lies in."""
        name, place = self.parted(path)
        return name, self.at(place)

    def parted(self, path: Path) -> tuple[str, "Place"]:
        """The last name of a path, and the place of the folder that it lies in."""
        text = os.fspath(path)
        folder, _, name = text.rpartition("/")
        if name == ".." or text == self._text or (text.startswith("/") and not self.above):
            raise ValueError(f"{text} leads out of {self._text}")
        return name, _place_below(self.above, folder)

    def at(self, place: "Place", flags: int = os.O_PATH) -> Reached:
        """The way to a place."""
        if not place.first:
            return Reached(_opened(self._text, flags))
        entrance = self._entrance(place.first)
        if not place.deeper and flags == os.O_PATH:
            return Reached(entrance.descriptor, entrance)
        descriptor = _opened_beneath(entrance, place.in_first, flags)
        return Reached(self._walked(f"{place.first}/{place.deeper}".rstrip("/"), flags) if descriptor is None else descriptor)

    def _kept(self) -> Kept | None:
        kept = _KEPT.get(self._text)
        return kept() if kept else None

    def _entrance(self, first: str) -> Entrance:
        kept = self._kept()
        if kept is None:
            return self._walked_in(first)
        known = kept.entrances.get(first)
        if known is None or not self._is_still(known, first):
            known = kept.entrances[first] = self._walked_in(first)
        return known

    def _is_still(self, known: Entrance, first: str) -> bool:
        """Whether a name directly below the root leads to the folder that is kept of it, as it was when that was looked at."""
        try:
            return _mark_of(os.lstat(self.above + first)) == known.mark
        except OSError:
            return False

    def _walked_in(self, first: str) -> Entrance:
        descriptor = self._walked(first, os.O_PATH)
        entrance = Entrance(descriptor, found := os.fstat(descriptor))
        if first in PRIVATE:
            self._check_private(found, first)  # as it is noted: nobody asks again while it stays so
        return entrance

    def _walked(self, below: str, flags: int) -> int:
        reached, *parts = _opened(self._text, os.O_PATH), *below.split("/")
        path, device = self.above + below, os.fstat(reached).st_dev
        try:
            for depth, part in enumerate(parts, start=1):
                left, reached = reached, stepped(reached, part, flags if depth == len(parts) else os.O_PATH, path)
                os.close(left)
                found = os.fstat(reached)
                check_device(found, device, path)
                if depth == 1 and part in PRIVATE:
                    self._check_private(found, below)
        except BaseException:
            os.close(reached)
            raise
        return reached

    def _check_private(self, found: os.stat_result, below: str) -> None:
        if lease.keeps_owners(found.st_dev):
            check_owner(found, self.root, self.above + below)
            if found.st_mode & _OTHERS_WRITE:
                raise PermissionError(errno.EPERM, "a folder of the daemon's own is open to others", self.above + below)


def _mark_of(found: os.stat_result) -> tuple[int, int, int, int]:
    """Which folder it is, and who may write there."""
    return found.st_dev, found.st_ino, found.st_uid, found.st_mode


def _opened(root: str, flags: int) -> int:
    try:
        return os.open(root, FOLDER | flags)
    except FileNotFoundError as error:
        raise FolderMissing(error.errno, error.strerror, root) from error


class Place(NamedTuple):
    """A folder below a root: the name of the one directly below it, the path from there, and that as the kernel has it."""

    first: str
    deeper: str
    in_first: bytes


@lru_cache(maxsize=1024)
def _place_below(above: str, folder: str) -> Place:
    """The place of a folder, by its path and that of the root with a slash behind it. ValueError where it is not below."""
    below = folder[len(above) :]
    if not f"{folder}/".startswith(above) or below.startswith("/") or ".." in below.split("/"):
        raise ValueError(f"{folder} leads out of {above}")
    first, _, deeper = below.partition("/")
    return Place(first, deeper, os.fsencode(deeper or "."))


def _opened_beneath(entrance: Entrance, below: bytes, flags: int) -> int | None:
    """A descriptor of a folder, in one call that follows no link and enters no mount; None where that cannot be had so."""
    descriptor = _openat2(entrance.descriptor, below, FOLDER | flags)
    if descriptor < 0:
        return None
    # A subvolume is another device, and no mount.
    if not entrance.has_subvolumes or os.fstat(descriptor).st_dev == entrance.device:
        return descriptor
    os.close(descriptor)
    return None


def _openat2(above: int, below: bytes, flags: int) -> int:
    """The system call, with no error told but -1: it only ever is a short cut."""
    return int(_SYSCALL(_OPENAT2, above, below, _HOW[flags], _HOW_BYTES))


def stepped(above: int, part: str, flags: int, path: str) -> int:
    """A descriptor of the folder of a name in another one, which may be no link. FolderMissing where nothing is there."""
    try:
        return os.open(part, FOLDER | os.O_NOFOLLOW | flags, dir_fd=above)
    except OSError as error:
        # A link, by O_NOFOLLOW, is ELOOP or ENOTDIR, as the other flags have it.
        code = errno.ENOTDIR if error.errno == errno.ELOOP else error.errno
        if code == errno.ENOENT:
            raise FolderMissing(code, os.strerror(code), path) from error
        raise OSError(code, os.strerror(code or 0), path) from error


def check_device(found: os.stat_result, device: int, path: str) -> None:
    """OSError of EXDEV where a folder is on another device than the root."""
    if found.st_dev != device:
        raise OSError(errno.EXDEV, "a folder on the way is a mount of its own", path)


def check_owner(found: os.stat_result, root: Path, path: str) -> None:
    """PermissionError where a folder of the daemon's own is neither its user's nor the root's owner's."""
    if found.st_uid != os.geteuid() and found.st_uid != root.stat().st_uid:
        raise PermissionError(errno.EPERM, "a folder of the daemon's own is somebody else's", path)
