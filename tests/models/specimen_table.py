"""The table of tests/README.md that says what `tiffsd models` makes of each specimen.

    python -m tests.models.specimen_table

writes it anew, for whoever has added a specimen or changed a sentence; who does reads what has changed in it."""

import re
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from daemon.commands.models import Listed, list_models
from daemon.settings.config import read_config
from tests.full_size import write_sparse, write_sparse_gguf
from tests.models.specimens import SPECIMENS

README = Path(__file__).parent.parent / "README.md"
HEAD = "| specimen | what it is | its header | what `tiffsd models` says |\n|---|---|---|---|\n"
# Where a sentence goes on with what to do, which is the same for all of its kind.
_WAY_OUT = re.compile(r"(: name |: put it |; supported are |; get it ).*")


def listed(folder: Path) -> Mapping[str, Listed]:
    """Write the specimens into a folder, and return what `tiffsd models` says of each."""
    for name, specimen in SPECIMENS.items():
        file, weights = folder / file_of(name), specimen.make()
        if specimen.form:
            write_sparse_gguf(weights, file, specimen.form)
        else:
            write_sparse(weights, file)
    models = "".join(f"  {name}: {{path: {file_of(name)}}}\n" for name in SPECIMENS)
    (folder / "config.yaml").write_text(f"models:\n{models}")
    return {entry.name: entry for entry in list_models(read_config(folder / "config.yaml"))}


def file_of(name: str) -> str:
    return f"{name}.gguf" if SPECIMENS[name].form else f"{name}.safetensors"


def table(said: Mapping[str, Listed]) -> str:
    return HEAD + "".join(f"| {' | '.join(row)} |\n" for row in _rows(said))


def _rows(said: Mapping[str, Listed]) -> Iterator[tuple[str, ...]]:
    for name, specimen in SPECIMENS.items():
        entry = said[name]
        faults = [_WAY_OUT.sub("", fault.replace(entry.path, "it")) for fault in entry.faults]
        family = f"{entry.family}: " if entry.family else ""
        yield f"`{name}`", specimen.what, "whole" if specimen.whole else "marks", family + (", ".join(faults) or "ready")


def written() -> str:
    """The table as it stands in tests/README.md."""
    rest = README.read_text(encoding="utf-8").partition(HEAD)[2]
    return HEAD + rest[: rest.index("\n\n") + 1]


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as place:
        made = table(listed(Path(place)))
    README.write_text(README.read_text(encoding="utf-8").replace(written(), made), encoding="utf-8")
