"""Whether a configuration may be believed: it names commands, models and folders, so it must not be anybody's to write."""

import os
import stat
from pathlib import Path

from daemon.errors import ConfigError
from daemon.machine import sorted_out
from daemon.settings.config import Config, read_config
from daemon.settings.plain_yaml import read_yaml


def read_trusted(path: Path) -> Config:
    """The configuration for a daemon. Raises ConfigError, also where root or a service would obey what anybody may write.

    MachineError where the machine is at fault that it cannot be read.
    """
    config = read_config(path)
    if os.geteuid() == 0 or "NOTIFY_SOCKET" in os.environ:
        real = path.resolve()
        for place in (real, *real.parents):
            _refuse_open_to_everyone(place, path)
        if config.spool_folder in real.parents:
            raise ConfigError(
                f"{path} lies in the spool, where everybody who drops files could change it; move it out of {config.spool_folder}"
            )
    return config


def read_trusted_again(path: Path) -> Config:
    """The configuration for a daemon that has one already. Raises ConfigError, also where nothing stands in it.

    An editor that saves empties a file first, and with no settings all review gates would be open for that moment.
    """
    config = read_trusted(path)
    if not read_yaml(path):
        raise ConfigError(f"{path} has no settings in it; save it, then reload again, or restart where that is meant")
    return config


def _refuse_open_to_everyone(place: Path, config: Path) -> None:
    try:
        with sorted_out(f"{place} cannot be looked at", place):
            mode = place.stat().st_mode
    except OSError as error:
        raise ConfigError(f"{config}: {place} cannot be looked at ({error.strerror}); run the daemon as a user who may") from error
    # In a folder with the sticky bit, such as /tmp, nobody can replace what is another's.
    if mode & stat.S_IWOTH and not (stat.S_ISDIR(mode) and mode & stat.S_ISVTX):
        raise ConfigError(f"{config}: everybody can write to {place}, and the daemon would obey them; run `chmod o-w {place}`")
