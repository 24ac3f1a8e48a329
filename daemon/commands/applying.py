"""The command that asks for the paint on a proof to be taken now, while the latents go on waiting."""

from pathlib import Path

import click

from daemon.commands import config_option, say, spool_root
from daemon.commands.completing import HELD
from daemon.commands.control import located
from daemon.jobs import acts
from daemon.layout import HOLD


@click.command()
@click.argument("names", nargs=-1, required=True, shell_complete=HELD)
@config_option
def apply(names: tuple[str, ...], config: Path | None) -> None:
    """Take what was painted on the proofs of files that wait on hold: new latents and a new proof wait there instead.

    NAMES are files in hold/, or names of them. An empty file NAME.apply beside one asks for the same.

    Example: tiffsd apply cat.3f9a1c2e.tiff
    """
    root = spool_root(config)
    for name in names:
        say(acts.apply(root, located(Path(name), root / HOLD)))
