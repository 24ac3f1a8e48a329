"""Proofs painted on in GIMP: one start for all ways to save them, driven by a Scheme script."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.editors.gimp import SECONDS
from tests.editors.paint import BOX, BOX_BLOCKS, COLOUR, ELLIPSE, ELLIPSE_BLOCKS, RADIUS, STROKE, STROKE_BLOCKS, Hand, Saving
from tests.editors.programs import call

RED, GREEN, BLUE = COLOUR
DEFINITIONS = f"""
(define (active image) (car (gimp-image-get-active-drawable image)))
(define (fill image layer)
  (gimp-drawable-edit-fill layer FILL-FOREGROUND)
  (gimp-selection-none image))
(define (box image layer)
  (gimp-image-select-rectangle image CHANNEL-OP-REPLACE {BOX.x} {BOX.y} {BOX.width} {BOX.height})
  (fill image layer))
(define (ellipse image layer)
  (gimp-image-select-ellipse image CHANNEL-OP-REPLACE {ELLIPSE.x} {ELLIPSE.y} {ELLIPSE.width} {ELLIPSE.height})
  (fill image layer))
(define (stroke image layer)
  (let ((brush (car (gimp-brush-new "round"))))
    (gimp-brush-set-radius brush {RADIUS})
    (gimp-brush-set-hardness brush 1)
    (gimp-context-set-brush brush)
    (gimp-context-set-brush-size {2 * RADIUS})
    (gimp-context-set-brush-spacing 0.1))
  (gimp-paintbrush-default layer 4 #({STROKE[0][0]} {STROKE[0][1]} {STROKE[1][0]} {STROKE[1][1]})))
(define (pasted image layer)
  (gimp-image-select-rectangle image CHANNEL-OP-REPLACE {BOX.x} {BOX.y} {BOX.width} {BOX.height})
  (gimp-edit-copy layer)
  (gimp-selection-none image)
  (let ((floating (car (gimp-edit-paste layer FALSE))))
    (gimp-floating-sel-to-layer floating)
    (gimp-layer-set-offsets floating {BOX.x} {BOX.y})
    (gimp-drawable-edit-fill floating FILL-FOREGROUND)))
(define (in-new-layer image layer)
  (let ((above (car (gimp-layer-new image (car (gimp-image-width image)) (car (gimp-image-height image)) RGBA-IMAGE "Layer"
                                    100 LAYER-MODE-NORMAL))))
    (gimp-image-insert-layer image above 0 -1)
    (box image above)))
(define (erased image layer)
  (gimp-layer-add-alpha layer)
  (gimp-image-select-rectangle image CHANNEL-OP-REPLACE {BOX.x} {BOX.y} {BOX.width} {BOX.height})
  (gimp-drawable-edit-clear layer)
  (gimp-selection-none image))
(define (nothing image layer) #t)
(define (indexed image dither) (gimp-image-convert-indexed image dither CONVERT-PALETTE-GENERATE 255 FALSE FALSE ""))
(define (precision image which) (gimp-image-convert-precision image which))
; What the dialog of an export does to layers.
(define (merged image) (gimp-image-merge-visible-layers image CLIP-TO-IMAGE))
(define (as-usual image target) (gimp-file-save RUN-NONINTERACTIVE image (active image) target target))
(define (png image target interlace background gamma others)
  (file-png-save2 RUN-NONINTERACTIVE image (active image) target target interlace 9 background gamma
                  others others others others TRUE))
(define (tiff image target compression)
  (file-tiff-save2 RUN-NONINTERACTIVE image (active image) (string-append "file://" target) target compression TRUE))
(define (jpeg image target quality sampling)
  (file-jpeg-save RUN-NONINTERACTIVE image (active image) target target quality 0 TRUE TRUE "" sampling TRUE 0 0))
(define (webp image target lossless)
  (file-webp-save RUN-NONINTERACTIVE image (active image) target target 0 lossless 90 100 FALSE FALSE FALSE 0 FALSE TRUE TRUE 0 0))
(define (work source target paint save)
  (let ((image (car (gimp-file-load RUN-NONINTERACTIVE source source))))
    (gimp-context-set-foreground '({RED} {GREEN} {BLUE}))
    (catch (gimp-message target)
      (paint image (active image))
      (save image target))
    (gimp-image-delete image)))
"""


def _first(change: str, save: str = "(as-usual image target)") -> str:
    return f"(begin {change} {save})"


USUAL = "(as-usual image target)"
PALETTE_DITHERED, PALETTE_FLAT = "(indexed image CONVERT-DITHER-FS)", "(indexed image CONVERT-DITHER-NONE)"
SAVINGS: Mapping[Saving, str] = {
    Saving("usual", quick=True): USUAL,
    Saving("all_options"): "(png image target TRUE TRUE TRUE TRUE)",
    Saving("no_options"): "(png image target FALSE FALSE FALSE FALSE)",
    Saving("gamma_without_profile", quick=True): _first(
        '(gimp-image-detach-parasite image "icc-profile")', "(png image target FALSE TRUE TRUE TRUE)"
    ),
    Saving("alpha", quick=True): _first("(gimp-layer-add-alpha (active image))"),
    Saving("indexed", lossy=True, quick=True): _first(PALETTE_DITHERED),
    Saving("indexed_flat", lossy=True): _first(PALETTE_FLAT),
    Saving("u8_linear", quick=True): _first("(precision image PRECISION-U8-LINEAR)"),
    Saving("u16", quick=True): _first("(precision image PRECISION-U16-GAMMA)"),
    Saving("u16_linear"): _first("(precision image PRECISION-U16-LINEAR)"),
    Saving("f32"): _first("(precision image PRECISION-FLOAT-GAMMA)"),
    Saving("tiff", ".proof.tiff", quick=True): USUAL,
    Saving("tiff_lzw", ".proof.tif"): "(tiff image target 1)",
    Saving("tiff_deflate", ".proof.tif"): "(tiff image target 3)",
    Saving("tiff_jpeg", ".proof.tif", lossy=True, quick=True): "(tiff image target 4)",
    Saving("tiff_u8_linear", ".proof.tiff"): _first("(precision image PRECISION-U8-LINEAR)"),
    Saving("tiff_u16", ".proof.tiff"): _first("(precision image PRECISION-U16-GAMMA)"),
    Saving("tiff_f16", ".proof.tiff"): _first("(precision image PRECISION-HALF-GAMMA)"),
    Saving("tiff_f32", ".proof.tiff", quick=True): _first("(precision image PRECISION-FLOAT-GAMMA)"),
    Saving("tiff_f32_linear", ".proof.tiff", quick=True): _first("(precision image PRECISION-FLOAT-LINEAR)"),
    Saving("jpeg", ".proof.jpg", lossy=True, quick=True): USUAL,
    Saving("jpeg_90", ".proof.jpg", lossy=True): "(jpeg image target 0.9 2)",
    Saving("jpeg_75", ".proof.jpeg", lossy=True): "(jpeg image target 0.75 0)",
    Saving("webp", ".proof.webp", lossy=True): USUAL,
    Saving("webp_90", ".proof.webp", lossy=True, quick=True): "(webp image target FALSE)",
    Saving("webp_lossless", ".proof.webp"): "(webp image target TRUE)",
}
HANDS: Mapping[Hand, tuple[str, str]] = {
    Hand("ellipse", ELLIPSE_BLOCKS): ("ellipse", USUAL),
    Hand("stroke", STROKE_BLOCKS): ("stroke", USUAL),
    Hand("erased", BOX_BLOCKS): ("erased", USUAL),
    Hand("erased", BOX_BLOCKS, ".proof.tiff"): ("erased", USUAL),
    Hand("pasted", BOX_BLOCKS): ("pasted", _first("(merged image)")),
    Hand("pasted", None, ".proof.tiff"): ("pasted", USUAL),
    Hand("in_new_layer", BOX_BLOCKS): ("in-new-layer", _first("(merged image)")),
    Hand("with_the_rest_clear", None): ("in-new-layer", USUAL),
}


def make(source: Path, savings: Iterable[Saving], folder: Path) -> None:
    """Save the proof in these ways, with paint and without, and after other hands; what GIMP saves lies in the folder then."""
    orders = [
        order(source, folder / saving.file(painted=painted), "box" if painted else "nothing", SAVINGS[saving])
        for saving in savings
        for painted in (False, True)
    ]
    orders += [order(source, folder / hand.file, *words) for hand, words in HANDS.items()]
    run(orders, folder)


def paint_in_place(proof: Path, folder: Path) -> None:
    """Paint BOX on a proof and save it under its name."""
    run([order(proof, proof, "box", USUAL)], folder)


def order(source: Path, target: Path, hand: str, save: str) -> str:
    return f'(work "{source}" "{target}" {hand} (lambda (image target) {save}))\n'


def run(orders: list[str], folder: Path) -> None:
    script, home = folder / "paint.scm", folder / "home"
    home.mkdir()
    script.write_text(DEFINITIONS + "".join(orders) + "(gimp-quit 1)\n")
    call("gimp", "-i", "-d", "-f", "-s", "-b", f'(load "{script}")', seconds=SECONDS, HOME=str(home), GEGL_THREADS="1")
