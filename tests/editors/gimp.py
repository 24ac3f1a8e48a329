"""GIMP without a screen: one start for all files, driven by a Scheme script."""

from itertools import groupby

from tests.editors.edits import COPIED, LEFT_BY_CROP, PAINTED, Edit, Editor, Job
from tests.editors.programs import call
from tiffsd import Layout

SECONDS = 240
# Colours are entered as 8-bit sRGB. A page with a linear profile holds linear light, a picture the number itself.
GRAY = 128
LINEAR_GRAY = ((GRAY / 255 + 0.055) / 1.055) ** 2.4

EDITS = f"""
(define (layers image)
  (vector->list (cadr (gimp-image-get-layers image))))
(define (on-every-layer image action)
  (gimp-image-select-rectangle image CHANNEL-OP-REPLACE {PAINTED.x} {PAINTED.y} {PAINTED.width} {PAINTED.height})
  (for-each action (layers image))
  (gimp-selection-none image))
(define (save image) #t)
(define (fill image)
  (gimp-context-set-foreground '({GRAY} {GRAY} {GRAY}))
  (on-every-layer image (lambda (layer) (gimp-drawable-edit-fill layer FILL-FOREGROUND))))
(define (blur image)
  (on-every-layer image (lambda (layer) (plug-in-gauss RUN-NONINTERACTIVE image layer 5 5 0))))
(define (crop image)
  (gimp-image-crop image {LEFT_BY_CROP.width} {LEFT_BY_CROP.height} {LEFT_BY_CROP.x} {LEFT_BY_CROP.y}))
(define (paste image)
  (for-each (lambda (layer)
    (gimp-image-select-rectangle image CHANNEL-OP-REPLACE {COPIED.x} {COPIED.y} {COPIED.width} {COPIED.height})
    (gimp-edit-copy layer)
    (gimp-selection-none image)
    (let ((floating (car (gimp-edit-paste layer FALSE))))
      (gimp-layer-set-offsets floating {PAINTED.x} {PAINTED.y})
      (gimp-floating-sel-anchor floating))) (layers image)))
(define (work source edits)
  (let ((opened (car (gimp-file-load RUN-NONINTERACTIVE source source))))
    (for-each (lambda (edit)
      (let ((image (car (gimp-image-duplicate opened))) (target (cdr edit)))
        (catch (gimp-message target)
          ((car edit) image)
          (file-tiff-save2 RUN-NONINTERACTIVE image (car (gimp-image-get-active-drawable image))
            (string-append "file://" target) target 0 TRUE))
        (gimp-image-delete image))) edits)
    (gimp-image-delete opened)))
"""


def run(jobs: list[Job]) -> None:
    script = jobs[0].target.parent / "edits.scm"
    script.write_text(EDITS + "".join(_work(list(same)) for _, same in groupby(jobs, lambda job: job.source)) + "(gimp-quit 1)\n")
    home = script.parent / "home"
    home.mkdir()
    call("gimp", "-i", "-d", "-f", "-s", "-b", f'(load "{script}")', seconds=SECONDS, HOME=str(home), GEGL_THREADS="1")


def _work(jobs: list[Job]) -> str:
    """Each edit starts from the file as it was opened, which is opened once."""
    edits = " ".join(f'(cons {job.edit} "{job.target}")' for job in jobs)
    return f'(work "{jobs[0].source}" (list {edits}))\n'


GIMP = Editor(
    "GIMP",
    run,
    "keep the profile; zero is sRGB 188, not 128: pick colours from the canvas; on rgba neither paste nor blur, and export with "
    "'Save color values from transparent pixels', without which rgba is refused",
    ("gimp",),
    ("gimp",),
    quick=True,
    edits=tuple(Edit),
    fill=lambda layout: GRAY / 255 if layout is Layout.RGB else LINEAR_GRAY,
)
