"""The table of docs/editors.md: one line per editor, each cell but the advice measured."""

from collections.abc import Iterable
from pathlib import Path

from tests.editors.edits import Edit, Editor
from tests.editors.outcomes import Outcome, Verdict
from tests.editors.specimens import Specimen
from tiffsd import Layout

PAGE = Path(__file__).parents[2] / "docs/editors.md"
BEGINNING, END = "<!-- editors -->", "<!-- end of editors -->"
COLUMNS = {
    "latents, embeddings": (Layout.MOSAIC, Layout.STRIP),
    "pages": (Layout.PAGES,),
    "rgba": (Layout.RGBA,),
    "pictures": (Layout.RGB,),
}
HEADINGS = ("editor", *COLUMNS, "crops pages", "drops", "advice")


def row(editor: Editor, outcomes: Iterable[Outcome]) -> dict[str, str]:
    """What was measured, as the cells of one line, by heading."""
    outcomes = list(outcomes)
    edited = [outcome for outcome in outcomes if outcome.job.edit is not Edit.CROP]
    columns = {heading: cell([o for o in edited if o.job.layout in layouts]) for heading, layouts in COLUMNS.items()}
    cropped = [o.verdict for o in outcomes if o.job.edit is Edit.CROP and o.job.layout is Layout.PAGES]
    kept = frozenset.intersection(*(o.kept for o in edited if o.job.layout is Layout.MOSAIC))
    return {
        "editor": editor.name,
        **columns,
        "crops pages": "yes" if set(cropped) <= {Verdict.EXACT, Verdict.STEPS} else "no",
        "drops": "nothing" if "tensors" in kept else "prompt, embedding" if "id" in kept else "all but the pixels",
        "advice": editor.advice,
    }


def cell(outcomes: list[Outcome]) -> str:
    """The verdict, or the first one and where it is another: on which specimens, else in which edits."""
    first = outcomes[0].verdict
    others: dict[Verdict, dict[str, None]] = {}
    for outcome in outcomes:
        if outcome.verdict is not first:
            others.setdefault(outcome.verdict, {})[_where(outcome, outcomes)] = None
    return "; ".join([first.value, *(f"{', '.join(places)} {verdict}" for verdict, places in others.items())])


def _where(outcome: Outcome, outcomes: list[Outcome]) -> str:
    same = {other.verdict for other in outcomes if other.job.specimen == outcome.job.specimen}
    return _trait(outcome.job.specimen) if len(same) == 1 else str(outcome.job.edit)


def _trait(specimen: Specimen) -> str:
    if specimen.layout is Layout.RGB:
        return str(specimen.artifact.tensors["picture"].dtype)
    return f"{specimen.artifact.header.size[0]} channels"


def line(cells: dict[str, str]) -> str:
    return "| " + " | ".join(cells[heading] for heading in HEADINGS) + " |"


def rows_of(page: str) -> dict[str, dict[str, str]]:
    """The table as it stands: editor -> cells by heading."""
    lines = page.partition(BEGINNING)[2].partition(END)[0].strip().splitlines()[2:]
    found = [dict(zip(HEADINGS, (part.strip() for part in text.strip("| ").split(" | ")), strict=True)) for text in lines]
    return {cells["editor"]: cells for cells in found}


def with_rows(page: str, rows: Iterable[dict[str, str]]) -> str:
    """The page with another table between its markers."""
    before, _, rest = page.partition(BEGINNING)
    heading = ["| " + " | ".join(HEADINGS) + " |", "|" + "---|" * len(HEADINGS)]
    table = "\n".join([*heading, *map(line, rows)])
    return f"{before}{BEGINNING}\n{table}\n{END}{rest.partition(END)[2]}"
