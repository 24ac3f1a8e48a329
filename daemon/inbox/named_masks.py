"""Masks that a drop names (`mask: x_mask.png` in its settings or its prompt), so that they are waited for, whatever their name.

A mask that lies there under the name of the drop itself needs none of this. Pure but for `stated`, which reads a small file.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

from daemon.inbox.grouping import Group
from daemon.stages import MASK_ENDING, Stage

SAYING = (".yaml", ".yml", ".txt")


def with_named(
    stage: Stage, groups: Sequence[Group], here: Iterable[str], stated: Callable[[str], str | None]
) -> tuple[list[Group], set[str]]:
    """The groups with the masks that they name, or waiting for them, and which those are that lie here and were given away.

    `here` are the names in the folder, `stated` gives the mask that a file of a group names. One mask serves one drop.
    """
    able = MASK_ENDING in stage.companions
    wanted = {found.opener: mask for found in groups if able and MASK_ENDING not in found.roles and (mask := _named(found, stated))}
    if not wanted:
        return list(groups), set()
    free = set(here) - {name for found in groups for name in found.roles.values()}
    result = []
    for found in groups:
        named = wanted.get(found.opener)
        if named is None:
            result.append(found)
        elif named in free:
            free.remove(named)
            result.append(replace(found, roles={**found.roles, MASK_ENDING: named}))
        else:
            result.append(replace(found, missing=found.missing or named))
    return result, {found.roles[MASK_ENDING] for found in result if found.opener in wanted and MASK_ENDING in found.roles}


def _named(found: Group, stated: Callable[[str], str | None]) -> str | None:
    """The mask that the settings name, or else the prompt."""
    return next((mask for role in SAYING if role in found.roles and (mask := stated(found.roles[role]))), None)
