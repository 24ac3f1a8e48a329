"""Drive every editor that is installed, and write the table in the README anew; lines of the others stay as they are."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.editors.driving import EDITORS, driven, written
from tests.editors.table import README, line, row, rows_of, with_rows


def main() -> None:
    rows = rows_of(README.read_text())
    with TemporaryDirectory() as folder:
        sources = written(Path(folder))
        for editor in EDITORS:
            if editor.missing:
                sys.stdout.write(f"{editor.name}: its line stays, without {', '.join(editor.missing)}\n")
                continue
            rows[editor.name] = row(editor, driven(editor, sources, Path(folder) / editor.name))
            sys.stdout.write(line(rows[editor.name]) + "\n")
    README.write_text(with_rows(README.read_text(), [rows[editor.name] for editor in EDITORS if editor.name in rows]))


main()
