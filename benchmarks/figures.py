"""What a benchmark hands back: figures with their targets; and how a module that measures some is run, alone or by all of them.

A module of this folder has a function `figures` that yields a Figure as soon as it is known, and ends with

    if __name__ == "__main__":
        run(figures)

Measuring stands in benchmarks/timing.py, the list of the modules and the one table in benchmarks/__main__.py.
"""

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Self


@dataclass(frozen=True)
class Figure:
    """One row of the table: something measured, what it should be, and what to know about it.

    `item` is the number of the section in benchmarks/README.md; `low` and `high` are the quartiles where there were rounds.
    Without `at_least` and `at_most` there is no target: it is there to be known. `headline` figures stand in docs/benchmarks.md.
    """

    item: int
    what: str
    value: float
    unit: str = ""
    low: float | None = None
    high: float | None = None
    at_least: float | None = None
    at_most: float | None = None
    note: str = ""
    headline: bool = False

    @property
    def holds(self) -> bool | None:
        """Whether the target is reached; None where there is none."""
        if self.at_least is None and self.at_most is None:
            return None
        return (self.at_least is None or self.value >= self.at_least) and (self.at_most is None or self.value <= self.at_most)

    @property
    def value_text(self) -> str:
        """The value with its unit, and its quartiles in brackets."""
        spread = "" if self.low is None or self.high is None else f" ({number(self.low)} to {number(self.high)})"
        return f"{number(self.value)}{_spaced(self.unit)}{spread}"

    @property
    def target_text(self) -> str:
        """The bounds in words."""
        bounds = [("at least", self.at_least), ("at most", self.at_most)]
        return ", ".join(f"{word} {number(bound)}{_spaced(self.unit)}" for word, bound in bounds if bound is not None)

    @classmethod
    def of(cls, stored: dict[str, Any]) -> Self:
        """The inverse of `asdict`."""
        return cls(**stored)


def number(value: float) -> str:
    """Three digits that count; whole numbers from a thousand on."""
    return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _spaced(unit: str) -> str:
    return unit if unit in ("", "x", "%") else f" {unit}"


def row(figure: Figure) -> str:
    """A figure as a line of text."""
    verdict = {True: "holds", False: "MISSED", None: ""}[figure.holds]
    note = f"  {figure.note}" if figure.note else ""
    return f"{figure.item:>2}  {figure.what:<76}{figure.value_text:>26}  {figure.target_text:<20}{verdict:<7}{note}"


def run(figures: Callable[[], Iterable[Figure]]) -> None:
    """Measure and print each figure as it comes; with --json FILE it is appended to the file too, one to a line."""
    module = sys.modules[figures.__module__]
    parser = argparse.ArgumentParser(description=module.__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", type=Path, help="a file that the figures are appended to, one to a line")
    path: Path | None = parser.parse_args().json
    for figure in figures():
        sys.stdout.write(f"{row(figure)}\n")
        sys.stdout.flush()
        if path:
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(asdict(figure)) + "\n")
