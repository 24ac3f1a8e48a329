"""Drive every editor that is installed, and write the table of docs/editors.md anew; lines of the others stay as they are."""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.editors.driving import EDITORS, driven, written
from tests.editors.table import PAGE, line, row, rows_of, with_rows


def main() -> None:
    rows = rows_of(PAGE.read_text())
    with TemporaryDirectory() as folder:
        sources = written(Path(folder))
        for editor in EDITORS:
            if editor.missing:
                sys.stdout.write(f"{editor.name}: its line stays, without {', '.join(editor.missing)}\n")
                continue
            rows[editor.name] = row(editor, driven(editor, sources, Path(folder) / editor.name))
            sys.stdout.write(line(rows[editor.name]) + "\n")
    PAGE.write_text(with_rows(PAGE.read_text(), [rows[editor.name] for editor in EDITORS if editor.name in rows]))


main()
