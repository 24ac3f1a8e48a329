"""The command that computes for a daemon on another machine, which starts it over ssh and speaks to its stdin and stdout."""

import os
import sys
from pathlib import Path

import click

from daemon.commands import config_option, config_path
from daemon.errors import ConfigError

STDIN, STDOUT, STDERR = 0, 1, 2


@click.command()
@click.option("--receive", is_flag=True, help="Take models that the daemon sends, as far as `fetch_gb` under `compute` allows it.")
@config_option
def worker(receive: bool, config: Path | None) -> None:
    """Compute for a daemon on another machine, which starts this over ssh.

    Models, device and memory are those of the configuration here. It ends with the connection.

    Example: tiffsd worker, which a daemon runs as `ssh gpu-box tiffsd worker`
    """
    if sys.stdin.isatty():
        raise click.UsageError("a daemon starts this over ssh: name this machine in `workers` under `compute` of its config.yaml")
    # Whatever prints, a library say, prints to stderr: where stdout was, nothing but messages may go.
    out = os.dup(STDOUT)
    os.dup2(STDERR, STDOUT)
    from daemon.service.node import serve_daemon, take_from_daemon
    from daemon.settings.permissions import read_trusted

    try:
        serving = take_from_daemon if receive else serve_daemon
        serving(read_trusted(config_path(config)), read_fd=os.dup(STDIN), write_fd=out)
    except ConnectionError as error:
        raise ConfigError(f"what speaks to this worker is no daemon that it understands: {error}") from error
