"""The table of tests/README.md that says of each structure what is read of it and what is noted.

    python -m tests.recipes.table

writes it anew, for whoever has added a specimen or changed a sentence; who does reads what has changed in it."""

import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

from daemon.settings.config import Config
from tests.recipes.reading import configured, recipe_of
from tests.recipes.specimens import SPECIMENS

README = Path(__file__).parent.parent / "README.md"
HEAD = "| recipe | structure | source program | what is read | what is noted |\n|---|---|---|---|---|\n"
# A note is cut to what it names.
_KEY = re.compile(r"'(?P<key>[^:']+): .*' of the recipe ignored: tiffsd has no such setting")
_NODE = re.compile(r"the node '(?P<key>[^']+)' of the workflow ignored.*")
_LINE = re.compile(r"the line '(?P<key>[^:']+):.*' behind the parameters of the recipe ignored")
LONGEST = 90


def table(config: Config) -> str:
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in _rows(config))


def _rows(config: Config) -> Iterator[tuple[str, ...]]:
    for name, specimen in SPECIMENS.items():
        found = recipe_of(specimen.wrap(specimen.record), f"x{specimen.ending}", config)
        notes = list(dict.fromkeys(_short(note) for note in (*found.notes, *found.faults.values())))
        yield f"`{name}`", specimen.what, specimen.program, ", ".join(found.settings) or "nothing", "; ".join(notes) or "nothing"


def _short(note: str) -> str:
    for pattern in (_KEY, _NODE, _LINE):
        if found := pattern.fullmatch(note):
            return f"`{found['key']}`"
    note = note.replace("|", "/")
    return note if len(note) <= LONGEST else note[: note.rindex(" ", 0, LONGEST)] + " ..."


def written() -> str:
    """The table as it stands in tests/README.md."""
    rest = README.read_text(encoding="utf-8").partition(HEAD)[2]
    return HEAD + rest[: rest.index("\n\n") + 1]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made = table(configured(Path(place)))
    README.write_text(README.read_text(encoding="utf-8").replace(written(), made), encoding="utf-8")
