"""The command that lists what lies where."""

import json
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console, RenderableType
from rich.padding import Padding
from rich.text import Text

from daemon.commands import as_json_option, config_option, spool_root
from daemon.commands.report import current
from daemon.names import shown
from daemon.service.status import why_waiting

if TYPE_CHECKING:
    from daemon.jobs.listing import Listed

UNBOUNDED = 100_000  # columns
KINDS = ("held", "running", "waiting", "failed", "done")


@click.command("list")
@click.argument("kinds", nargs=-1, type=click.Choice(KINDS))
@config_option
@as_json_option
def list_(kinds: tuple[str, ...], config: Path | None, as_json: bool) -> None:
    """List what is held, runs, waits, has failed and is done today: prompt, reason, age, owner, and the command that goes on.

    KINDS are held, running, waiting, failed and done; all but done where none is named.

    Example: tiffsd list held
    """
    from daemon.jobs.listing import listed

    root = spool_root(config)
    told = current(root)
    owners = {entry["path"]: entry["owner"] for first in told.listed.values() for entry in first["first"]}
    entries = [
        replace(entry, owner=owners.get(entry.path, entry.owner))
        for entry in listed(root, kinds or KINDS[:-1], why=why_waiting(told.stages))
    ]
    if as_json:
        click.echo(json.dumps([asdict(entry) for entry in entries], indent=2))
    elif entries:
        # What another program reads is not cut to the width of a screen that nobody looks at.
        width = None if sys.stdout.isatty() else UNBOUNDED
        Console(highlight=False, width=width).print(*_entries(entries), sep="\n")
    else:
        click.echo("nothing of that kind is in the spool")


def _entries(entries: Iterable["Listed"]) -> Iterator[RenderableType]:
    """What lies where, then below it the prompt on one line, why it is there, and the command that goes on."""
    now = datetime.now().astimezone()
    for entry in entries:
        head = [entry.kind, entry.stage, shown(entry.name), _age(now, entry.since), shown(entry.owner)]
        yield Text("  ".join(filter(None, head)), style="bold")
        if entry.prompt:
            yield _below(shown(entry.prompt), no_wrap=True, overflow="ellipsis")
        if entry.unread and entry.unread not in entry.reason:
            yield _below(f"its prompt is not known: {shown(entry.unread)}")
        for words, style in ((shown(entry.reason), "red" if entry.kind == "failed" else ""), (entry.command, "green")):
            if words:
                yield _below(words, style=style)


def _below(words: str, **how: Any) -> Padding:
    return Padding(Text(words, **how), (0, 0, 0, 4), expand=False)


def _age(now: datetime, since: str) -> str:
    """How long ago that was, in its largest unit."""
    seconds = max(0, int((now - datetime.fromisoformat(since)).total_seconds()))
    units = ((86400, "d"), (3600, "h"), (60, "min"), (1, "s"))
    size, unit = next(((size, unit) for size, unit in units if seconds >= size), units[-1])
    return f"{seconds // size} {unit}"
