"""The judge sees damage: editors that do what no editor here does."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

import tiffsd
from tests.editors.edits import FILL, LEFT_BY_CROP, PAINTED, Edit, Editor, Job, each
from tests.editors.outcomes import Outcome, Verdict, judged
from tests.editors.specimens import Specimen, specimens

MOSAIC = specimens()[0]
Change = Callable[[NDArray[np.float32]], Any]


def outcome(change: Change, edit: Edit, folder: Path, specimen: Specimen = MOSAIC) -> Outcome:
    """The verdict on an editor that does `change` to the pixels of a page where it was asked for `edit`."""

    def work(job: Job) -> None:
        with Image.open(job.source) as page:
            pixels = np.array(page)
        change(pixels)
        Image.fromarray(pixels).save(job.target)

    job = Job(specimen, edit, folder / "in.tiff", folder / "out.tiff")
    tiffsd.write(job.source, specimen.artifact)
    editor = Editor("liar", each(work), "")
    editor.run([job])
    return judged(editor, job)


def fill(pixels: NDArray[np.float32]) -> None:
    pixels[PAINTED.place] = FILL


def fill_nearly(pixels: NDArray[np.float32]) -> None:
    pixels[PAINTED.place] = FILL + 5e-6


def nothing(pixels: NDArray[np.float32]) -> None:
    pass


def test_an_honest_editor_is_exact(tmp_path: Path) -> None:
    assert outcome(fill, Edit.FILL, tmp_path).verdict is Verdict.EXACT


@pytest.mark.parametrize(
    ("edit", "change"),
    [
        (Edit.SAVE, lambda pixels: np.put(pixels, 2000, pixels.flat[2000] + 1e-4)),
        (Edit.SAVE, lambda pixels: np.put(pixels, 2000, pixels.flat[2000] + 2e-6)),
        (Edit.SAVE, lambda pixels: np.multiply(pixels, 1 + 1e-5, out=pixels)),
        (Edit.SAVE, lambda pixels: np.copyto(pixels, np.roll(pixels, 1, axis=0))),
        (Edit.FILL, nothing),
        (Edit.FILL, fill_nearly),
        (Edit.BLUR, nothing),
    ],
    ids=["one pixel off", "one pixel hardly off", "brighter", "a row lower", "no fill", "another fill", "no blur"],
)
def test_damage_is_seen(edit: Edit, change: Change, tmp_path: Path) -> None:
    assert outcome(change, edit, tmp_path).verdict is Verdict.DAMAGED


def test_a_crop_of_something_else_is_damage(tmp_path: Path) -> None:
    pages = next(specimen for specimen in specimens() if specimen.layout is tiffsd.Layout.PAGES)
    job = Job(pages, Edit.CROP, tmp_path / "in.tiff", tmp_path / "out.tiff")
    original = pages.artifact
    rows, columns = LEFT_BY_CROP.place
    for shifted, verdict in ((0, Verdict.EXACT), (1, Verdict.DAMAGED)):
        cut = original.tensors["latents"][:, rows, columns.start + shifted : columns.stop + shifted]
        header = replace(original.header, size=cut.shape)
        tiffsd.write(job.target, tiffsd.Artifact(header, {**original.tensors, "latents": cut}))
        assert judged(Editor("cutter", print, ""), job).verdict is verdict


def test_a_lost_embedding_is_damage(tmp_path: Path) -> None:
    job = Job(MOSAIC, Edit.SAVE, tmp_path / "in.tiff", tmp_path / "out.tiff")
    tiffsd.write(job.target, replace(MOSAIC.artifact, tensors={"latents": MOSAIC.artifact.tensors["latents"]}))
    assert judged(Editor("loser", print, ""), job).verdict is Verdict.DAMAGED
