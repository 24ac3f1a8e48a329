"""Krita without a screen: one start for all files, driven by a script that runs inside it."""

import json
from pathlib import Path

from tests.editors.edits import FILL, LEFT_BY_CROP, PAINTED, Editor, Job
from tests.editors.programs import call

SECONDS = 240
# Debian installs Krita without it; the script then fails at its first line, and leaves nothing.
PYQT = "/usr/lib*/python3*/*-packages/PyQt5/QtCore*.so"
SCRIPT = Path(__file__).with_name("inside_krita.py")


def run(jobs: list[Job]) -> None:
    folder = jobs[0].target.parent
    (folder / "inside_krita.py").write_bytes(SCRIPT.read_bytes())
    orders = [[job.edit, str(job.source), str(job.target), job.pages] for job in jobs]
    boxes = [[box.x, box.y, box.width, box.height] for box in (PAINTED, LEFT_BY_CROP)]
    (folder / "jobs.json").write_text(json.dumps({"painted": boxes[0], "left": boxes[1], "fill": FILL, "orders": orders}))
    call(
        *("kritarunner", "-s", "inside_krita", "-f", "run"),
        seconds=SECONDS,
        HOME=str(folder / "home"),
        PYTHONPATH=str(folder),
        QT_QPA_PLATFORM="offscreen",
        TIFFSD_JOBS=str(folder / "jobs.json"),
    )


KRITA = Editor(
    "Krita",
    run,
    "pages: export with alpha, not flattened, and no further layer: it writes four",
    ("kritarunner", PYQT),
    ("krita", "python3-pyqt5"),
)
