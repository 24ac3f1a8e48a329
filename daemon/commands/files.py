"""What the daemon adds to the commands on files (`tiffsd/commands.py`): the settings there are, and what would become of a file."""

from pathlib import Path
from typing import Any

import click

from daemon.commands import USUAL_CONFIGS
from daemon.settings.resources import resource


class Knowledge:
    """Handed to those commands as their context's `obj`."""

    def checked(self, settings: dict[str, Any], where: str) -> dict[str, Any]:
        """Settings as the vocabulary has them. Raises InputError."""
        from daemon.settings.checking import checked

        return checked(settings, where).given()

    def explain(self, path: Path) -> list[str]:
        """What the daemon would do with a file, by the usual configuration, else by the one that the program brings."""
        from daemon.jobs.explain import explain
        from daemon.settings.config import read_config

        return explain(path, read_config(next((path for path in USUAL_CONFIGS if path.is_file()), resource("config.yaml"))))


@click.pass_context
def hand_over(context: click.Context) -> None:
    """Let the commands on files know what the daemon knows."""
    context.obj = Knowledge()
