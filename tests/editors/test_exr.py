"""OpenEXR in real editors: what they paint counts, all else stays exact, and pictures come back as they went."""

from dataclasses import replace
from pathlib import Path

import numpy as np

import tiffsd
from tests.editors.conftest import need
from tests.editors.edits import FILL, PAINTED, Edit, Job
from tests.editors.gimp import GIMP
from tests.editors.krita import KRITA
from tests.editors.programs import call
from tests.editors.specimens import Specimen, specimens
from tiffsd.exr_file import write_exr

SPECIMENS = {specimen.name: specimen for specimen in specimens()}
SECONDS = 240
# Fill what is painted with white, and export again under the same form.
GIMP_SCRIPT = f"""
(let* ((image (car (gimp-file-load RUN-NONINTERACTIVE "IN" "IN"))) (layer (car (gimp-image-get-active-drawable image))))
  (gimp-image-select-rectangle image CHANNEL-OP-REPLACE {PAINTED.x} {PAINTED.y} {PAINTED.width} {PAINTED.height})
  (gimp-context-set-foreground '(255 255 255))
  (gimp-drawable-edit-fill layer FILL-FOREGROUND)
  (file-exr-save RUN-NONINTERACTIVE image layer "OUT" "OUT"))
"""


def source(artifact: tiffsd.Artifact, layout: tiffsd.Layout, folder: Path) -> Path:
    path = folder / f"in.{artifact.header.id}.exr"
    with path.open("wb") as file:
        write_exr(file, replace(artifact, header=replace(artifact.header, layout=layout)))
    return path


def through_gimp(path: Path) -> Path:
    need(GIMP)
    target = path.with_name(path.name.replace("in.", "out."))
    script = path.with_name("script.scm")
    script.write_text(GIMP_SCRIPT.replace('IN"', f'{path}"').replace('OUT"', f'{target}"') + "(gimp-quit 1)\n")
    (path.parent / "home").mkdir()
    call("gimp", "-i", "-d", "-f", "-s", "-b", f'(load "{script}")', seconds=SECONDS, HOME=str(path.parent / "home"))
    return target


def only_painted_differ(found: tiffsd.Artifact, made: tiffsd.Artifact, painted: float) -> None:
    """Only the rectangle of the canvas that an editor filled differs, and has the value that this pixel stands for."""
    differ = found.tensors["latents"] != made.tensors["latents"]
    assert found.painted == np.count_nonzero(differ)
    assert np.allclose(found.tensors["latents"][differ], painted, atol=1e-5)
    assert found.tensors.keys() == {name for name in made.tensors if not name.startswith("scheduler.")}


def test_gimp_keeps_a_mosaic_exact_but_for_what_is_painted(tmp_path: Path) -> None:
    made = SPECIMENS["final, 4 channels"].artifact
    target = through_gimp(source(made, tiffsd.Layout.MOSAIC, tmp_path))
    found = tiffsd.repair(tiffsd.read(target, expect=tiffsd.Kind.LATENTS), made)
    only_painted_differ(found, made, 4.0)
    assert found.painted == PAINTED.width * PAINTED.height


def test_gimp_keeps_a_picture(tmp_path: Path) -> None:
    made = next(specimen.artifact for specimen in specimens() if specimen.artifact.header.kind is tiffsd.Kind.PICTURE)
    found = tiffsd.read(through_gimp(source(made, tiffsd.Layout.RGB, tmp_path))).tensors["picture"]
    expected = made.tensors["picture"].astype(np.float32)
    expected[PAINTED.y : PAINTED.bottom, PAINTED.x : PAINTED.right] = 1
    assert np.abs(found - expected).max() < 1e-6


def test_krita_shows_the_channels_as_layers_and_keeps_them_exact_but_for_what_is_painted(tmp_path: Path) -> None:
    need(KRITA)
    specimen: Specimen = SPECIMENS["final, 4 channels, pages"]
    made = specimen.artifact
    path = source(made, tiffsd.Layout.PAGES, tmp_path)
    job = Job(specimen, Edit.FILL, path, path.with_name(f"out.{made.header.id}.exr"))
    (tmp_path / "home").mkdir()
    KRITA.run([job])
    found = tiffsd.repair(tiffsd.read(job.target), made)
    only_painted_differ(found, made, (FILL - 0.5) * 8)
    assert found.painted == 4 * PAINTED.width * PAINTED.height
