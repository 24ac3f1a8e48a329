"""The command line: all commands in one place, and the only place that sets an exit code.

0   done; the daemon was told to stop
1   what was named is at fault or is not there; of `once`: a job failed, or could not be done
2   usage or set-up: words that are no command, config.yaml, the folders of the spool; the same again would end the same way
3   of `status`: no daemon runs
75  the machine: no space, no inodes, read-only, no memory, too many open files, a share that is away, another daemon
130 Ctrl-C, where it does not mean a clean stop
"""

import logging
import sys
from importlib import import_module
from pathlib import Path

import click

import tiffsd.commands
from daemon.commands import complain
from daemon.commands.files import hand_over
from daemon.errors import ConfigError, DaemonError, MachineError, OutOfMemory, SpoolError, in_words
from daemon.machine import advice, is_machines
from daemon.stages import STAGES
from tiffsd.spec import TiffsdError

PROGRAM = "tiffsd"
AT_FAULT, SET_UP, MACHINE, INTERRUPTED = 1, 2, 75, 130  # 75 is EX_TEMPFAIL of sysexits.h; 130 what shells make of SIGINT
# Which module of `daemon.commands` has a command: the others are not loaded for it.
MODULES = {
    **dict.fromkeys(("init", "run", "once", "demo"), "serve"),
    "service": "service",
    "tmpfiles": "tmpfiles",
    "check-config": "check_config",
    "doctor": "doctor",
    "status": "report",
    "list": "listing",
    "report": "bug_report",
    "backup": "backup",
    "completion": "completing",
    "help": "manual",
    "apply": "applying",
    "models": "models",
    "settings": "settings",
    "web": "web",
    "worker": "worker",
    **dict.fromkeys(("hold", "release", "pause", "resume", "retry", "restore", "cancel"), "control"),
    **dict.fromkeys(STAGES, "steps"),
}
# Where the name of a command is taken in Python.
_NAMES = {"list": "list_", "help": "help_", "check-config": "check_config"}


class _Commands(tiffsd.commands.Commands):
    """The daemon's commands, each found when it is asked for, then those on files."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return [*MODULES, *tiffsd.commands.app.list_commands(ctx)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in MODULES:
            return tiffsd.commands.app.get_command(ctx, cmd_name)
        module = import_module(f"daemon.commands.{MODULES[cmd_name]}")
        command: click.Command = (
            module.command_of(cmd_name) if cmd_name in STAGES else getattr(module, _NAMES.get(cmd_name, cmd_name))
        )
        return command


EPILOG = (
    "Exit codes: 0 done; 1 a file, or a job of `once`, is at fault or could not be done; 2 usage or set-up; 3 of `status`: no"
    " daemon runs; 75 the machine is at fault (a disk that is full or read-only, too many open files, another daemon), and later"
    " it will do."
)
app = tiffsd.commands.version_option(
    _Commands(
        PROGRAM,
        callback=hand_over,
        help="Stable Diffusion by parts, run by folders.",
        epilog=EPILOG,
        context_settings=tiffsd.commands.HELP,
    )
)


def main() -> None:
    """Run the command line to its exit code."""
    logging.getLogger("tifffile").setLevel(logging.CRITICAL)  # what it complains of ends in a sentence here
    try:
        code: object = app(standalone_mode=False, prog_name=PROGRAM)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except (DaemonError, TiffsdError, OSError) as error:
        complain(_with_advice(error))
        code = _code_of(error)
    sys.exit(code if isinstance(code, int) else 0)


def _code_of(error: Exception) -> int:
    if isinstance(error, MachineError | OutOfMemory) or is_machines(error):
        return MACHINE
    return SET_UP if isinstance(error, ConfigError | SpoolError) else AT_FAULT


def _with_advice(error: Exception) -> Exception:
    """An error as it is to be said: what the machine is at fault for, with what to do about it."""
    if not isinstance(error, OSError):
        return error
    if isinstance(error, FileNotFoundError) and error.filename:
        return DaemonError(f"{error.filename}: there is no such file; give the path of one, as from {Path.cwd()}")
    return MachineError(f"{in_words(error)}; {advice(error)}.") if is_machines(error) else DaemonError(in_words(error))
