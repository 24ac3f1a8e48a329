"""Proofs painted on with ImageMagick: each file is one call."""

from collections.abc import Iterable, Mapping
from pathlib import Path

from tests.editors.paint import BOX, BOX_BLOCKS, COLOUR, Hand, Saving
from tests.editors.programs import HDRI, call

BRUSH = ("-fill", "rgb({},{},{})".format(*COLOUR), "-draw", f"rectangle {BOX.x},{BOX.y} {BOX.right - 1},{BOX.bottom - 1}")
SAVINGS: Mapping[Saving, tuple[str, ...]] = {
    Saving("usual", quick=True): (),
    Saving("stripped"): ("-strip",),
    Saving("u16"): ("-depth", "16"),
    Saving("indexed", lossy=True): ("-colors", "255", "-type", "Palette"),
    Saving("tiff", ".proof.tiff", quick=True): (),
    Saving("tiff_f32", ".proof.tiff"): ("-define", "quantum:format=floating-point", "-depth", "32"),
    Saving("jpeg_90", ".proof.jpg", lossy=True, quick=True): ("-quality", "90"),
    Saving("webp_80", ".proof.webp", lossy=True): ("-quality", "80"),
}
HANDS: Mapping[Hand, tuple[str, ...]] = {
    Hand("cleared", BOX_BLOCKS): ("-alpha", "set", "-region", BOX.geometry, "-alpha", "transparent"),
}


def make(source: Path, savings: Iterable[Saving], folder: Path) -> None:
    """Save the proof in these ways, with paint and without, and after other hands."""
    for saving in savings:
        for painted, brush in ((False, ()), (True, BRUSH)):
            call(HDRI, source, *brush, *SAVINGS[saving], folder / saving.file(painted=painted))
    for hand, words in HANDS.items():
        call(HDRI, source, *words, folder / hand.file)
