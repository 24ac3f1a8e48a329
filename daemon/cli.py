"""The command line: all commands in one place, and the only place that sets an exit code."""

import sys
from importlib import import_module

import click

import tiffsd.commands
from daemon.commands import complain
from daemon.commands.files import hand_over
from daemon.errors import ConfigError, DaemonError, SpoolError
from tiffsd.spec import TiffsdError

# Which module of `daemon.commands` has a command: the others are not loaded for it.
MODULES = {
    **dict.fromkeys(("init", "run", "once", "demo"), "serve"),
    "tmpfiles": "tmpfiles",
    "status": "report",
    "models": "models",
    "settings": "settings",
    **dict.fromkeys(("hold", "release", "pause", "resume", "retry", "cancel"), "control"),
    **dict.fromkeys(("text", "diffuse", "decode", "encode", "invert"), "steps"),
}


class _Commands(tiffsd.commands.Commands):
    """The daemon's commands, each found when it is asked for, then those on files."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*MODULES, *tiffsd.commands.app.list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MODULES:
            return tiffsd.commands.app.get_command(ctx, cmd_name)
        command: click.Command = getattr(import_module(f"daemon.commands.{MODULES[cmd_name]}"), cmd_name)
        return command


app = _Commands("tiffsd", callback=hand_over, help="Stable Diffusion by parts, run by folders.")


def main() -> None:
    """Run the command line: 0 for done, 1 for a file at fault, 2 for a set-up at fault."""
    try:
        app()
    except (ConfigError, SpoolError) as error:
        complain(error)
        sys.exit(2)
    except (DaemonError, TiffsdError, OSError) as error:
        complain(error)
        sys.exit(1)
