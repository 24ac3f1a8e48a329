"""What is to be said of the configuration while the daemon runs: what it names that is not there, and that it has changed since."""

import logging
from contextlib import suppress
from pathlib import Path

from daemon.errors import ConfigError, MachineError
from daemon.settings.advice import told
from daemon.settings.config import Config

log = logging.getLogger(__name__)

Mark = tuple[int, int, int]  # inode, size, time of the last change in nanoseconds


class ConfigNews:
    """The file of a configuration, None where there is none, since it was read."""

    def __init__(self, path: Path | None, config: Config) -> None:
        self._path = path
        self._mark: Mark | None = None
        self._content: bytes | None = None
        self._advice: tuple[str, ...] = ()
        self._has_changed = False
        self.was_read(config)

    def was_read(self, config: Config) -> None:
        """Note how the file is that has just been read, and what it names that is not there."""
        if self._path is None:
            return
        self._note()
        advice: tuple[str, ...] = ()
        with suppress(ConfigError, MachineError):  # who reads it says so
            advice = tuple(f"{self._path}: {sentence}" for sentence in told(self._path, config))
        for sentence in advice:
            if sentence not in self._advice:
                log.warning("%s", sentence)
        self._advice = advice

    def was_tried(self) -> None:
        """Note how the file is that could not be read again, which whoever tried says."""
        self._note()

    def look(self) -> None:
        """See whether the file has changed since; one that was saved as it was has not."""
        mark = self._looked()
        if mark not in (self._mark, None) and self._read() == self._content:
            self._mark = mark
        changed = mark not in (self._mark, None)
        if changed and not self._has_changed:
            log.warning("%s", self._changed())
        self._has_changed = changed

    def complaints(self) -> tuple[str, ...]:
        """What people should see to."""
        return (*self._advice, *[self._changed()] * self._has_changed)

    def _note(self) -> None:
        self._mark, self._content, self._has_changed = self._looked(), self._read(), False

    def _changed(self) -> str:
        how = "reload the service (`systemctl reload tiffsd`), or send the daemon a SIGHUP"
        return f"{self._path} has changed, and what it said before is still in force; to have it read, {how}"

    def _looked(self) -> Mark | None:
        if self._path is not None:
            with suppress(OSError):  # an editor is about to put another in its place
                found = self._path.stat()
                return found.st_ino, found.st_size, found.st_mtime_ns
        return None

    def _read(self) -> bytes | None:
        if self._path is not None:
            with suppress(OSError):
                return self._path.read_bytes()
        return None
