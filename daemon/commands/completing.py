"""What a shell completes: the command that prints its script, and the names of what lies in the spool.

A shell asks at each press of the key, so nothing here loads more than the folders and the line `spool:` of the configuration.
"""

import os
import shlex
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from daemon.beneath import Beneath
from daemon.commands import spool_root
from daemon.errors import DaemonError
from daemon.layout import FAILED, HOLD, HOLD_SIGN, INBOX, PAUSE_SIGN, RUNNING
from daemon.names import base_of, is_proof, shown
from daemon.stages import STAGES

SHELLS = ("bash", "zsh", "fish")
PROGRAM, VARIABLE = "tiffsd", "_TIFFSD_COMPLETE"
MOST = 500  # names; more are no help to anybody
SIGNS = (PAUSE_SIGN, HOLD_SIGN)

Completes = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str) -> None:
    """Print the script by which a shell completes commands, options, stages, and the names of what is held, runs or has failed.

    SHELL is bash, zsh or fish. For bash it belongs into ~/.bashrc, for zsh into ~/.zshrc behind `compinit`, as below; for fish into
    ~/.config/fish/completions/tiffsd.fish, by `tiffsd completion fish >` that file.

    Example: tiffsd completion bash > ~/.tiffsd-completion && echo '. ~/.tiffsd-completion' >> ~/.bashrc
    """
    kind = get_completion_class(shell)
    if kind is None:
        raise DaemonError(f"{shell}: click, by which tiffsd completes, knows no such shell; use {', '.join(SHELLS)}")
    click.echo(kind(context.find_root().command, {}, PROGRAM, VARIABLE).source())


def completes(*folders: str, stages: bool = False) -> Completes:
    """What completes an argument: the names in these folders of the spool, of each stage or of all, and those of the stages."""

    def names(context: click.Context, _parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
        said = set(context.params.get("names") or context.params.get("stages") or ())
        found = [*(STAGES if stages else ()), *_lying(context, folders)]
        fitting = [name for name in dict.fromkeys(found) if name.startswith(incomplete) and name not in said]
        return [CompletionItem(_quoted(name)) for name in fitting[:MOST]]

    return names


def _lying(context: click.Context, folders: Iterable[str]) -> Iterator[str]:
    """The names there, as far as they can be told; a name that steers a terminal is none to be typed."""
    with suppress(DaemonError, OSError):
        root = spool_root(context.params.get("config"))
        beneath = Beneath(root)
        for folder in folders:
            for place in [root / folder] if folder == RUNNING else [root / folder / stage.folder for stage in STAGES.values()]:
                yield from filter(_is_named, sorted(_names(beneath, place)))


def _names(beneath: Beneath, folder: Path) -> list[str]:
    try:
        found = beneath.names(folder)
    except OSError:  # not there, or not to be read by this user
        return []
    return [base_of(name) for name in found] if folder.name == RUNNING else found


def _is_named(name: str) -> bool:
    return not name.startswith(".") and shown(name) == name and not is_proof(name) and base_of(name).upper() not in SIGNS


def _quoted(name: str) -> str:
    """The name as it is to stand on the line: bash takes what it is given as it is, the others quote for themselves."""
    return shlex.quote(name) if os.environ.get(VARIABLE, "").startswith("bash") else name


HELD, WAITING, FAILED_JOBS, RUNNING_JOBS = (completes(folder) for folder in (HOLD, INBOX, FAILED, RUNNING))
STAGE_NAMES, TO_HOLD, TO_RELEASE = completes(stages=True), completes(INBOX, stages=True), completes(HOLD, stages=True)
OF_ANY = completes(FAILED, HOLD, RUNNING, INBOX)
