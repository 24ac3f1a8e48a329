"""From the name of a weight in diffusers or transformers to where its numbers stand in a file of an original release."""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

Config = Mapping[str, Any]


@dataclass(frozen=True)
class Piece:
    """The weights named `key`, or a part of them.

    `nth` takes of several that stand one below the other the one of this number, counted in its own rows, -1 the last; `transposed`
    and `swapped` (the halves change places) say how the numbers differ. `identity` needs no key: the matrix of ones."""

    key: str
    nth: int | None = None
    transposed: bool = False
    swapped: bool = False
    identity: bool = False


Naming = Callable[[str, Config], Sequence[Piece]]
"""The pieces that may hold a weight of a component of this configuration; the first that a file has counts."""

Rule = tuple[str, str]


def renamed(name: str, rules: Sequence[Rule]) -> str:
    """Apply every rule (a pattern and what replaces it) to a name, in order."""
    for pattern, replacement in rules:
        name = re.sub(pattern, replacement, name)
    return name


def same(name: str, config: Config) -> Sequence[Piece]:
    """The names of diffusers themselves."""
    del config
    return (Piece(name),)
