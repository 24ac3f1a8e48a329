"""Which files of one folder belong together, told by their names alone.

A drop is what becomes one job: a principal, the half it needs (`cat_latent.tiff` + `cat_prompt.tiff`), and the companions that
lie beside it (`cat.yaml`, `cat_neg.txt`). Companions are matched by the stem as it was dropped first, then with the id of
STEM.ID stripped; where two files could claim one companion, the first to arrive has it. Pure functions: no folder is looked at
here.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.names import base_of, stem_of, without_id
from daemon.stages import Stage

PRINCIPAL = "principal"
PROMPT = "_prompt"  # NAME_prompt.txt is the prompt of NAME, as NAME_neg.txt is its negative

Mark = tuple[int, int, int, int, int]  # device, inode, size, mtime_ns, ctime_ns


@dataclass(frozen=True, slots=True)
class Member:
    """One file of a drop: its role ("principal", or its ending such as "_prompt" or ".yaml"), its place, and what it was like."""

    role: str
    path: Path
    mark: Mark


@dataclass(frozen=True, slots=True)
class Drop:
    """The files of one job, the principal first, and the stem they share."""

    members: tuple[Member, ...]
    stem: str

    @property
    def principal(self) -> Member:
        """The file that the job is about."""
        return self.members[0]


@dataclass(slots=True)
class Group:
    """Names that belong together, by role, the principal first; `missing` is the name of the half that is not there yet."""

    stem: str
    roles: dict[str, str]
    keys: tuple[str, ...]  # under which companions find the group: as dropped first, without the id last
    missing: str | None = None

    @property
    def principal(self) -> str:
        """The name that stands for the group."""
        return self.roles[PRINCIPAL]


Waiting = dict[tuple[str, str], list[Group]]  # (stem, ending) of a half that is missing -> the groups that wait for it


def group(stage: Stage, names: Sequence[str]) -> tuple[list[Group], list[str]]:
    """Sort the names of an inbox, given in order of arrival, into drops; and the companions whose drop is not there."""
    groups: list[Group] = []
    companions: list[str] = []
    waiting: Waiting = {}
    for name in names:
        if next(_companion_of(stage, name), None):
            companions.append(name)
        elif half := _half(stage, name):
            groups += _pair(stage, name, half, waiting)
        else:
            groups.append(_single(stage, name))
    return groups, _attach(stage, companions, groups)


def expected(stage: Stage, companion: str) -> str:
    """The name of a file that the companion could belong to, for a sentence."""
    _ending, key = next(_companion_of(stage, companion))
    return key + stage.extensions[0]


def _single(stage: Stage, name: str) -> Group:
    base = base_of(name)
    stem = without_id(base)
    if "_neg.txt" in stage.companions and name.lower().endswith(".txt") and stem.removesuffix(PROMPT) not in {stem, ""}:
        key = stem.removesuffix(PROMPT)
        return Group(without_id(key), {PRINCIPAL: name}, (base, key, without_id(key)))
    return Group(stem, {PRINCIPAL: name}, (base, stem))


def _half(stage: Stage, name: str) -> tuple[str, str] | None:
    """The stem and the ending of a half, or None for a file that is whole."""
    if not stage.halves or not name.lower().endswith(stage.extensions):
        return None
    stem = stem_of(name)
    for ending in stage.halves:
        if stem.endswith(ending) and len(stem) > len(ending):
            return stem.removesuffix(ending), ending
    return None


def _pair(stage: Stage, name: str, half: tuple[str, str], waiting: Waiting) -> list[Group]:
    """Give the half to the first group that waits for it, or open a group that waits for the other half."""
    stem, ending = half
    other = stage.halves[ending]
    if waiting.get(half):
        group = waiting[half].pop(0)
        group.roles = _in_order(stage, {ending: name, other: group.principal})
        group.keys = (base_of(name), *group.keys)
        group.missing = None
        return []
    base = base_of(name)
    group = Group(without_id(stem), {PRINCIPAL: name}, (base, stem, without_id(stem)), f"{stem}{other}{name[len(base) :]}")
    waiting.setdefault((stem, other), []).append(group)
    return [group]


def _in_order(stage: Stage, halves: dict[str, str]) -> dict[str, str]:
    """Both halves by role: the principal is the one that the stage's table names first."""
    first, second = sorted(halves, key=list(stage.halves).index)
    return {PRINCIPAL: halves[first], second: halves[second]}


def _companion_of(stage: Stage, name: str) -> Iterator[tuple[str, str]]:
    """Each reading of a name as a companion: its ending and the stem it belongs to, the longest ending first."""
    lower = name.lower()
    if not lower.endswith(stage.companions):
        return
    for ending in sorted(stage.companions, key=len, reverse=True):
        if lower.endswith(ending) and len(name) > len(ending):
            key = name[: -len(ending)]
            yield ending, key
            if ending == ".txt" and key.removesuffix(PROMPT) not in {key, ""}:
                yield ending, key.removesuffix(PROMPT)


def _attach(stage: Stage, companions: list[str], groups: list[Group]) -> list[str]:
    """Give each companion to its group, exact stems before stems without an id; what is left belongs to nobody yet."""
    if not companions:
        return []
    exact: dict[str, Group] = {}
    loose: dict[str, Group] = {}
    for owner in groups:
        for key in owner.keys[:-1]:
            exact.setdefault(key, owner)
        loose.setdefault(owner.keys[-1], owner)
    for owners in (exact, loose):
        companions = [name for name in companions if not _give(stage, name, owners)]
    return companions


def _give(stage: Stage, name: str, owners: dict[str, Group]) -> bool:
    for ending, key in _companion_of(stage, name):
        owner = owners.get(key)
        if owner is not None and ending not in owner.roles:
            owner.roles[ending] = name
            return True
    return False
