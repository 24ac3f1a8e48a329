"""Masks that a drop names (`mask: x_mask.png` in its settings or its prompt), so that they are waited for, whatever their name.

A mask that lies there under the name of the drop itself needs none of this. Files are read for the masks that they name as for
priorities: once, for a bounded time at each look, and those first whose turn is next. A drop with an unread file waits, and so does
one with a file that another program holds (InUse), which is read again at the next look.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from daemon.errors import InUse
from daemon.inbox.arrivals import Arrival
from daemon.inbox.grouping import Group, Mark
from daemon.inbox.ranking import BUDGET_SECONDS
from daemon.stages import MASK_ENDING, PROMPTS, Stage

SAYING = (".yaml", ".yml", *PROMPTS)


class NamedMasks:
    """The masks that the files of one folder name, as far as they are known; `read_mask` reads that of one file, None for none."""

    def __init__(self, stage: Stage, folder: Path, read_mask: Callable[[Path], str | None]) -> None:
        self._stage = stage
        self._folder = folder
        self._read_mask = read_mask
        self._known: dict[str, tuple[Mark, str | None]] = {}  # what each file named when it was like that
        self.unread: frozenset[str] = frozenset()
        self.held: frozenset[str] = frozenset()

    def learn(self, groups: Iterable[Group], here: Mapping[str, Arrival]) -> None:
        """Read files that are new or have changed, of groups in the order of their claims.

        `unread` are those left for the next look, which is worth it, and `held` those that somebody holds.
        """
        if MASK_ENDING not in self._stage.companions:
            return
        saying = [name for found in groups if _may_name(self._stage, found) for name in _saying(found)]
        self._known = {name: self._known[name] for name in saying if name in self._known}
        unread = [name for name in saying if name not in self._known or self._known[name][0] != here[name].mark]
        deadline = time.monotonic() + BUDGET_SECONDS
        read, held = 0, set[str]()
        while read < len(unread) and (read == 0 or time.monotonic() < deadline):
            name = unread[read]
            try:
                self._known[name] = here[name].mark, self._read_mask(self._folder / name)
            except InUse:
                held.add(name)
            read += 1
        self.unread, self.held = frozenset(unread[read:]), frozenset(held)

    def named(self, name: str) -> str | None:
        """The mask that a file names; None also while it is unread or held."""
        return self._known[name][1] if name in self._known and name not in self.unread | self.held else None

    def naming(self) -> list[str]:
        """The files that name one."""
        return [name for name, (_, mask) in self._known.items() if mask]


def with_named(
    stage: Stage, groups: Sequence[Group], here: Iterable[str], read_mask: Callable[[str], str | None]
) -> tuple[list[Group], set[str]]:
    """The groups with the masks that they name, or waiting for them, and which those are that lie here and were given away.

    `here` are the names in the folder, `read_mask` gives the mask that a file of a group names. One mask serves one drop.
    """
    wanted = {found.opener: mask for found in groups if _may_name(stage, found) and (mask := _named(found, read_mask))}
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


def _may_name(stage: Stage, found: Group) -> bool:
    return MASK_ENDING in stage.companions and MASK_ENDING not in found.roles


def _saying(found: Group) -> list[str]:
    """The files of a group that may name a mask, the settings before the prompt."""
    return [found.roles[role] for role in SAYING if role in found.roles]


def _named(found: Group, read_mask: Callable[[str], str | None]) -> str | None:
    return next((mask for name in _saying(found) if (mask := read_mask(name))), None)
