"""The configuration in force, and what has become of the last reload.

A file that cannot be read changes nothing: the old configuration stays in force, and a complaint says so until it is mended. Some
keys count from the next start on only, and the log names those of them that a reload has changed.
"""

import logging
import time
from operator import attrgetter
from pathlib import Path

from daemon.errors import ConfigError, MachineError, in_words
from daemon.service.config_news import ConfigNews
from daemon.service.status import notify
from daemon.settings.config import Config
from daemon.settings.permissions import read_trusted_again
from daemon.stages import STAGES

NEEDS_RESTART = (
    "spool",
    "durability",
    *(
        f"watch.{key}"
        for key in ("settle_seconds", "settle_unleased_seconds", "empty_grace_seconds", "empty_grace_unleased_seconds")
    ),
    "watch.pair_patience_hours",
    *(
        f"compute.{key}"
        for key in (
            *("device", "engine", "workers", "ssh_config", "ssh_command", "ray_address", "ray_config"),
            *("threads", "batch", "idle_seconds", "memory_gb", "ahead"),
        )
    ),
)

log = logging.getLogger(__name__)


class ConfigInForce:
    """The configuration in force, as `config`, and the file that it is read from again; None where there is none."""

    def __init__(self, config: Config, path: Path | None) -> None:
        self.config = config
        self._path = path
        self._complaint: tuple[str, ...] = ()
        self._news = ConfigNews(path, config)
        self.look = self._news.look

    def read_again(self) -> bool:
        """Put what the file says now in force, where it can be read; whether there is a file."""
        if self._path is None:
            return False
        notify(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")
        try:
            before, self.config = self.config, read_trusted_again(self._path)
        except (ConfigError, MachineError, OSError) as error:
            self._complaint = (f"configuration not reloaded, the old one stays in force: {in_words(error)}",)
            log.error("%s", *self._complaint)
            self._news.was_tried()
        else:
            self._complaint = ()
            self._news.was_read(self.config)
            late = _late(before, self.config)
            log.info(
                "configuration reloaded from %s%s",
                self._path,
                f"; {', '.join(late)} will change at the next start" if late else "",
            )
        notify("READY=1")
        return True

    def complaints(self) -> tuple[str, ...]:
        """What people should see to."""
        return (*self._complaint, *self._news.complaints())


def _late(before: Config, after: Config) -> list[str]:
    """The keys that were changed and count from the next start on only."""
    late = [name for name in NEEDS_RESTART if attrgetter(name)(before) != attrgetter(name)(after)]
    own = [name for name in STAGES if before.options(name).settle_seconds != after.options(name).settle_seconds]
    return late + [f"stages.{name}.settle_seconds" for name in own]
