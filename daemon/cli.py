"""The command line: all commands in one place, and the only place that sets an exit code."""

import sys

import typer

import tiffsd.commands
from daemon.commands import complain, control, files, models, report, serve, steps
from daemon.errors import ConfigError, DaemonError, SpoolError
from tiffsd.spec import TiffsdError

app = typer.Typer(
    help="Stable Diffusion by parts, run by folders.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

for command in (
    *(serve.init, serve.run, serve.once, serve.demo),
    *(report.status, models.models, control.hold, control.release, control.pause, control.resume, control.retry, control.cancel),
    *(steps.text, steps.diffuse, steps.decode, steps.encode),
):
    app.command()(command)
app.add_typer(tiffsd.commands.app)
app.callback()(files.hand_over)


def main() -> None:
    """Run the command line: 0 for done, 1 for a file at fault, 2 for a set-up at fault."""
    try:
        app(standalone_mode=True)
    except (ConfigError, SpoolError) as error:
        complain(error)
        sys.exit(2)
    except (DaemonError, TiffsdError, OSError) as error:
        complain(error)
        sys.exit(1)
