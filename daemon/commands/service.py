"""The commands that make tiffsd a service of systemd, and take that back: `service install` and `service uninstall`."""

import os
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.commands import PATH, config_path, say
from daemon.errors import ConfigError

if TYPE_CHECKING:
    from daemon.setup.service import Places
    from daemon.setup.steps import Step

DECLINED = 1  # an exit code; see daemon/cli.py
user_option = click.option("--user", is_flag=True, help="A service of your own, without root, instead of the machine's.")
dry_run_option = click.option("--dry-run", is_flag=True, help="Only say what would be done.")
yes_option = click.option("--yes", "-y", is_flag=True, help="Do not ask.")


@click.group()
def service() -> None:
    """Make tiffsd a service of systemd, of the machine or of your own, and take that back.

    Example: tiffsd service install
    """


@service.command()
@user_option
@click.option("--spool", type=PATH, help="Where its folders are; otherwise /var/lib/tiffsd, with --user ~/tiffsd/spool.")
@click.option("--config", "-c", type=PATH, help="With --user, the configuration; otherwise ~/tiffsd/config.yaml.")
@click.option("--web", is_flag=True, help="The page with a server too, as a service of its own.")
@dry_run_option
@yes_option
def install(user: bool, spool: Path | None, config: Path | None, web: bool, dry_run: bool, yes: bool) -> None:
    """Make this program a service that starts with the machine.

    Says each file and command, asks, then does it. Run again, it brings the service to the program that is asked, and shows what
    differs; the configuration is written once, and never touched again.

    Example: sudo /opt/tiffsd/bin/tiffsd service install
    """
    from daemon.settings.config import read_config
    from daemon.setup.obstacles import hidden_models, of_installing
    from daemon.setup.service import has_page, install_steps, program_here, spool_of
    from daemon.setup.steps import on_this_machine

    if user and web:
        raise click.UsageError("--web is for the service of the machine; for yourself run `tiffsd web`")
    if config and not user:
        raise click.UsageError("--config is for a service of your own; that of the machine has /etc/tiffsd/config.yaml")
    places, program = _places(user, config), program_here()
    web = web or has_page(places)
    where = spool_of(places, spool)
    obstacles = [*of_installing(places, program, where, web=web, run=on_this_machine, environ=os.environ)]
    _stop_at(obstacles, dry_run)
    active = not obstacles and on_this_machine((*_systemctl(user), "is-active", "--quiet", "tiffsd")).returncode == 0
    steps = install_steps(places, program, where, web=web, active=active)
    say(f"{program} becomes a service of {'yours' if user else 'this machine'}; its spool is {where}:")
    if not _done(steps, obstacles, dry_run=dry_run, yes=yes):
        return
    for sentence in () if user else hidden_models(read_config(places.config)):
        say(sentence, err=True)
    for sentence in _afterwards(where, user=user, web=web):
        say(sentence)


@service.command()
@user_option
@click.option("--purge", is_flag=True, help="Delete the configuration and the spool too, with all pictures in it.")
@dry_run_option
@yes_option
def uninstall(user: bool, purge: bool, dry_run: bool, yes: bool) -> None:
    """Stop the service, and take back what install wrote.

    The configuration and the spool stay.

    Example: sudo /opt/tiffsd/bin/tiffsd service uninstall
    """
    from daemon.setup.obstacles import of_changing
    from daemon.setup.service import program_here, staying, uninstall_steps
    from daemon.setup.steps import on_this_machine

    places, program = _places(user), program_here()
    spool = _spool_to_leave(places, purge)
    obstacles = [*of_changing(places, program, "uninstall", run=on_this_machine, environ=os.environ)]
    _stop_at(obstacles, dry_run)
    steps = uninstall_steps(places, purge=purge, spool=spool)
    if not steps:
        say("There is nothing here that `tiffsd service install` wrote.")
    elif not _done(steps, obstacles, dry_run=dry_run, yes=yes):
        return
    for path in staying(places, spool, program):
        say(f"stays: {path}")
    if not user:
        say("stays: the users tiffsd and tiffsd-web, and the group tiffsd, whose files would else be nobody's")


def _places(user: bool, config: Path | None = None) -> "Places":
    from daemon.setup.service import of_machine, of_person

    if config is not None:
        config = config_path(config).absolute()
    return of_person(Path.home(), os.environ, config) if user else of_machine()


def _spool_to_leave(places: "Places", purge: bool) -> Path:
    """The spool of the service; a configuration that is wrong keeps nobody from taking the service back, but from deleting."""
    from daemon.setup.service import SPOOL, spool_of

    try:
        return spool_of(places, None)
    except ConfigError:
        if purge:
            raise
        return SPOOL


def _systemctl(user: bool) -> tuple[str, ...]:
    return ("systemctl", "--user") if user else ("systemctl",)


def _stop_at(obstacles: Sequence[str], dry_run: bool) -> None:
    """Raise ConfigError for the first thing that is in the way; a dry run goes on, and says it at its end."""
    if obstacles and not dry_run:
        raise ConfigError(obstacles[0])


def _done(steps: "Sequence[Step]", obstacles: Sequence[str], *, dry_run: bool, yes: bool) -> bool:
    """Tell the steps, ask, and do them; whether they were done. Raises ConfigError in a dry run that is not to be followed."""
    from daemon.setup.steps import do, on_this_machine, told

    for step in steps:
        for line in told(step):
            say(line)
    if obstacles:
        raise ConfigError(f"nothing of this would be done, because {obstacles[0]}")
    if dry_run or not (yes or _agreed()):
        return False
    for step in steps:
        do(step, on_this_machine)
    return True


def _agreed() -> bool:
    """Whether the person at the terminal wants it. Raises ConfigError where nobody is there to be asked."""
    if not sys.stdin.isatty():
        raise ConfigError("there is no terminal to ask on: look at what is said above, then run it again with --yes")
    if click.confirm("Go on?"):
        return True
    say("Nothing was changed.")
    raise click.exceptions.Exit(DECLINED)


def _afterwards(spool: Path, *, user: bool, web: bool) -> Iterable[str]:
    """What to do with a service that runs."""
    own = "--user " if user else ""
    yield f"It runs: `systemctl {own}status tiffsd` shows its queue, `journalctl {own}-u tiffsd` what happened."
    if user:
        yield "While you are logged out it rests; with `loginctl enable-linger` it goes on."
    else:
        yield "Who is to drop, edit and move files becomes a member of its group: `sudo usermod -aG tiffsd NAME`, and logs in anew."
    if web:
        yield "The page: http://127.0.0.1:7860/?token=TOKEN, with the token in /var/lib/tiffsd-web/web-token."
    yield f"Drop a prompt into {spool / 'inbox/1-text'}"
