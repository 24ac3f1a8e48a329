"""The corpus: 1,500 files of all that the specification names, the same ones every time.

python -m tests.agreement.corpus OUT      NNNN_words.tif, index.json with their names, and originals/ for `repair`
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from tests.agreement import canvases, curved, damaged, layered, pictures, unmarked
from tests.agreement.saved import Case, Cases

# Each family, and how many of its files are taken, picked by chance where there are more.
FILES = 1500
FAMILIES: tuple[tuple[Callable[[], Cases], int], ...] = (
    (canvases.as_written, 50), (canvases.numbers, 130), (canvases.clipped, 40), (canvases.bounds, 80), (canvases.codings, 100),
    (canvases.disguised, 70), (layered.layers, 45), (layered.channels, 34), (layered.resized, 34), (layered.turned, 25),
    (layered.enlarged, 45), (curved.curves, 80), (curved.profiles, 27), (pictures.depths, 65), (pictures.kinds_of_numbers, 56),
    (pictures.colours, 48), (pictures.transparent, 50), (pictures.more_pages, 10), (damaged.records, 90), (damaged.texts, 58),
    (damaged.exact_tensors, 55), (damaged.structures, 75), (damaged.limits, 23), (unmarked.prototype, 65), (unmarked.bare, 70),
    (unmarked.repaired, 75),
)  # fmt: skip


def cases() -> list[Case]:
    """All of them, in the order of their numbers."""
    return [case for seed, (family, count) in enumerate(FAMILIES) for case in _some([*family()], count, seed)]


def _some(made: list[Case], count: int, seed: int) -> list[Case]:
    places = np.random.default_rng(seed).permutation(len(made))[:count]
    return [made[place] for place in sorted(places)]


def write(folder: Path) -> list[str]:
    """Write the files and return their names."""
    (folder / "originals").mkdir(parents=True, exist_ok=True)
    names = []
    for number, case in enumerate(cases()):
        names.append(f"{number:04d}_{case.words}{case.ending}.tif")
        (folder / names[-1]).write_bytes(case.data)
        if case.original is not None:
            (folder / "originals" / names[-1]).write_bytes(case.original)
    (folder / "index.json").write_text(json.dumps(names, indent=0) + "\n")
    return names


if __name__ == "__main__":
    sys.stdout.write(f"{len(write(Path(sys.argv[1])))} files\n")
