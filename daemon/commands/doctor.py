"""The command that says what the machine has for tiffsd, what it lacks, and what to do about that: doctor."""

import json
import shutil
import textwrap
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from daemon.commands import as_json_option, config_option, config_path
from daemon.errors import ConfigError
from daemon.names import shown

if TYPE_CHECKING:
    from daemon.setup.findings import Finding

AT_FAULT = 1  # an exit code; see daemon/cli.py
COLOURS = {"ok": "green", "note": "yellow", "fault": "red"}
WIDTH, WIDEST = 80, 120
STATE_WIDTH, ABOUT_WIDTH = 7, 15


@click.command()
@config_option
@as_json_option
def doctor(config: Path | None, as_json: bool) -> None:
    """Say what there is for tiffsd here (torch, GPU, memory, watches, spool, models, configuration), and what to do about the rest.

    Exit codes: 0 nothing is at fault, though there may be notes; 1 something is.

    Example: tiffsd doctor
    """
    from daemon.setup.doctor import looked
    from daemon.setup.findings import State

    path, why = _configuration(config)
    findings = [*looked(path, why)]
    if as_json:
        click.echo(json.dumps([asdict(finding) for finding in findings], indent=2))
    else:
        width = min(shutil.get_terminal_size((WIDTH, 0)).columns, WIDEST)
        for finding in findings:
            for line in _lines(finding, width):
                click.echo(line)
        counted = Counter(finding.state for finding in findings)
        click.echo(f"\n{counted[State.FAULT]} at fault, {counted[State.NOTE]} to know, {counted[State.OK]} as they should be")
    if any(finding.state is State.FAULT for finding in findings):
        raise click.exceptions.Exit(AT_FAULT)


def _configuration(given: Path | None) -> tuple[Path | None, str]:
    """The configuration that is meant, or why there is none."""
    try:
        return config_path(given), ""
    except ConfigError as error:
        return None, str(error)


def _lines(finding: "Finding", width: int) -> Iterator[str]:
    """A finding as lines of at most so many columns, words longer than that apart."""
    state = click.style(f"{finding.state:{STATE_WIDTH}}", fg=COLOURS[finding.state])
    first, *more = _wrapped(finding.said, width - STATE_WIDTH - ABOUT_WIDTH) or [""]
    about = shown(finding.about)
    if len(about) >= ABOUT_WIDTH:
        yield f"{state}{about}"
        yield f"{' ' * (STATE_WIDTH + ABOUT_WIDTH)}{first}"
    else:
        yield f"{state}{about:{ABOUT_WIDTH}}{first}"
    yield from (" " * (STATE_WIDTH + ABOUT_WIDTH) + line for line in more)
    for number, line in enumerate(_wrapped(finding.advice or "", width - STATE_WIDTH - 3)):
        yield f"{' ' * STATE_WIDTH}{'   ' if number else '-> '}{line}"


def _wrapped(words: str, width: int) -> list[str]:
    return textwrap.wrap(shown(words), width, break_long_words=False, break_on_hyphens=False)
