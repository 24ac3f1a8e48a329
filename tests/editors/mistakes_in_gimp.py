"""Mistakes made in GIMP: one start for all of them, driven by a Scheme script."""

from collections.abc import Mapping
from pathlib import Path

from tests.editors.gimp import SECONDS
from tests.editors.mistakes import PLACE, SECOND_PLACE, SIDE, Mistake
from tests.editors.programs import call
from tiffsd import Layout

DEFINITIONS = f"""
(define (active image) (car (gimp-image-get-active-drawable image)))
(define (paint-at image layer place)
  (gimp-image-select-rectangle image CHANNEL-OP-REPLACE place place {SIDE} {SIDE})
  (gimp-context-set-foreground '(255 255 255))
  (gimp-drawable-edit-fill layer FILL-FOREGROUND)
  (gimp-selection-none image))
(define (new-layer image)
  (let ((layer (car (gimp-layer-new image (car (gimp-image-width image)) (car (gimp-image-height image)) GRAYA-IMAGE "Layer"
                                    100 LAYER-MODE-NORMAL))))
    (gimp-image-insert-layer image layer 0 -1)
    layer))
(define (painted-layer image) (paint-at image (new-layer image) {SECOND_PLACE}))
(define (copied-layer image)
  (let ((layer (car (gimp-layer-copy (active image) FALSE))))
    (gimp-image-insert-layer image layer 0 -1)
    layer))
(define (enlarged image factor way)
  (gimp-context-set-interpolation way)
  (gimp-image-scale image (* factor (car (gimp-image-width image))) (* factor (car (gimp-image-height image)))))
(define (larger-canvas image place)
  (gimp-image-resize image (* 2 (car (gimp-image-width image))) (* 2 (car (gimp-image-height image))) place place))
(define keep-colours TRUE) ; "Save color values from transparent pixels" of the dialog
(define (work source target is-tiff mistake)
  (let ((image (car (gimp-file-load RUN-NONINTERACTIVE source source))))
    (set! keep-colours TRUE)
    (catch (gimp-message target)
      (paint-at image (active image) {PLACE})
      (mistake image)
      (if is-tiff
        (file-tiff-save2 RUN-NONINTERACTIVE image (active image) (string-append "file://" target) target 0 keep-colours)
        (gimp-file-save RUN-NONINTERACTIVE image (active image) target target)))
    (gimp-image-delete image)))
"""


def _precision(name: str) -> str:
    return f"(gimp-image-convert-precision image PRECISION-{name})"


COPY_OF_ANOTHER = f"(paint-at image (copied-layer image) {SECOND_PLACE})"
MISTAKES: Mapping[Mistake, str] = {
    Mistake("resave"): "#t",
    **{Mistake(name): _precision(f"{kind}-LINEAR") for name, kind in {"u8lin": "U8", "u16lin": "U16", "u32lin": "U32"}.items()},
    **{Mistake(name): _precision(f"{kind}-LINEAR") for name, kind in {"f16lin": "HALF", "f64": "DOUBLE"}.items()},
    **{Mistake(name): _precision(f"{kind}-GAMMA") for name, kind in {"u8g": "U8", "u16g": "U16", "u32g": "U32"}.items()},
    **{
        Mistake(name): _precision(f"{kind}-GAMMA") for name, kind in {"f16g": "HALF", "f32gamma": "FLOAT", "f64g": "DOUBLE"}.items()
    },
    Mistake("flip"): "(gimp-image-flip image ORIENTATION-HORIZONTAL)",
    Mistake("flip_down"): "(gimp-image-flip image ORIENTATION-VERTICAL)",
    Mistake("rot90"): "(gimp-image-rotate image ROTATE-90)",
    Mistake("rot180"): "(gimp-image-rotate image ROTATE-180)",
    Mistake("rgb"): "(gimp-image-convert-rgb image)",
    Mistake("alpha"): "(gimp-layer-add-alpha (active image))",
    Mistake("twolayers"): "(painted-layer image)",
    Mistake("merged"): "(begin (painted-layer image) (gimp-image-flatten image))",
    Mistake("duplicate"): "(copied-layer image)",
    Mistake("duplicate_painted"): COPY_OF_ANOTHER,
    Mistake("selection"): "(begin (gimp-image-select-rectangle image CHANNEL-OP-REPLACE 2 2 7 7) (gimp-selection-save image))",
    Mistake("crop"): "(gimp-image-crop image 24 24 0 0)",
    Mistake("scale2"): "(enlarged image 2 INTERPOLATION-CUBIC)",
    Mistake("scale2_linear"): "(enlarged image 2 INTERPOLATION-LINEAR)",
    Mistake("scale2_none"): "(enlarged image 2 INTERPOLATION-NONE)",
    Mistake("scale2_lohalo"): "(enlarged image 2 INTERPOLATION-LOHALO)",
    Mistake("scale3_cubic"): "(enlarged image 3 INTERPOLATION-CUBIC)",
    Mistake("canvas2"): "(larger-canvas image 0)",
    Mistake("canvas2_flat"): "(begin (larger-canvas image 0) (gimp-image-flatten image))",
    **{Mistake(form): "#t" for form in ("png", "jpg", "webp", "exr", "psd", "xcf")},
    Mistake("moved", Layout.PAGES): "(gimp-layer-set-offsets (active image) 3 2)",
    Mistake("canvas", Layout.PAGES): "(larger-canvas image 4)",
    Mistake("dup", Layout.PAGES): "(copied-layer image)",
    Mistake("newlayer", Layout.PAGES): "(new-layer image)",
    Mistake("opacity", Layout.PAGES): "(gimp-layer-set-opacity (active image) 50)",
    Mistake("gamma", Layout.PAGES): _precision("FLOAT-GAMMA"),
    Mistake("kept_colours", Layout.RGBA): "#t",
    Mistake("lost_colours", Layout.RGBA): "(set! keep-colours FALSE)",
    Mistake("flip", Layout.PAGES): "(gimp-image-flip image ORIENTATION-HORIZONTAL)",
}


def make(sources: Mapping[Layout, Path], folder: Path) -> None:
    """Make every mistake, each in a copy of the file of its layout; what GIMP saves lies in the folder then."""
    script, home = folder / "mistakes.scm", folder / "home"
    home.mkdir()
    orders = [
        f'(work "{sources[mistake.layout]}" "{folder / mistake.file}" {"#t" if mistake.file.endswith("tiff") else "#f"} '
        f"(lambda (image) {words}))\n"
        for mistake, words in MISTAKES.items()
    ]
    script.write_text(DEFINITIONS + "".join(orders) + "(gimp-quit 1)\n")
    call("gimp", "-i", "-d", "-f", "-s", "-b", f'(load "{script}")', seconds=SECONDS, HOME=str(home), GEGL_THREADS="1")
