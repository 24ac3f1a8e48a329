"""The command that says which settings there are: settings."""

import json
from difflib import get_close_matches

import click

from daemon.commands import as_json_option, say


@click.command()
@click.argument("names", nargs=-1)
@as_json_option
def settings(names: tuple[str, ...], as_json: bool) -> None:
    """Say which settings there are, or what one is.

    NAMES are those of settings; otherwise all are told.

    Example: tiffsd settings guidance_scale
    """
    from daemon.errors import InputError
    from daemon.settings.reference import as_json as all_rows
    from daemon.settings.reference import rows
    from daemon.settings.vocabulary import ALIASES, REGISTRY

    def _told_of_stranger(name: str, known: list[str]) -> str:
        near = get_close_matches(name.lower(), known, n=1)
        meant = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(REGISTRY)}"
        return f"{name}: no such setting; {meant}"

    wanted = [ALIASES.get(name, name) for name in names] or list(REGISTRY)
    if strangers := sorted(set(wanted) - set(REGISTRY)):
        raise InputError("; ".join(_told_of_stranger(name, [*REGISTRY, *ALIASES]) for name in strangers))
    if as_json:
        click.echo(json.dumps([row for row in all_rows() if row["name"] in wanted], indent=1))
        return
    for row in [row for row in rows() if row.name in wanted]:
        say(f"{row.name}: {row.help}")
        said = [
            row.value,
            f"A1111: {row.infotext}" if row.infotext else "",
            f"also {', '.join(row.aliases)}" if row.aliases else "",
        ]
        say(f"    {'; '.join(filter(None, said))}")
        if names:
            say(f"    counts for {', '.join(row.counts)}")
