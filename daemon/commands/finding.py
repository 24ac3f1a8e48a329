"""What `tiffsd models --find` and `--add` do: look for models on the disk, and write them into config.yaml."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.commands import config_path, say
from daemon.errors import ConfigError, InputError

if TYPE_CHECKING:
    from daemon.setup.new_entries import News

MOST_PASSED = 20  # lines on what cannot be used


def find(folder: Path | None, config: Path | None, *, add: bool, as_json: bool) -> None:
    """Look in a folder, or in the usual places, and say what of it is new to the configuration; with `add` write that into it."""
    from daemon.settings.config import read_config
    from daemon.setup.config_text import add_to
    from daemon.setup.found_models import found_below
    from daemon.setup.model_places import usual_places
    from daemon.setup.new_entries import news

    path = _configuration(config, needed=add)
    if folder is not None and not folder.is_dir():
        raise InputError(f"{folder}: there is no such folder to look for models in")
    tops = [folder.absolute()] if folder is not None else usual_places(Path.home(), os.environ)
    found = news([*found_below(tops)], tops, read_config(path) if path else None)
    added = add and bool(found.entries.by_section())
    if path and added:
        add_to(path, found.entries)
    if as_json:
        click.echo(json.dumps(_for_programs(found, tops), indent=2))
    else:
        _tell(found, tops, path, added=added)


def _configuration(given: Path | None, *, needed: bool) -> Path | None:
    """The configuration that is meant; None where there is none, and none is needed."""
    try:
        return config_path(given)
    except ConfigError:
        if needed:
            raise
        return None


def _tell(found: "News", tops: list[Path], path: Path | None, *, added: bool) -> None:
    from daemon.setup.config_text import lines_of

    say(f"Looked in {', '.join(map(str, tops)) or 'the usual places, and none of them is here: name a folder'}.", err=True)
    for line in lines_of(found.entries, found.notes):
        click.echo(line)
    for sentence in found.known:
        say(sentence, err=True)
    for one in found.passed[:MOST_PASSED]:
        say(f"left out: {one.path}: {one.why}", err=True)
    if len(found.passed) > MOST_PASSED:
        say(f"left out: {len(found.passed) - MOST_PASSED} more; --json names them", err=True)
    say(_what_now(found, path, added=added), err=True)


def _what_now(found: "News", path: Path | None, *, added: bool) -> str:
    if not found.entries.by_section():
        return "There is nothing new to add."
    if added:
        return f"These lines stand in {path} now; a daemon reads them at its start, or at `systemctl reload tiffsd`."
    return f"These lines are for {path or 'config.yaml'}; with --add they are written there."


def _for_programs(found: "News", tops: list[Path]) -> dict[str, object]:
    return {
        "places": [str(top) for top in tops],
        **{section: dict(entries) for section, entries in found.entries.by_section().items()},
        "left_out": {str(one.path): one.why for one in found.passed},
    }
