"""The command that copies a spool, whatever goes on in it."""

import os
import stat
from pathlib import Path

import click

from daemon.commands import PATH, config_option, config_path, say, spool_root
from daemon.errors import DaemonError
from daemon.jobs import acts

CONFIGURATION = "config-of-then.yaml"


@click.command()
@click.argument("destination", type=PATH)
@click.option("--pictures", is_flag=True, help="The finished pictures, too.")
@config_option
def backup(destination: Path, pictures: bool, config: Path | None) -> None:
    """Copy the spool as it is at one moment, while a daemon works in it or not: a daemon goes on with it as after a crash.

    DESTINATION is a new folder, in which come spool/ and the configuration; docs/backup.md has the way back.

    Example: tiffsd backup /srv/backup/tiffsd-today
    """
    path, copy = config_path(config), destination / CONFIGURATION
    if os.path.lexists(copy):
        raise DaemonError(f"{copy}: there is something already, and nothing is overwritten; name a new folder")
    for sentence in acts.back_up(spool_root(config), destination / "spool", pictures=pictures):
        say(sentence)
    # Never through a link, and for nobody who may not read the original.
    with path.open("rb") as file, open(copy, "xb", opener=lambda name, flags: os.open(name, flags, 0o600)) as kept:
        kept.write(file.read())
        os.fchmod(kept.fileno(), stat.S_IMODE(os.fstat(file.fileno()).st_mode))
