"""A copy of the program that a test may change, to run it changed and to count which of its files that took."""

import filecmp
import os
import shutil
import subprocess
import sys
from pathlib import Path

from tests.house import PACKAGES, REPOSITORY


class ProgramCopy:
    """The two packages below `root`; what is not changed costs no room where links can be made."""

    def __init__(self, root: Path) -> None:
        self.root = root
        for package in PACKAGES:
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(REPOSITORY / package, root / package, ignore=ignored, copy_function=_linked)
        shutil.copy(REPOSITORY / "config.yaml", root)  # where no configuration is named, this one is read

    def write(self, path: str, text: str) -> None:
        """Write one file of the program, which may be a new one."""
        place = self.root / path
        place.unlink(missing_ok=True)  # what is linked is the original
        place.write_text(text, encoding="utf-8")

    def replace(self, path: str, words: str, others: str) -> None:
        """Put other words in place of words that stand in a file once."""
        text = (self.root / path).read_text(encoding="utf-8")
        assert text.count(words) == 1, f"{path} has {text.count(words)} times {words!r}"
        self.write(path, text.replace(words, others))

    def touched(self) -> list[str]:
        """The files that are new or other than those of the program."""
        files = (path for package in PACKAGES for path in (self.root / package).rglob("*") if path.is_file())
        ours = sorted(path.relative_to(self.root) for path in files if "__pycache__" not in path.parts)
        return [str(path) for path in ours if not self._is_original(path)]

    def _is_original(self, path: Path) -> bool:
        original = REPOSITORY / path
        return original.is_file() and filecmp.cmp(original, self.root / path, shallow=False)

    def tiffsd(self, *words: str, folder: Path) -> str:
        """Run a command of it in a folder; what it says."""
        done = subprocess.run(
            [sys.executable, "-P", "-m", "daemon", *words],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(self.root)},
            capture_output=True,
            text=True,
            timeout=100,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr


def _linked(source: str, target: str) -> str:
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copy2(source, target)
    return target
