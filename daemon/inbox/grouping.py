"""Which files of one folder belong together, told by their names alone.

A drop is what becomes one job: a principal, the half it needs (`cat_latent.tiff` + `cat_prompt.tiff`), and the companions that
lie beside it (`cat.yaml`, `cat_neg.txt`). Companions are matched by the stem as it was dropped first, then with the id of
STEM.ID stripped; where two files could claim one companion, the first to arrive has it. Most files stand alone, and of a hundred
thousand only those that may belong to others are sorted. Pure functions: no folder is looked at here.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from daemon.names import base_of, id_of, stem_of, without_id
from daemon.stages import PROMPTS, PROOF_ENDINGS, TIFFS, Stage

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
    """The files of one job, the principal first, and the stem they share; who dropped the principal, and the priority they state.

    `owner` is a user id, None where it is not known.
    """

    members: tuple[Member, ...]
    stem: str
    owner: int | None = None
    priority: int = 0

    @property
    def principal(self) -> Member:
        """The file that the job is about."""
        return self.members[0]


@dataclass(slots=True)
class Group:
    """Names that belong together, by role, the principal first; `missing` is the name of the half that is not there yet.

    `opener` is the first name of the group that could not be a companion: it gives the group its place in the order of arrival.
    """

    stem: str
    roles: dict[str, str]
    keys: tuple[str, ...]  # under which companions find the group: as dropped first, without the id last
    missing: str | None = None
    opener: str = ""

    def __post_init__(self) -> None:
        self.opener = self.opener or self.roles[PRINCIPAL]

    @property
    def principal(self) -> str:
        """The name that stands for the group."""
        return self.roles[PRINCIPAL]


IncompleteGroups = dict[tuple[str, str], deque[Group]]  # (stem, ending) of a half that is missing -> the groups that wait for it


def group_into_drops(stage: Stage, names: Sequence[str]) -> tuple[list[Group], list[str]]:
    """Sort the names of an inbox, given in order of arrival, into drops; and the companions whose drop is not there."""
    groups: list[Group] = []
    companions: list[str] = []
    waiting: IncompleteGroups = {}
    for name in names:
        if next(_companion_of(stage, name), None):
            companions.append(name)
        elif half := _half(stage, name):
            groups += _pair(stage, name, half, waiting)
        else:
            groups.append(group_of_one(stage, name))
    return groups, _attach(stage, companions, groups)


def is_tied(stage: Stage, name: str) -> bool:
    """Whether a name is that of a companion or of a half: of a file that belongs to others."""
    return _half(stage, name) is not None or next(_companion_of(stage, name), None) is not None


def related(stage: Stage, names: Iterable[str], tied: Iterable[str]) -> list[str]:
    """Those of all the names, in their order, that must be grouped: the tied ones, and files that these may belong to."""
    tied = set(tied)
    if not tied:
        return []
    keys = {key for name in tied for _ending, key in _companion_of(stage, name)}
    stems = keys | {without_id(key) for key in keys}
    ids = {identity for name in tied if name.lower().endswith(PROOF_ENDINGS) and (identity := id_of(name))}

    def may_belong(name: str) -> bool:
        return stem_of(name) in stems or _own_stem(stage, name) in stems or (bool(ids) and id_of(name) in ids)

    return [name for name in names if name in tied or may_belong(name)]


def group_of_one(stage: Stage, name: str) -> Group:
    """The group of a file that stands alone."""
    base = base_of(name)
    stem, own = without_id(base), _own_stem(stage, name)
    return Group(own, {PRINCIPAL: name}, (base, stem) if own == stem else (base, stem.removesuffix(PROMPT), own))


def companions(stage: Stage, name: str, beside: Iterable[str]) -> list[str]:
    """Those of the names beside a file that go with it, but for the half that it needs."""
    tied = [other for other in beside if other != name and is_tied(stage, other)]
    mine = [found.roles for found in group_into_drops(stage, [name, *tied])[0] if name in found.roles.values()]
    return [other for roles in mine for role, other in roles.items() if role in stage.companions]


def expected(stage: Stage, companion: str) -> str:
    """The name of a file that the companion could belong to, for a sentence."""
    ending, key = next(_companion_of(stage, companion))
    return key + (TIFFS[-1] if ending in PROOF_ENDINGS else stage.extensions[0])


def _own_stem(stage: Stage, name: str) -> str:
    """The stem of a file that stands alone: NAME also of NAME_prompt.txt, where NAME_neg.txt is its companion."""
    stem = stem_of(name)
    if "_neg.txt" in stage.companions and name.lower().endswith(".txt") and stem.removesuffix(PROMPT) not in {stem, ""}:
        return without_id(stem.removesuffix(PROMPT))
    return stem


def _half(stage: Stage, name: str) -> tuple[str, str] | None:
    """The stem and the ending of a half, or None for a file that is whole."""
    if not stage.halves or not name.lower().endswith(stage.extensions):
        return None
    stem = stem_of(name)
    for ending in stage.halves:
        if stem.endswith(ending) and len(stem) > len(ending):
            return stem.removesuffix(ending), ending
    return None


def _pair(stage: Stage, name: str, half: tuple[str, str], waiting: IncompleteGroups) -> list[Group]:
    """Give the half to the first group that waits for it, or open a group that waits for the other half."""
    stem, ending = half
    other = stage.halves[ending]
    if waiting.get(half):
        group = waiting[half].popleft()
        group.roles = _in_order(stage, {ending: name, other: group.principal})
        group.keys = (base_of(name), *group.keys)
        group.missing = None
        return []
    base = base_of(name)
    group = Group(without_id(stem), {PRINCIPAL: name}, (base, stem, without_id(stem)), f"{stem}{other}{name[len(base) :]}")
    waiting.setdefault((stem, other), deque()).append(group)
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
            if ending in PROMPTS and key.removesuffix(PROMPT) not in {key, ""}:
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
    return _without_proofs_of(stage, companions, groups)


def _without_proofs_of(stage: Stage, companions: list[str], groups: list[Group]) -> list[str]:
    """Give proofs to the latents of their ids, whatever the stems of these are by now; what is left."""
    proofs = [name for name in companions if name.lower().endswith(PROOF_ENDINGS)]
    if not proofs:
        return companions
    owners: dict[str | None, Group] = {}
    for owner in groups:
        owners.setdefault(id_of(owner.principal), owner)
    given = set()
    for name in proofs:
        ending, identity = next(_companion_of(stage, name))[0], id_of(name)
        if identity in owners and identity is not None and ending not in owners[identity].roles:
            owners[identity].roles[ending] = name
            given.add(name)
    return [name for name in companions if name not in given]


def _give(stage: Stage, name: str, owners: dict[str, Group]) -> bool:
    for ending, key in _companion_of(stage, name):
        owner = owners.get(key)
        if owner is not None and ending not in owner.roles:
            owner.roles[ending] = name
            return True
    return False
