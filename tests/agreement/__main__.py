"""Compares a reader that was written from the specification alone with the program.

    python -m tests.agreement READER.py [CORPUS]      CORPUS: a folder that tests.agreement.corpus wrote; without, one is made

READER.py has `read(path, original=None) -> dict`: {"refused": True}, or {"refused": False} with kind, id, layout, state, painted
and tensors. Prints how many of the files the two read otherwise, and the first ten of each sort. Ends with 1 where there are any.
"""

import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.agreement import corpus
from tests.agreement.comparison import compared, loaded, report


def main(reader: Path, folder: Path) -> int:
    found = compared(loaded(reader), folder)
    sys.stdout.write(report(found))
    return 1 if any(found.values()) else 0


if __name__ == "__main__":
    if len(sys.argv) > 2:
        sys.exit(main(Path(sys.argv[1]), Path(sys.argv[2])))
    with TemporaryDirectory() as made:
        corpus.write(Path(made))
        sys.exit(main(Path(sys.argv[1]), Path(made)))
