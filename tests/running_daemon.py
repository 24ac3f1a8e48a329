"""A real daemon process on a spool of its own, for the tests that need one."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml

from tests.conftest import THREADS, wait_until

# Short settle times, so that tests wait for work and not for caution; a number of threads, so that sums are made in one order.
CONFIG = {
    "watch": {
        "rescan_seconds": 1.0,
        "settle_seconds": 0.05,
        "settle_unleased_seconds": 0.2,
        "empty_grace_seconds": 0.3,
        "empty_grace_unleased_seconds": 0.3,
    },
    "compute": {"threads": THREADS},
    "defaults": {"steps": 4},
}


class RunningDaemon:
    """`start`, drop files, look into folders, `stop` or `kill`.

    `words` is what Python runs, `before` are words before that command, `surroundings` is its environment beside ours.
    """

    before: Sequence[str] = ()
    words: Sequence[str] = ("-m", "daemon", "run")
    surroundings: Mapping[str, str] = {}

    def __init__(self, folder: Path, **changes: object) -> None:
        self.folder = folder
        self.config = folder / "config.yaml"
        merged = {key: {**CONFIG.get(key, {}), **value} if isinstance(value, dict) else value for key, value in changes.items()}
        self.config.write_text(yaml.safe_dump({**CONFIG, **merged}), encoding="utf-8")
        self.spool = folder / "spool"
        self.process: subprocess.Popen[bytes] | None = None
        self.command("init", str(folder), "")

    def command(
        self, *words: str, check: bool = True, environment: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run `tiffsd WORDS` and wait for it; `environment` is what it has beside ours."""
        return subprocess.run(
            [sys.executable, "-m", "daemon", *filter(None, words)],
            cwd=self.folder,
            env={**os.environ, **(environment or {})},
            capture_output=True,
            text=True,
            check=check,
            timeout=100,
        )

    def start(self, *options: str) -> int:
        """Start the daemon, wait until it watches; its process id."""
        with (self.folder / "log.txt").open("ab") as log:
            self.process = subprocess.Popen(
                [*self.before, sys.executable, *self.words, *options],
                cwd=self.folder,
                env={**os.environ, **self.surroundings},
                stderr=log,
                stdout=log,
            )
        wait_until(self.is_watching, what="the daemon is watching")
        return self.process.pid

    def is_watching(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, self.log()
        status = self.spool / "status.json"
        return status.exists() and '"alive": true' in status.read_text()

    def stop(self) -> int:
        """Ask it to stop as systemd does; its exit code."""
        assert self.process is not None
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)

    def kill(self) -> None:
        assert self.process is not None
        self.process.kill()
        self.process.wait(timeout=60)
        # A killed daemon leaves its last word; the next one's must not be taken for it.
        (self.spool / "status.json").unlink(missing_ok=True)

    def log(self) -> str:
        """The log, without the time of each line."""
        return without_times((self.folder / "log.txt").read_text(encoding="utf-8", errors="replace"))

    def drop(self, place: str, name: str, content: str | bytes) -> Path:
        """Put a file into a folder of the spool as careful programs do: whole, by a rename."""
        data = content.encode() if isinstance(content, str) else content
        part = self.spool.parent / ".drop.part"
        part.write_bytes(data)
        path = self.spool / place / name
        part.rename(path)
        return path

    def found(self, pattern: str, *, count: int = 1, seconds: float = 90.0) -> list[Path]:
        """Wait until `count` files match `pattern` below the spool, and return them."""

        def look() -> list[Path]:
            if self.process is not None:
                assert self.process.poll() is None, self.log()
            found = sorted(self.spool.glob(pattern))
            return found if len(found) >= count else []

        try:
            result: list[Path] = wait_until(look, seconds=seconds, what=f"{count} of {pattern}")
        except AssertionError as error:
            raise AssertionError(f"{error}\n{self.log()}\n{self.tree()}") from None
        return result

    def tree(self) -> str:
        return "\n".join(sorted(str(path.relative_to(self.spool)) for path in self.spool.rglob("*") if path.is_file()))

    def workers(self) -> list[int]:
        """The process ids of the daemon's children that compute."""
        assert self.process is not None
        tasks = Path(f"/proc/{self.process.pid}/task").glob("*/children")
        children = [child for task in tasks for child in task.read_text().split()]
        return [int(child) for child in children if _maps_torch(child)]

    def close(self) -> None:
        if self.process is not None and self.process.poll() is None:
            self.process.kill()
            self.process.wait(timeout=60)


def without_times(log: str) -> str:
    """A log that journald does not keep, as that would show it."""
    return re.sub(r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d (?=\S)", "", log, flags=re.MULTILINE)


def _maps_torch(pid: str) -> bool:
    try:
        return "libtorch" in Path(f"/proc/{pid}/maps").read_text()
    except OSError:
        return False
