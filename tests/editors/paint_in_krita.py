"""Proofs painted on in Krita: one start for all ways to save them, driven by a script that runs inside it."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.editors.krita import SECONDS
from tests.editors.paint import BOX, BOX_BLOCKS, COLOUR, Hand, Saving
from tests.editors.programs import call

SCRIPT = Path(__file__).with_name("paint_inside_krita.py")
SRGB, LINEAR, WIDE = "sRGB-elle-V2-srgbtrc.icc", "sRGB-elle-V2-g10.icc", "ClayRGB-elle-V2-g22.icc"


@dataclass(frozen=True)
class Way:
    """The depth and the profile that the picture is brought to first, and the options of the export; without, as it is."""

    space: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)


SAVINGS: Mapping[Saving, Way] = {
    Saving("usual", quick=True): Way(),
    Saving("all_options"): Way(
        options={"alpha": True, "compression": 9, "interlaced": True, "saveSRGBProfile": True, "forceSRGB": True}
    ),
    Saving("no_alpha"): Way(options={"alpha": False, "indexed": False, "transparencyFillcolor": [255, 255, 255]}),
    Saving("its_own_profile", quick=True): Way(("U8", SRGB)),
    Saving("u16", quick=True): Way(("U16", SRGB)),
    Saving("u16_linear"): Way(("U16", LINEAR)),
    Saving("f32_linear"): Way(("F32", LINEAR)),
    Saving("tiff", ".proof.tiff", quick=True): Way(),
    Saving("tiff_packed", ".proof.tiff"): Way(options={"alpha": True, "flatten": True, "saveProfile": True, "compressiontype": 2}),
    Saving("tiff_wide", ".proof.tiff", quick=True): Way(("U8", WIDE)),
    Saving("tiff_u16", ".proof.tiff"): Way(("U16", SRGB)),
    Saving("tiff_f16", ".proof.tiff"): Way(("F16", SRGB)),
    Saving("tiff_f32", ".proof.tiff"): Way(("F32", SRGB)),
    Saving("tiff_f32_linear", ".proof.tiff", quick=True): Way(("F32", LINEAR)),
    Saving("jpeg", ".proof.jpg", lossy=True, quick=True): Way(),
    Saving("jpeg_90", ".proof.jpg", lossy=True): Way(options={"quality": 90, "subsampling": 3}),
    Saving("jpeg_half_the_rows", ".proof.jpg", lossy=True): Way(options={"quality": 90, "subsampling": 2}),
    Saving("webp", ".proof.webp", lossy=True, quick=True): Way(),
}
ON_A_LAYER, ERASED = "on_a_layer", "erased"
HANDS: Mapping[Hand, str] = {
    Hand(hand, BOX_BLOCKS, ending): hand for hand in (ON_A_LAYER, ERASED) for ending in (".proof.png", ".proof.tiff")
}


def make(source: Path, savings: Iterable[Saving], folder: Path) -> None:
    """Save the proof in these ways, with paint and without, and after other hands; what Krita saves lies in the folder then."""
    orders = [
        order(source, folder / saving.file(painted=painted), "box" if painted else "", SAVINGS[saving])
        for saving in savings
        for painted in (False, True)
    ]
    run([*orders, *(order(source, folder / hand.file, words, Way()) for hand, words in HANDS.items())], folder)


def paint_in_place(proof: Path, folder: Path) -> None:
    """Paint BOX on a proof and save it under its name."""
    run([order(proof, proof, "box", Way())], folder)


def order(source: Path, target: Path, hand: str, way: Way) -> dict[str, object]:
    return {"source": str(source), "target": str(target), "space": way.space, "hand": hand, "options": dict(way.options)}


def run(orders: list[dict[str, object]], folder: Path) -> None:
    (folder / SCRIPT.name).write_bytes(SCRIPT.read_bytes())
    box = [BOX.x, BOX.y, BOX.width, BOX.height]
    (folder / "orders.json").write_text(json.dumps({"box": box, "colour": COLOUR, "orders": orders}))
    call(
        *("kritarunner", "-s", SCRIPT.stem, "-f", "run"),
        seconds=SECONDS,
        HOME=str(folder / "home"),
        PYTHONPATH=str(folder),
        QT_QPA_PLATFORM="offscreen",
        TIFFSD_ORDERS=str(folder / "orders.json"),
    )
