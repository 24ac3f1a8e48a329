"""What a mutant is: words that stand once in a file, others in their place, and the tests that must fail then."""

from pathlib import Path
from typing import NamedTuple

REPOSITORY = Path(__file__).resolve().parents[2]


class Mutant(NamedTuple):
    """One fault: what the program does wrong with it in words, `old` to be replaced in `file`, and the tests, as pytest names them.

    A mutant may have a second place, where a guard stands twice: `also` is a file with its words.
    """

    wrong: str
    file: str
    old: str
    new: str
    tests: str | tuple[str, ...]
    also: tuple[tuple[str, str, str], ...] = ()

    @property
    def places(self) -> tuple[tuple[str, str, str], ...]:
        """Each place that changes: the file, the words, the words instead."""
        return ((self.file, self.old, self.new), *self.also)

    @property
    def named(self) -> tuple[str, ...]:
        """The tests, also where it is one."""
        return (self.tests,) if isinstance(self.tests, str) else self.tests


def mutated(root: Path, mutant: Mutant) -> dict[Path, str]:
    """The files of a tree as the mutant has them, in memory. Raises ValueError where its words are not there exactly once."""
    texts: dict[Path, str] = {}
    for file, old, new in mutant.places:
        path = root / file
        text = texts.get(path) or path.read_text(encoding="utf-8")
        if (found := text.count(old)) != 1:
            raise ValueError(f"{file} says {old!r} {found} times, and once was expected: give {mutant.wrong!r} other words")
        texts[path] = text.replace(old, new)
    return texts
