"""Who puts a spool back in order: every folder under its name, with what has come under that name; links and FIFOs are deleted."""

from dataclasses import dataclass
from pathlib import Path

from daemon.spool.spool import Spool
from tests.spool.acts import TILDE
from tests.spool.disk import ROOT, ROOT_USER, TOP, Contents, Disk
from tests.spool.stories import FOLDERS

ASIDE = ROOT / "aside"


@dataclass
class Order:
    """Where everything was when somebody disturbed it: the folders, what lay in them, the files that waited."""

    folders: dict[str, int]
    names: dict[int, set[str]]
    waiting: dict[str, int]

    @classmethod
    def of(cls, contents: Contents) -> "Order":
        paths = {path: inode for path, inode in contents.walk() if not path.startswith((".work/", ".trash/"))}
        folders = {path: inode for path, inode in paths.items() if inode in contents.folders}
        waiting = {path: inode for path, inode in paths.items() if path.startswith(("inbox/", "hold/")) and inode in contents.files}
        return cls(folders, {inode: set(contents.folders[inode]) for inode in folders.values()}, waiting)

    def moved(self, contents: Contents) -> set[bytes]:
        """What the files hold that waited, and do not lie in their folders any more, wherever those are now."""
        return {contents.files[inode] for path, inode in self.waiting.items() if not self._is_there(contents, path, inode)}

    def out_of_sight(self, contents: Contents) -> set[bytes]:
        """What the files hold that waited, and are not at their paths any more."""
        return {contents.files[inode] for path, inode in self.waiting.items() if _inode_at(contents, path) != inode}

    def _is_there(self, contents: Contents, path: str, inode: int) -> bool:
        folder, _, name = path.rpartition("/")
        return contents.folders[self.folders[folder]].get(name) == inode

    def restore(self, disk: Disk) -> None:
        """Put everything back."""
        with disk.by(ROOT_USER):
            disk.mkdir(ASIDE)
            for number, path in enumerate(self.folders):
                self._set_aside(disk, ASIDE / str(number), path)
            for path, inode in self.folders.items():
                _put_back(disk, path, inode)
            Spool(ROOT, FOLDERS, fs=disk).create()  # `systemd-tmpfiles --create`: empty ones may have gone as trash
            for number, path in enumerate(self.folders):
                for came in (ASIDE / str(number), ROOT / f"{path}{TILDE}"):
                    _sort_in(disk, came, ROOT / path)
            disk.rmdir(ASIDE)
            for path, inode in list(disk.contents.walk()):
                if inode in disk.contents.links or inode in disk.contents.fifos:
                    disk.unlink(ROOT / path)
            for path, inode in self.waiting.items():
                if _inode_at(disk.contents, f"{path}{TILDE}") == inode:
                    disk.rename_noreplace(ROOT / f"{path}{TILDE}", ROOT / path)

    def _set_aside(self, disk: Disk, aside: Path, path: str) -> None:
        """What came into another folder under this one's name belongs here, and not to that folder."""
        now = _inode_at(disk.contents, path)
        if now is None or now == self.folders[path] or now not in disk.contents.folders:
            return
        disk.mkdir(aside)
        for name in set(disk.list(ROOT / path)) - self.names.get(now, set()):
            disk.rename(ROOT / path / name, aside / name)


def _put_back(disk: Disk, path: str, inode: int) -> None:
    now = _inode_at(disk.contents, path)
    if now == inode:
        return
    where = next((found for found, other in disk.contents.walk() if other == inode), None)
    if where is None:
        return  # the daemon has deleted it, as its way is with a failed job that was tried again
    if now is None:
        disk.rename(ROOT / where, ROOT / path)
    else:
        disk.exchange(ROOT / where, ROOT / path)


def _sort_in(disk: Disk, source: Path, target: Path) -> None:
    if _inode_at(disk.contents, str(source.relative_to(ROOT))) not in disk.contents.folders:
        return
    for name in disk.list(source):
        if name in disk.list(target):
            _sort_in(disk, source / name, target / name)
        else:
            disk.rename(source / name, target / name)
    disk.rmdir(source)


def _inode_at(contents: Contents, path: str) -> int | None:
    inode: int | None = TOP
    for part in path.split("/"):
        inode = contents.folders.get(inode, {}).get(part) if inode is not None else None
    return inode
