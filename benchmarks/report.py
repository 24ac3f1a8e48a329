"""What was measured, as it is kept in benchmarks/results.json, and as the table of docs/benchmarks.md."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from benchmarks.figures import Figure

RESULTS = Path(__file__).resolve().parent / "results.json"
BEGIN, END = "<!-- bench -->", "<!-- end of bench -->"
MOST_ROWS = 16
VERDICTS = {True: "holds", False: "**missed**", None: ""}


@dataclass(frozen=True)
class Module:
    """What one module measured, on which machine; `fault` says how it failed, if it did."""

    machine: str
    figures: tuple[Figure, ...]
    fault: str | None = None


@dataclass(frozen=True)
class Results:
    """What the modules measured, by name."""

    modules: Mapping[str, Module]

    @classmethod
    def of(cls, name: str, machine: str, figures: list[Figure], fault: str | None) -> Self:
        """Those of one module."""
        return cls({name: Module(machine, tuple(figures), fault)})

    def merged(self, newer: "Results") -> "Results":
        """With the modules of the newer ones in the place of their own."""
        return Results({**self.modules, **newer.modules})

    def figures(self) -> list[Figure]:
        """All of them by item, in the order in which they were measured."""
        found = (figure for module in self.modules.values() for figure in module.figures)
        return sorted(found, key=lambda figure: figure.item)

    def machines(self) -> Iterator[str]:
        """Each once; the load that it had is of no interest later."""
        yield from dict.fromkeys(module.machine.rpartition("; load")[0] for module in self.modules.values() if module.figures)


def read_results(path: Path = RESULTS) -> Results:
    """The kept results; none where there is no such file."""
    if not path.exists():
        return Results({})
    stored = json.loads(path.read_text(encoding="utf-8"))
    return Results(
        {
            name: Module(kept["machine"], tuple(Figure.of(figure) for figure in kept["figures"]), kept["fault"])
            for name, kept in stored.items()
        }
    )


def write_results(results: Results, path: Path = RESULTS) -> None:
    """The inverse of `read_results`."""
    stored = {name: asdict(module) for name, module in sorted(results.modules.items())}
    path.write_text(json.dumps(stored, indent=1) + "\n", encoding="utf-8")


def block(results: Results) -> str:
    """The headline figures as a table in markdown. Raises ValueError where they are too many for a page."""
    chosen = [figure for figure in results.figures() if figure.headline]
    if len(chosen) > MOST_ROWS:
        raise ValueError(f"{len(chosen)} figures are headlines, and the page has room for {MOST_ROWS}; make some of them plain")
    rows = [f"| {figure.what} | {figure.value_text} | {figure.target_text} | {VERDICTS[figure.holds]} |" for figure in chosen]
    if not chosen:
        return f"{BEGIN}\nNothing was measured yet.\n{END}"
    measured_on = "; ".join(results.machines())
    return "\n".join([BEGIN, "| figure | value | target | |", "|---|---|---|---|", *rows, "", f"Measured on {measured_on}.", END])


def with_block(page: str, results: Results) -> str:
    """The page with this table in the place of the one in it."""
    made = block(results)
    text, count = re.subn(f"{re.escape(BEGIN)}.*?{re.escape(END)}", lambda _: made, page, flags=re.DOTALL)
    if count != 1:
        raise ValueError(f"the page must have one {BEGIN} and one {END}, and has {count}")
    return text
