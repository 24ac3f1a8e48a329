"""A daemon that dies: the real filesystem, until one of the calls that are made to it."""

from pathlib import Path
from typing import Any

from daemon.spool.filesystem import Filesystem
from tests.spool.disk import NOON

OPERATIONS = {name for name in vars(Filesystem) if not name.startswith("_")} - {"now", "boot", "new_id", "is_being_written"}


class Crash(BaseException):
    """The end of the process."""


class Mortal(Filesystem):
    """The real system, until call `end`; what was told to the kernel before that stays."""

    def __init__(self, root: Path, end: int) -> None:
        super().__init__(root)
        self.calls = 0
        self._end = end

    def now(self) -> Any:
        return NOON

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return self._counted(value) if name in OPERATIONS else value

    def _counted(self, operation: Any) -> Any:
        def call(*args: Any) -> Any:
            self.calls += 1
            if self.calls >= self._end:
                raise Crash
            return operation(*args)

        return call
