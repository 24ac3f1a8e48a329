"""The command that looks at config.yaml, as a daemon would at its start, and says all that is wrong with it."""

from pathlib import Path

import click

from daemon.commands import config_option, config_path, say

ADVISED, FAULTY = 1, 2  # exit codes: it starts, and jobs that need what is missing fail; it does not start


@click.command("check-config")
@config_option
def check_config(config: Path | None) -> None:
    """Say what is wrong with config.yaml, line by line: what is no key or no value, and what is named and not there.

    Exit codes: 0 nothing; 1 a daemon starts, but what is named is not there; 2 no daemon starts with it.

    Example: tiffsd check-config
    """
    from daemon.settings.advice import told
    from daemon.settings.config import examined
    from daemon.settings.permissions import read_trusted

    path = config_path(config)
    found, faults = examined(path)
    for sentence in faults:
        say(f"{path}: {sentence}")
    if found is None:
        raise click.exceptions.Exit(FAULTY)
    sentences = told(path, read_trusted(path))
    for sentence in sentences:
        say(f"{path}: {sentence}")
    if sentences:
        raise click.exceptions.Exit(ADVISED)
    say(f"{path}: nothing is wrong with it")
