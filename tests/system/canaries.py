"""Files outside of the spool that only the daemon's user may read: who opens, changes or tells them is found out."""

import hashlib
import os
from pathlib import Path

from tests.system.acts import NAMES
from tests.system.installed import SPOOL, Installed
from tests.system.opens import Opens

VICTIM = "/var/lib/victim"
MARKER = "a-secret-that-nobody-else-may-read"


class Canaries:
    """They lie in VICTIM: `files/` as a folder of pictures has them, `in/` as a job has its prompt."""

    def __init__(self, service: Installed) -> None:
        self._service = service
        self._folder = service.box.path(VICTIM)
        self._opens: Opens | None = None

    def put(self) -> None:
        """Make them, all as they should be, and begin to watch."""
        self.take_away()
        for name in (*(f"files/{name}" for name in NAMES), "files/secret", "in/cat.txt"):
            path = self._folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(f"---\nhold: diffuse\n---\n{MARKER} {name}\n")
        self._service.box.sh(f"chown -R tiffsd:tiffsd {VICTIM}; chmod -R go= {VICTIM}")
        self._before, self._cursor = self._state(), self._service.cursor()
        self._opens = Opens(self._folder)

    def take_away(self) -> None:
        if self._opens is not None:
            self._opens.__exit__()
            self._opens = None
        self._service.box.sh(f"find {VICTIM} -mindepth 1 -delete")

    def changes(self) -> list[str]:
        """What was made, changed and deleted in the folder since they were put there."""
        now = self._state()
        names = sorted({*self._before, *now})
        return [f"{name} was {_what(name, self._before, now)}" for name in names if self._before.get(name) != now.get(name)]

    def harm(self) -> list[str]:
        """All that was done to them, and every place in the spool and the log that tells what is in them."""
        assert self._opens is not None
        opened = self._opens.by_others()
        told = self._service.box.sh(f"grep -rlaF {MARKER} {SPOOL} || true").split()
        said = [entry["MESSAGE"] for entry in self._service.journal(after=self._cursor) if MARKER in str(entry["MESSAGE"])]
        return [*opened, *self.changes(), *(f"{path} tells" for path in told), *(f"the log tells: {text}" for text in said)]

    def _state(self) -> dict[str, tuple[str, int, int]]:
        return {str(path.relative_to(self._folder)): _described(path) for path in self._folder.rglob("*")}


def _described(path: Path) -> tuple[str, int, int]:
    st = path.lstat()
    digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else os.fspath(path.name)
    return digest, st.st_mode, st.st_mtime_ns if path.is_file() else 0


def _what(name: str, before: dict[str, tuple[str, int, int]], now: dict[str, tuple[str, int, int]]) -> str:
    return "made" if name not in before else "deleted" if name not in now else "changed"
