"""The commands of `tiffsd` on a spool and its stages; here what they share: which configuration and which spool are meant.

What a command does to the spool is a file operation that a person could do by hand, and works with the daemon down. Modules
that cost time to load are imported by the commands that need them, because the others must answer at once.
"""

import difflib
import os
from contextlib import suppress
from pathlib import Path

import click

from daemon.errors import ConfigError
from daemon.layout import HOLD, INBOX
from daemon.names import shown

# Where `service install --user` puts the configuration of one person; a checkout may lie in a folder of that name too.
_OF_PERSON = [Path.home() / "tiffsd/config.yaml"] if (Path.home() / ".config/systemd/user/tiffsd.service").is_file() else []
USUAL_CONFIGS = (Path("config.yaml"), Path.home() / ".config/tiffsd/config.yaml", *_OF_PERSON, Path("/etc/tiffsd/config.yaml"))


PATH = click.Path(path_type=Path)
as_json_option = click.option("--json", "as_json", is_flag=True, help="The same for programs.")
config_option = click.option(
    "--config",
    "-c",
    type=PATH,
    help="The configuration; otherwise config.yaml here, beside the spool you are in, in ~/.config/tiffsd, or the service's.",
)


def complain(error: Exception) -> None:
    """Say in one line what went wrong; to journald with the priority of an error."""
    from daemon.service.terminal import journal_listens

    click.secho(f"{'<3>' * journal_listens()}tiffsd: {shown(str(error))}", fg="red", err=True)


def say(words: str, *, err: bool = False) -> None:
    """Say one line to whoever runs the command."""
    click.echo(shown(words), err=err)


def usual_configs() -> list[Path]:
    """Where a configuration is looked for that nobody names, the first first."""
    return [*USUAL_CONFIGS[:1], *_beside_spool(Path.cwd()), *USUAL_CONFIGS[1:]]


def _beside_spool(here: Path) -> list[Path]:
    """The configuration that `tiffsd init` has put beside a spool in which somebody works.

    One that others have put there counts for nothing: it is the spool's owner's, root's, or of whoever asks."""
    root = next((folder for folder in (here, *here.parents) if (folder / INBOX).is_dir() and (folder / HOLD).is_dir()), None)
    with suppress(OSError):
        if root and (root.parent / "config.yaml").stat().st_uid in (root.stat().st_uid, 0, os.geteuid()):
            return [root.parent / "config.yaml"]
    return []


def config_path(given: Path | None) -> Path:
    """The configuration that is meant: the one given, which may be its folder, else the first of the usual ones that exists.

    Raises ConfigError where there is none."""
    if given is not None:
        return given / USUAL_CONFIGS[0] if given.is_dir() else given
    usual = usual_configs()
    found = next((path for path in usual if path.is_file()), None)
    if found is None:
        where = ", ".join(str(path.absolute()) for path in usual)
        raise ConfigError(f"there is no configuration: looked for {where}; name one with -c, or write one with `tiffsd init`")
    return found


def spool_root(given: Path | None) -> Path:
    """The spool's folder, and nothing else of the configuration: a wrong line elsewhere in it must not hide how things stand.

    Raises ConfigError where the line with the spool is wrong, and SpoolError where this person may not look into it."""
    from daemon.commands.entering import check_may_enter
    from daemon.settings.plain_yaml import folder_beside, read_yaml

    path = config_path(given)
    said = read_yaml(path)
    if "spool" not in said and (meant := difflib.get_close_matches("spool", said, n=1)):
        raise ConfigError(f"{path}: '{meant[0]}' is no key (did you mean 'spool'?)")
    named = said.get("spool", "spool")
    if not isinstance(named, str):
        raise ConfigError(f"{path}: 'spool' must be the path of a folder (found {named!r:.80})")
    root = folder_beside(path.absolute().parent, Path(named))
    check_may_enter(root)
    return root
