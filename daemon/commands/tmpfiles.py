"""The command that prints how systemd-tmpfiles sets up a spool that a group shares."""

import click

from daemon.setup.spool_lines import spool_lines


@click.command()
@click.argument("folder", default="/var/lib/tiffsd")
@click.option("--user", default="tiffsd", show_default=True, help="Who runs the daemon.")
@click.option("--group", default="tiffsd", show_default=True, help="That of the daemon, whose members drop, edit and move files.")
def tmpfiles(folder: str, user: str, group: str) -> None:
    """Print how systemd-tmpfiles makes the folders of a spool that a group shares, for /etc/tmpfiles.d.

    FOLDER is the spool.

    Example: tiffsd tmpfiles /data/tiffsd | sudo tee /etc/tmpfiles.d/tiffsd-data.conf && sudo systemd-tmpfiles --create
    """
    click.echo(spool_lines(folder, user=user, group=group), nl=False)
