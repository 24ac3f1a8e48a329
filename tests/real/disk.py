"""A small disk of one's own to fill: a tmpfs, mounted by root and gone with the test."""

import os
import subprocess
from contextlib import suppress
from pathlib import Path

from tests.outside import outside

PAGE_BYTES = 4096


class SmallDisk:
    """A tmpfs of `megabytes` and at most `inodes` files at `place`; a context manager."""

    def __init__(self, place: Path, *, megabytes: int, inodes: int = 20_000) -> None:
        self.place = place
        self._options = f"size={megabytes}m,nr_inodes={inodes},mode=755"
        self._ballast = place / ".ballast"

    def __enter__(self) -> "SmallDisk":
        self.place.mkdir(exist_ok=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", self._options, "tiffsd-test", str(self.place)], env=outside(), check=True)
        return self

    def __exit__(self, *_: object) -> None:
        subprocess.run(["umount", "--lazy", str(self.place)], env=outside(), check=True)

    def fill(self, *, pages_left: int) -> None:
        """Leave room for so many pages only."""
        with self._ballast.open("ab", buffering=0) as file, suppress(OSError):
            while True:
                file.write(bytes(PAGE_BYTES))
        os.truncate(self._ballast, max(0, self._ballast.stat().st_size // PAGE_BYTES - pages_left) * PAGE_BYTES)

    def use_up_names(self, *, left: int) -> None:
        """Leave so many free inodes only."""
        hoard = self.place / ".hoard"
        hoard.mkdir(exist_ok=True)
        for number in range(os.statvfs(self.place).f_ffree - left):
            (hoard / str(number)).touch()

    def free(self) -> None:
        """Give all room back."""
        self._ballast.unlink(missing_ok=True)
        hoard = self.place / ".hoard"
        for path in hoard.glob("*"):
            path.unlink()
