"""From an editor to its outcomes: write the specimens, run all its jobs in one go, judge what it left."""

from pathlib import Path

import tiffsd
from tests.editors.edits import Edit, Editor, Job
from tests.editors.gimp import GIMP
from tests.editors.krita import KRITA
from tests.editors.libraries import LIBRARIES
from tests.editors.outcomes import Outcome, judged
from tests.editors.programs import PROGRAMS
from tests.editors.specimens import Specimen, first_of_layout, specimens

EDITORS = (GIMP, KRITA, *PROGRAMS, *LIBRARIES)


def written(folder: Path) -> dict[str, Path]:
    """Write every specimen once; name -> file."""
    paths = {specimen.name: folder / f"{specimen.artifact.header.id}.tiff" for specimen in specimens()}
    for specimen in specimens():
        tiffsd.write(paths[specimen.name], specimen.artifact)
    return paths


def driven(editor: Editor, sources: dict[str, Path], folder: Path) -> list[Outcome]:
    """Save and fill every specimen in this editor, blur and crop one of each layout, and judge."""
    folder.mkdir()
    jobs = [
        Job(specimen, edit, sources[specimen.name], folder / f"{number}-{edit}.tiff")
        for number, specimen in enumerate(specimens())
        for edit in _edits(editor, specimen)
    ]
    editor.run(jobs)
    return [judged(editor, job) for job in jobs]


def _edits(editor: Editor, specimen: Specimen) -> list[Edit]:
    thorough = specimen in first_of_layout()
    return [edit for edit in editor.edits if thorough or edit in (Edit.SAVE, Edit.FILL)]
