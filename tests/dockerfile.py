"""What a Dockerfile says: its instructions in order, and its arguments and variables as they are when nobody says otherwise."""

import json
import re
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Instruction:
    """One instruction, such as RUN, and what stands behind it, on one line."""

    name: str
    text: str

    def words(self) -> list[str]:
        """The words of a list in brackets."""
        found = json.loads(self.text)
        assert isinstance(found, list)
        return [str(word) for word in found]


def instructions(path: Path) -> list[Instruction]:
    """Its instructions, without comments, each on one line."""
    lines = [line for line in path.read_text(encoding="utf-8").splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n\s*", " ", "\n".join(lines))
    return [Instruction(*line.split(maxsplit=1)) for line in joined.splitlines() if line.strip()]


def arguments(found: list[Instruction]) -> dict[str, str]:
    """The arguments that a build takes, with what they are by default."""
    return dict(one.text.split("=", 1) for one in found if one.name == "ARG" and "=" in one.text)


def variables(found: list[Instruction]) -> dict[str, str]:
    """What the environment of the container is given."""
    return dict(word.split("=", 1) for one in found if one.name == "ENV" for word in one.text.split())


def filled(text: str, values: dict[str, str]) -> str:
    """A text with ${NAME} replaced, as a build does outside of RUN."""
    return re.sub(r"\$\{(\w+)\}", lambda match: values[match[1]], text)


def the(name: str, found: list[Instruction]) -> Instruction:
    """The last instruction of that name, which counts."""
    return [one for one in found if one.name == name][-1]
