"""The system on which a spool is frozen: what its clock shows and which boot it is are given, and it can end at any call."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from fnmatch import fnmatch
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

from daemon.spool.filesystem import Filesystem

OPERATIONS = {name for name in vars(Filesystem) if not name.startswith("_")} - {"now", "boot", "new_id"}


class Death(BaseException):
    """The end of the daemon's process."""


@dataclass(frozen=True)
class End:
    """The call that is not made any more: the `time`th of this operation whose last path, seen from the spool, is like `place`."""

    operation: str
    place: str
    time: int = 1


NEVER = End("", "", 0)


def seconds_from(start: datetime) -> Iterator[datetime]:
    """A clock that goes on by a second each time it is looked at."""
    return (start + timedelta(seconds=passed) for passed in count())


class Mortal(Filesystem):
    """The real system, until its end; what was told to the kernel before that stays."""

    def __init__(self, root: Path, clock: Iterator[datetime], boot: str, end: End = NEVER) -> None:
        super().__init__(root)
        self._root, self._clock, self._boot, self._end = root, clock, boot, end
        self._met = 0
        self._dead = False

    def now(self) -> datetime:
        return next(self._clock)

    def boot(self) -> str:
        return self._boot

    def __getattribute__(self, name: str) -> Any:
        value = super().__getattribute__(name)
        return partial(self._called, name, value) if name in OPERATIONS else value

    def _called(self, name: str, operation: Callable[..., Any], *args: Any) -> Any:
        places = [argument for argument in args if isinstance(argument, Path) and argument.is_relative_to(self._root)]
        if name == self._end.operation and places and fnmatch(str(places[-1].relative_to(self._root)), self._end.place):
            self._met += 1
            self._dead = self._dead or self._met == self._end.time
        if self._dead:
            raise Death
        return operation(*args)
